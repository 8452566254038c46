#!/usr/bin/env bash
# --session: a file of another text stays, one that cannot be written is said before and does not cost the answer, and
# Ctrl-C saves what was read.
source "$(dirname "$0")/support.bash" "$1"
model=$MNEMO_SOURCE_DIR/models/default.gguf
novel=$MNEMO_SOURCE_DIR/models/demo/pride-and-prejudice.txt
head -c 3000 "$novel" >"$temp/one.txt"
tail -c 3000 "$novel" >"$temp/two.txt"
file=$temp/s

ask() { # ask CODE TEXT ARGUMENTS...: leaves $temp/out and $temp/err; an answer is given whatever the code.
    local code=$1 text=$2 got_code=0
    shift 2
    "$mnemo" run -m "$model" -f "$temp/$text.txt" -p 'Who is it?' -n 8 --session "$file" "$@" >"$temp/out" \
        2>"$temp/err" || got_code=$?
    [ "$got_code" = "$code" ] || fail "from: $text $*" "wanted exit code $code, got $got_code" "$(cat "$temp/err")"
    [ -s "$temp/out" ] || fail "from: $text $*" 'no answer' "$(cat "$temp/err")"
}
said() { grep -qE -- "$1" "$temp/err" || fail "wanted: $1" "got: $(cat "$temp/err")"; }

# Another text neither takes the place of the one that is there nor goes by without a word.
ask 0 one
cp "$file" "$temp/before"
ask 0 two
said 'holds another text \([0-9]+ tokens, of which this one shares [0-9]+\); it is kept.* --session-replace replaces it'
cmp -s "$file" "$temp/before" || fail 'another text replaced what was saved'
ask 0 two --session-replace
cmp -s "$file" "$temp/before" && fail '--session-replace replaced nothing'
ask 0 two
said '^prompt ([0-9]+) tokens \(\1 reused\)'
# Another question about the same text, and more of it, is the same text.
"$mnemo" run -m "$model" -f "$temp/two.txt" -p 'And where were they in the end?' -n 4 --session "$file" >/dev/null \
    2>"$temp/err"
grep -q 'another text' "$temp/err" && fail 'another question was taken for another text'
cmp -s "$file" "$temp/before" && fail 'nothing was saved'

# Of another setting only when asked; what is no session never.
ask 0 two --session-replace -ctk q8_0
said 'other types of KV entries.* It will be replaced'
ask 0 two -ctk q8_0
cp "$temp/one.txt" "$temp/text"
"$mnemo" run -m "$model" -p x -n 1 --session "$temp/text" --session-replace >/dev/null 2>"$temp/err" &&
    fail 'a text was taken for a session'
cmp -s "$temp/one.txt" "$temp/text" || fail 'a text was replaced by a session'

: >"$temp/empty" # as mktemp makes it: nothing is lost
file=$temp/empty ask 0 one
file=$temp/empty ask 0 one
said '^prompt ([0-9]+) tokens \(\1 reused\)'

# No room: said at once, answered all the same, exit code 1, and the old file is whole.
cp "$file" "$temp/before"
(ulimit -f 100; ask 1 two -ctk q8_0) || exit 1
said 'needs [0-9.]+ MiB, and files of this process are limited to 100 KiB. The session will not be saved'
[ "$(grep -c 'are limited to' "$temp/err")" = 2 ] ||
    fail 'wanted the reason again after the answer' "$(cat "$temp/err")"
cmp -s "$file" "$temp/before" || fail 'the old session is damaged'
file=/nowhere/s ask 1 one
said 'cannot write here'
ask 1 one --session-replace --attn snapkv:16,32
said 'snapkv evicts .* The session will not be saved'

# Ctrl-C while reading: as early as it is noticed, which takes longer on a busy machine.
interrupt() {
    for delay in 0.2 0.5 1 2 4 8; do
        code=0
        timeout --preserve-status -s INT "$delay" "$mnemo" run -m "$model" -f "$novel" -c 65536 --rope-scaling yarn \
            -b 1 -p x -n 1 --session "$file" >"$temp/out" 2>"$temp/err" || code=$?
        grep -q 'stopped after' "$temp/err" && break
    done
}
total() { sed -nE 's/.*stopped after [0-9]+ of ([0-9]+) tokens.*/\1/p' "$temp/err"; }
rm -f "$file"
interrupt
[ "$code" = 1 ] || fail "Ctrl-C: exit code $code" "$(cat "$temp/err")"
said 'stopped after [0-9]+ of [0-9]+ tokens. It is saved: the same command goes on from there'
[ -e "$file" ] || fail 'nothing was saved'
first=$(total)
interrupt
said 'stopped after [0-9]+ of [0-9]+ tokens'
[ "$(total)" -lt "$first" ] || fail "the second run read all again: $(total) tokens after $first"
[ "$(find "$temp" -name '*.tmp.*' | wc -l)" = 0 ] || fail "left behind: $(ls "$temp")"
