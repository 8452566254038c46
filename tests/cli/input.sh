#!/usr/bin/env bash
# What run reads: files, pipes without -f -, nothing where nothing comes; and texts that are none.
source "$(dirname "$0")/support.bash" "$1"
model=$MNEMO_SOURCE_DIR/models/default.gguf
printf 'The sun was low. The secret number of Paris is 77120. He went home.\n' >"$temp/note.txt"
question='What is the secret number of Paris?'
answer=' The secret number of Paris is 77120.'

# answers ARGUMENT...: the fact, with standard input as the caller left it.
answers() {
    local got
    got=$("$mnemo" run -m "$model" "$@" 2>"$temp/err") || fail "from: $*" "$(cat "$temp/err")"
    [ "$got" = "$answer" ] || fail "from: $*" "got: $got" "$(cat "$temp/err")"
}
cat "$temp/note.txt" | answers -p "$question"
grep -q '^mnemo: the text is standard input, 68 bytes\.$' "$temp/err" || fail "$(cat "$temp/err")"
(sleep 1; cat "$temp/note.txt") | answers "$question"
answers -p "$question" <"$temp/note.txt"
answers -p "$question" -f - <"$temp/note.txt"
cat "$temp/note.txt" | answers -q "$question"
[ ! -s "$temp/err" ] || fail '-q is not quiet:' "$(cat "$temp/err")"
cat "$temp/note.txt" | "$mnemo" run -m "$model" -n 3 -q >/dev/null # to be continued

# A named file is the text; what stands in standard input beside it is left, and that is said.
answers -f "$temp/note.txt" -p "$question" </dev/null
! grep -q 'standard input' "$temp/err" || fail "$(cat "$temp/err")"
: | answers -f "$temp/note.txt" -p "$question"
answers -f "$temp/note.txt" -p "$question" <&-
! grep -q 'standard input' "$temp/err" || fail "$(cat "$temp/err")"
answers -f "$temp/note.txt" -p "$question" <"$0"
grep -q '^mnemo: standard input holds a text too, which is not read; -f - adds it\.$' "$temp/err" ||
    fail "$(cat "$temp/err")"
printf 'questions of a loop\n' | while read -r _; do answers -f "$temp/note.txt" -p "$question"; done

# Nothing in it is no text, where the prompt alone makes sense; a silent pipe is not waited for without end.
wanted=$("$mnemo" run -q -m "$model" -p 'Once upon' -n 5 -s 1 </dev/null)
for from in : true; do
    [ "$($from | "$mnemo" run -q -m "$model" -p 'Once upon' -n 5 -s 1)" = "$wanted" ] ||
        fail 'an empty pipe changed the answer'
done
[ "$("$mnemo" run -q -m "$model" -p 'Once upon' -n 5 -s 1 <&-)" = "$wanted" ] ||
    fail 'a closed standard input changed the answer'
mkfifo "$temp/silent"
sleep 60 >"$temp/silent" &
silent=$!
[ "$("$mnemo" run -q -m "$model" -p 'Once upon' -n 5 -s 1 <"$temp/silent" 2>"$temp/err")" = "$wanted" ] ||
    fail 'a silent pipe changed the answer'
kill $silent
grep -q 'nothing came on standard input in 3 s' "$temp/err" || fail "$(cat "$temp/err")"

# refuses CODE PATTERN ARGUMENT...: the exit code, a sentence, and no answer.
refuses() {
    local code=$1 pattern=$2 got=0
    shift 2
    "$mnemo" run -m "$model" "$@" >"$temp/out" 2>"$temp/err" || got=$?
    [ $got = "$code" ] && grep -q -- "$pattern" "$temp/err" && [ ! -s "$temp/out" ] ||
        fail "from: $*" "exit code $got" "$(cat "$temp/err")"
}
: >"$temp/empty.txt"
printf ' \n\t\r\n' >"$temp/blank.txt"
printf 'zero\0\0\0\0\0byte' >"$temp/zero.bin"
refuses 1 'empty.txt: is empty, so that there is no text' -f "$temp/empty.txt" -p x
refuses 1 'empty.txt: is empty' -f "$temp/note.txt" -f "$temp/empty.txt" -p x
refuses 1 'blank.txt: holds nothing but white space' -f "$temp/blank.txt" -p x
refuses 1 'zero.bin: is no text' -f "$temp/zero.bin" -p x
refuses 1 'standard input: is empty' -f - -p x </dev/null
: | refuses 2 'nothing to read: give -f FILE, -p PROMPT or both'
refuses 2 'nothing to read' </dev/null

# A script that the vocabulary does not know.
printf '红楼梦是一部很长的小说，写了一个大家族的兴衰。' >"$temp/zh.txt"
"$mnemo" run -m "$model" -f "$temp/zh.txt" -n 2 2>"$temp/err" >/dev/null
grep -q "% of the text's [0-9]* tokens are bytes and parts of characters" "$temp/err" || fail "$(cat "$temp/err")"
"$mnemo" run -m "$model" -f "$temp/note.txt" -n 2 2>"$temp/err" >/dev/null
! grep -q 'bytes and parts' "$temp/err" || fail "$(cat "$temp/err")"
