#!/usr/bin/env bash
# Output that does not arrive is a failure of every verb: a full disk, a closed descriptor, a reader that goes away. No
# file takes the place of a closed standard stream.
source "$(dirname "$0")/support.bash" "$1"
model=$MNEMO_SOURCE_DIR/models/default.gguf
echo 'A short text.' >"$temp/text"
"$mnemo" tokenize -m "$model" -f "$temp/text" >"$temp/ids"

# lost ARGUMENT...: exit code 1 and a sentence, whichever way standard output fails (or only in the ways of $ways).
lost() {
    local code
    for to in ${ways:-full closed pipe}; do
        code=0
        case $to in
        full) "$mnemo" "$@" >/dev/full 2>"$temp/err" </dev/null || code=$? ;;
        closed) "$mnemo" "$@" >&- 2>"$temp/err" </dev/null || code=$? ;;
        pipe)
            mkfifo "$temp/pipe"
            : <"$temp/pipe" & # opens it, and is gone
            { wait $!; sleep 0.02; "$mnemo" "$@" 2>"$temp/err" </dev/null || code=$?; } >"$temp/pipe"
            rm "$temp/pipe"
            ;;
        esac
        [ $code = 1 ] && grep -q "standard output" "$temp/err" ||
            fail "mnemo $*, standard output $to: exit code $code" "$(cat "$temp/err")"
    done
}
lost --help
lost --version
lost help run
lost run --help
lost run -q -m "$model" -p 'Once upon' -n 8
lost info "$model"
lost info "$model" --keys --json
lost info --techniques
lost info --archs
lost info --cpu
ways=full lost plan "$model" -c 512
ways=pipe lost plan "$model" -c 512 --json
lost attn list
lost attn show window:65 -n 100
lost tokenize -m "$model" -f "$temp/text"
lost detokenize -m "$model" -f "$temp/ids"
lost scaling loss --params 70e9 --tokens 15e12
lost scaling loss --params 70e9 --tokens 15e12 --json
lost scaling table
ways=full lost bench -m "$model" -d 0 -p 8 -n 2 -r 1
for line in 'What is it?' /ctx /help "/read $temp/text"; do
    code=0
    echo "$line" | "$mnemo" chat -m "$model" -f "$temp/text" >/dev/full 2>"$temp/err" || code=$?
    [ $code = 1 ] && grep -q 'standard output' "$temp/err" ||
        fail "chat: $line to a full disk: exit code $code" "$(cat "$temp/err")"
done

# What writes files alone does not need a standard output.
"$mnemo" convert "$model" "$temp/q8.gguf" --type q8_0 >&- 2>/dev/null
"$mnemo" logits -m "$model" --tokens "$temp/ids" -o "$temp/rows" >&- 2>/dev/null <&-

# With all three closed, model, session and output files get descriptors of their own, and are what they are otherwise.
"$mnemo" run -q -m "$model" -f "$temp/text" -p Hello -n 4 --session "$temp/s1" >/dev/null 2>&1
"$mnemo" run -q -m "$model" -f "$temp/text" -p Hello -n 4 --session "$temp/s2" >&- 2>&- <&- &&
    fail 'the answer was lost without a word'
cmp "$temp/s1" "$temp/s2" || fail 'a session file holds what was meant for a closed stream'
"$mnemo" tokenize -m "$model" -f "$temp/text" 2>&- | cmp - "$temp/ids"

# The file of --kv-disk too: what is meant for a closed standard output does not change a KV entry.
mkdir "$temp/disk"
head -c 6000 "$MNEMO_SOURCE_DIR/models/demo/pride-and-prejudice.txt" >"$temp/long.txt"
disk=(run -q -m "$model" -f "$temp/long.txt" -p Who? -n 8 --kv-disk "$temp/disk" --kv-ram 4m --session)
"$mnemo" "${disk[@]}" "$temp/s3" >/dev/null 2>"$temp/err" || fail "$(cat "$temp/err")"
"$mnemo" "${disk[@]}" "$temp/s4" >&- 2>&- <&- && fail 'the answer was lost without a word'
cmp "$temp/s3" "$temp/s4" || fail 'KV entries on disk were overwritten'
