#!/usr/bin/env bash
# mnemo logits: sizes, order of rows, chunks, and what it refuses.
source "$(dirname "$0")/support.bash" "$1"
model=$MNEMO_SOURCE_DIR/tests/data/golden/tiny-llama-yarn.gguf
seq 1 90 >"$temp/ids"
rows() { "$mnemo" logits -m "$model" --tokens "$temp/ids" "$@"; }

expect 0 '' rows --at 0,5,89 -o "$temp/whole"
[ "$(stat -c %s "$temp/whole")" = $((3 * 512 * 4)) ] || fail 'three rows of 512 floats were wanted'
expect 0 '' rows --at 0,5,89 -o "$temp/parts" -b 7 -t 1
cmp "$temp/whole" "$temp/parts" || fail 'chunks change the logits'
expect 0 '' rows --at 5 -o "$temp/five"
cmp <(tail -c +2049 "$temp/whole" | head -c 2048) "$temp/five" || fail 'row 5 differs when asked for alone'
expect 0 '' rows --at 89,0 -o "$temp/turned"
cmp <(tail -c 2048 "$temp/whole"; head -c 2048 "$temp/whole") "$temp/turned" || fail 'row k is not that of at[k]'
expect 0 '' rows --at 89 -o "$temp/fast" --fast -ctk q8_0 -ctv f16
cmp -s <(tail -c 2048 "$temp/whole") "$temp/fast" && fail '--fast changed nothing'

expect 2 'mnemo logits: --at 90: the text has tokens 0 to 89.' rows --at 90 -o "$temp/x"
expect 2 "mnemo logits: --at: \"a\" is no number (entry 0)." rows --at a -o "$temp/x"
expect 2 'mnemo logits: needs -o OUT.
usage: mnemo logits [MODEL] --tokens FILE [--at I,J,...] -o OUT [options]
try: mnemo logits --help' rows --at 0
echo '3 512' >"$temp/ids"
expect 1 "mnemo logits: $temp/ids: token 1 has id 512; this model's ids are 0 to 511." rows --at 0 -o "$temp/x"
echo '3 -1' >"$temp/ids"
expect 1 "mnemo logits: $temp/ids: token 1 has id -1; this model's ids are 0 to 511." rows --at 0 -o "$temp/x"
: >"$temp/ids"
expect 1 "mnemo logits: $temp/ids: holds no token ids; at least one is needed." rows --at 0 -o "$temp/x"
[ ! -e "$temp/x" ] || fail 'a failed run left a file'
echo 1 >"$temp/ids"
"$mnemo" logits -m "$model" --tokens "$temp/ids" -o /dev/full 2>"$temp/err" && fail 'a full disk was not noticed'
grep -q 'cannot write' "$temp/err" || fail "$(cat "$temp/err")"
