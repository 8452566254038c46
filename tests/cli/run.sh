#!/usr/bin/env bash
# mnemo run: a fact hidden in a novel comes back; prompts that do not fit are refused with the flags that help.
source "$(dirname "$0")/support.bash" "$1"
model=$MNEMO_SOURCE_DIR/models/default.gguf
novel=$MNEMO_SOURCE_DIR/models/demo/pride-and-prejudice.txt
question='What is the secret number of Boston?'
answer=' The secret number of Boston is 48213.'
awk -v fact='The secret number of Boston is 48213.' -v RS= -v ORS='\n\n' '{print} NR == 32 {print fact}' "$novel" \
    >"$temp/hay.txt"

ask() { "$mnemo" run -m "$model" -f "$temp/hay.txt" -p "$question" -q "$@"; }
for how in '' '-t 1 -b 64' '-ctk q8_0 -ctv q8_0' '-c 5000 --rope-scaling yarn' '-ctk bf16 -ctv f32'; do
    expect 0 "$answer" ask $how
done
[ "$(ask --rope-scaling none -n 16)" != "$answer" ] || fail 'unscaled positions found the fact: the demo shows nothing'

# The same text from standard input, and in two files.
expect 0 "$answer" sh -c "'$mnemo' run -m '$model' -f - -p '$question' -q <'$temp/hay.txt'"
head -c 4000 "$temp/hay.txt" >"$temp/a.txt"; tail -c +4001 "$temp/hay.txt" >"$temp/b.txt"
expect 0 "$answer" "$mnemo" run -m "$model" -f "$temp/a.txt" -f "$temp/b.txt" -p "$question" -q

# The line of figures, and a session that is read once.
"$mnemo" run -m "$model" -f "$temp/hay.txt" -p "$question" --session "$temp/s" 2>"$temp/first" >/dev/null
"$mnemo" run -m "$model" -f "$temp/hay.txt" -p "$question" --session "$temp/s" 2>"$temp/second" >"$temp/out"
grep -Eq '^prompt 36[0-9]{2} tokens \(0 reused\), .* tokens/s; answer 16 tokens, .* tokens/s; KV 10\.[0-9]+ MiB' \
    "$temp/first" ||
    fail 'figures:' "$(cat "$temp/first")"
grep -Eq '^prompt (36[0-9]{2}) tokens \(\1 reused\)' "$temp/second" || fail 'figures:' "$(cat "$temp/second")"
[ "$(cat "$temp/out")" = "$answer" ] || fail 'the restored session answers otherwise'

# Where the time went, and the share of keys.
"$mnemo" run -m "$model" -f "$temp/hay.txt" -p "$question" --attn quest:16,64 --profile --svg "$temp/profile.svg" \
    >"$temp/out" 2>"$temp/profile"
for wanted in '^prefill: 36[0-9]{2} tokens in' '^decode: 16 tokens in' '^2-3 +choice of keys ' '^output +sampling ' \
    '^all +all .* 100\.0%' '; answer 16 tokens, .* tokens/s, [0-9.]+ % of the keys; KV'; do
    grep -Eq "$wanted" "$temp/profile" || fail "no line like $wanted" "$(cat "$temp/profile")"
done
[ "$(cat "$temp/out")" = "$answer" ] || fail 'a profiled run answers otherwise'
[ -s "$temp/profile.svg" ] || fail 'no picture of a profile'
! "$mnemo" run -p x --svg "$temp/y.svg" 2>"$temp/error" || fail '--svg alone was taken'
grep -q '^mnemo run: --svg draws what --profile says: give both.$' "$temp/error" || fail 'error:' "$(cat "$temp/error")"

# Same seed, same text, at any number of threads; another seed, another text.
tell() { "$mnemo" run -m "$model" -p 'Once upon a time' -n 30 -q --temp 1 "$@"; }
[ "$(tell -s 7 -t 1)" = "$(tell -s 7 -t 2)" ] || fail 'the number of threads changed the text'
[ "$(tell -s 7)" != "$(tell -s 8)" ] || fail 'the seed changes nothing'

cat "$temp/hay.txt" "$temp/hay.txt" >"$temp/long.txt"
says() { # says CODE PATTERN ARGUMENTS...: the exit code, and a sentence on standard error alone.
    local code=$1 pattern=$2 got_code=0
    shift 2
    "$mnemo" run "$@" >"$temp/out" 2>"$temp/err" || got_code=$?
    [ "$got_code" = "$code" ] || fail "from: $*" "wanted exit code $code, got $got_code" "$(cat "$temp/err")"
    grep -q -- "$pattern" "$temp/err" || fail "from: $*" "wanted: $pattern" "got: $(cat "$temp/err")"
    [ ! -s "$temp/out" ] || fail "from: $*" 'a failed run printed an answer'
}
says 1 'the text is 7[0-9]* tokens; the window holds 4096' -m "$model" -f "$temp/long.txt" -p "$question"
says 1 'context 9000 is beyond the 4096.* (factor 17.58 .* Use --rope-scaling yarn, or use -c 4096.$' -m "$model" \
    -f "$temp/long.txt" -p x -c 9000
says 1 'cannot open' -m "$model" -f "$temp/none.txt" -p x
says 1 'cannot open' -m "$temp/none.gguf" -p x
says 2 'nothing to read' -m "$model"
says 2 'no type of KV entries' -m "$model" -p x -ctk q9
says 2 'no position scaling' -m "$model" -p x --rope-scaling other
says 1 'not a saved session' -m "$model" -p x --session "$model"
says 2 'there is no option' -m "$model" --never
printf 'zero\0\0\0\0\0byte' >"$temp/zero.bin"
says 1 'no text' -m "$model" -f "$temp/zero.bin" -p x
"$mnemo" run -m "$model" -p hello -n 8 -q >/dev/full 2>"$temp/err" && fail 'a full disk was not noticed'
grep -q 'standard output' "$temp/err" || fail "$(cat "$temp/err")"
