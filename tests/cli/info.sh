#!/usr/bin/env bash
# mnemo info: keys and tensors as text and JSON, damaged files, wrong usage.
. "$(dirname "$0")/support.bash" "$1"

expect 0 'u8 (u8) = 200
bool (bool) = true
f32 (f32) = 0.5
f64 (f64) = 42
u64 (u64) = 18446744073709551615
string (string) = "hé"
words (string array) = "a", "", "bc"
numbers (i16 array) = 5, -2
w  q8_0 [3, 32] 102 bytes
v  f32 [5] 20 bytes' "$mnemo" info -m "$corpus/valid-v1" --keys --tensors
expect 0 "file            $corpus/vocab, GGUF version 3, 575 bytes
architecture    llama
tokenizer       llama, 8 tokens
chat template   no" "$mnemo" info "$corpus/vocab"
"$mnemo" info "$corpus/valid-v3" --json --keys --tensors | tr -d ' \n' > "$temp/json"
for part in '"version":3,' '"n_params":101,' '"n_layers":null,' '"words":["a","","bc"]' '"numbers":[5,-2]' \
    '"bool":true' \
    '"types":{"f32":{"n_tensors":1,"bytes":20},"q8_0":{"n_tensors":1,"bytes":102}}' \
    '"tensors":[{"name":"w","type":"q8_0","shape":[3,32],"bytes":102},'; do
    grep -qF "$part" "$temp/json" || fail "no $part in:" "$(cat "$temp/json")"
done
"$mnemo" info --cpu | grep -q '^generic'
[ "$(MNEMO_CPU=generic "$mnemo" info --cpu | grep -c '(used)$')" = 1 ]
MNEMO_CPU=generic "$mnemo" info --cpu | grep -q '^generic (used)$'

# What rotates nothing has no positions, whatever keys of a rope its file holds.
golden=$MNEMO_SOURCE_DIR/tests/data/golden
for name in kimi-linear nemotron-h mamba2; do
    "$mnemo" info "$golden/tiny-$name.gguf" | grep -q '^positions  *none$' || fail "$name"
    "$mnemo" info "$golden/tiny-$name.gguf" --json | grep -q '"rope_dims": null' || fail "$name: rope_dims"
done
"$mnemo" info "$golden/tiny-llama.gguf" | grep -q '^positions  *rope, ' || fail 'llama'

# The ask template has a key of our own, whatever the architecture.
model=$MNEMO_SOURCE_DIR/models/default.gguf
LC_ALL=C sed 's/\(general\.architecture.\{12\}\)mnemo/\1llama/' "$model" >"$temp/llama.gguf"
"$mnemo" info "$temp/llama.gguf" >"$temp/out"
grep -qx 'architecture    llama' "$temp/out" && grep -qx 'chat template   no, but an ask template' "$temp/out" ||
    fail "$(cat "$temp/out")"

usage='usage: mnemo info [MODEL] [--keys] [--tensors] [--rope [-c N] [--svg FILE]] [--json] | --cpu | --archs | --techniques
try: mnemo info --help'
expect 2 "mnemo info: of --cpu, --archs and --techniques only one can be given.
$usage" "$mnemo" info --cpu --archs
expect 2 "mnemo info: does not know what to do with \"b\".
$usage" "$mnemo" info a b
expect 1 "mnemo info: $temp/none.gguf: cannot open: No such file or directory." "$mnemo" info "$temp/none.gguf"
expect 1 "mnemo info: $temp: is a directory; name a file." "$mnemo" info "$temp"
expect 1 "mnemo info: $corpus/web-page: not a GGUF file (first bytes \"<!DO\"); it looks like a web page - was the download \
interrupted?" "$mnemo" info "$corpus/web-page"

# Every input of the fuzz corpus ends in 0 or 1, and an error is one line.
for file in "$corpus"/*; do
    code=0
    "$mnemo" info "$file" --keys --tensors --json > /dev/null 2> "$temp/err" || code=$?
    [ $code -le 1 ] && [ "$(wc -l < "$temp/err")" = $code ] || fail "$file: exit code $code: $(cat "$temp/err")"
done
