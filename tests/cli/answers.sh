#!/usr/bin/env bash
# How answers end, how they are drawn, what --json tells of them, and what to type when a text does not fit.
source "$(dirname "$0")/support.bash" "$1"
model=$MNEMO_SOURCE_DIR/models/default.gguf
run() { "$mnemo" run -m "$model" "$@" 2>"$temp/err" </dev/null || fail "from: run $*" "$(cat "$temp/err")"; }
noted() { grep -qE -- "$1" "$temp/err" || fail "wanted: $1" "$(cat "$temp/err")"; }

# An answer that nothing ends is cut; one that runs in a circle is stopped, unless a length was asked for.
run -p 'Once upon a time' -s 1 >/dev/null
noted 'answer 256 tokens'
noted '^the answer was cut after 256 tokens; a larger -n lets it go on$'
run -p 'the the the the' --temp 0 >/dev/null
noted '^the answer was stopped: its last [0-9]+ tokens come over and over; -n N lets it go on$'
run -p 'the the the the' --temp 0 -n 200 >/dev/null
noted 'answer 200 tokens'
run -p 'the the the the' --temp 0 --ignore-eos >/dev/null
noted 'answer 256 tokens'
run -p 'the the the the' --temp 0 -n -1 -c 512 >/dev/null
noted 'the window of 512 tokens is full'
tiny=$MNEMO_SOURCE_DIR/tests/data/golden/tiny-qwen3.gguf
"$mnemo" run -m "$tiny" -p 'hello' -s 1 2>"$temp/err" >/dev/null </dev/null
noted 'answer [0-9]{1,3} tokens'

# Seeds: as many texts as runs without one; the one that -v names gives the text again.
first=$(run -v -q -p 'Once upon' -n 20 --temp 1)
seed=$(sed -n 's/^mnemo: seed //p' "$temp/err")
[ "$(run -q -p 'Once upon' -n 20 --temp 1 -s "$seed")" = "$first" ] || fail 'the seed does not give the text again'
seeds=$(for _ in 1 2 3 4 5 6 7 8; do
    run -v -q -p 'Once upon' -n 1 >/dev/null
    sed -n 's/^mnemo: seed //p' "$temp/err"
done)
[ "$(sort -u <<<"$seeds" | wc -l)" = 8 ] || fail 'seeds of one second are the same:' "$seeds"

# --json: one object that a program can read, and ids that are the answer.
run --json -q -p 'Once upon' -n 9 -s 3 >"$temp/json"
tr -d '\n' <"$temp/json" | tr -s ' ' >"$temp/line"
for part in '^\{ "answer": ".*", "finish": "length", "ids": \[( [0-9]+,){8} [0-9]+ \], ' \
    '"model": "[^"]*default.gguf", "n_prompt": [1-9]' '"n_reused": 0, "n_answer": 9, "n_ctx": 4096, "seed": 3,' \
    '"prefill_s": [0-9.e-]+, "decode_s": [0-9.e-]+,' \
    '"prefill_tokens_per_s": [0-9.]+, "decode_tokens_per_s": [0-9.]+, "kv_bytes": [1-9][0-9]*, ' \
    '"prompt_keys_read": 1.0, "answer_keys_read": 1.0\}$'; do
    grep -qE "$part" "$temp/line" || fail "no $part in:" "$(cat "$temp/line")"
done
sed -E 's/.*"ids": \[([^]]*)\].*/\1/; s/,//g' "$temp/line" >"$temp/ids"
plain=$(run -q -p 'Once upon' -n 9 -s 3)
grep -qF "\"answer\": \"$plain\"" "$temp/line" || fail 'the answer in JSON is another:' "$plain" "$(cat "$temp/line")"
[ "$("$mnemo" detokenize -m "$model" -f "$temp/ids")" = "${plain# }" ] || fail 'the ids are not the answer'
printf 'The secret number of Paris is 77120. He went home.\n' >"$temp/note.txt"
run --json -q -f "$temp/note.txt" -p 'What is the secret number of Paris?' | grep -q '"finish": "stop"' ||
    fail 'an answer of one line stops at its end'

# Escapes.
[ "$(run -q -e -p 'Once\nupon\x41' -n 5 -s 1)" = "$(run -q -p $'Once\nuponA' -n 5 -s 1)" ] ||
    fail '-e changes the text wrongly'
[ "$(run -q -p 'Once\nupon' -n 5 -s 1)" = "$(run -q --no-escape -p 'Once\nupon' -n 5 -s 1)" ] ||
    fail 'escapes are read without -e'
"$mnemo" run -e --no-escape -p x 2>/dev/null && exit 1 || [ $? = 2 ]

# A text that does not fit: the flags that are named work, and leave room.
for _ in 1 2; do cat "$MNEMO_SOURCE_DIR/models/demo/pride-and-prejudice.txt"; done >"$temp/long.txt"
advised() { # advised PATTERN FLAGS...: the advice matches, and does it
    local pattern=$1 flags
    shift
    "$mnemo" run -q -m "$model" -f "$temp/long.txt" -p "Who?" "$@" >/dev/null 2>"$temp/err" </dev/null &&
        fail "it fits: $*"
    noted "the text is [0-9]+ tokens; the window holds [0-9]+\. Use $pattern, which leaves [0-9]+ for the answer"
    flags=$(sed -nE 's/.*Use (-c [^,]*), which.*/\1/p' "$temp/err")
    run -f "$temp/long.txt" -p 'Who?' "$@" $flags -n 20 >/dev/null || fail "$flags does not help:" "$(cat "$temp/err")"
    ! grep -q 'the window of' "$temp/err" || fail "no room: $(cat "$temp/err")"
}
advised '-c [0-9]+ --rope-scaling yarn'
advised '-c [0-9]+' --attn sinks:4,508
advised '-c [0-9]+' --rope-scaling linear
model=$MNEMO_SOURCE_DIR/models/infini.gguf
MNEMO_CTX_SIZE=2048 advised '-c [0-9]+'
