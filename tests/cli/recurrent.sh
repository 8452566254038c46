#!/usr/bin/env bash
# Models whose state does not grow, from the command line: a follow-up question about a saved text rereads no more than
# one checkpoint interval, as the line of figures says; a plan counts states and no KV entries where there are none.
source "$(dirname "$0")/support.bash" "$1"
vocab=$MNEMO_SOURCE_DIR/models/default.gguf
head -c 9000 "$MNEMO_SOURCE_DIR/models/demo/pride-and-prejudice.txt" >"$temp/text.txt"
n_text=$("$mnemo" tokenize -m "$vocab" --no-bos -f "$temp/text.txt" | wc -l)
interval=512

# ask QUESTION: the number of tokens of the prompt that were read.
ask() {
    "$mnemo" run -m "$temp/$arch.gguf" -f "$temp/text.txt" -p "$1" -n 3 --session "$temp/$arch.session" \
        >/dev/null 2>"$temp/err" || fail "$arch: no answer" "$(cat "$temp/err")"
    sed -nE 's/^prompt ([0-9]+) tokens \(([0-9]+) reused\).*/\1 \2/p' "$temp/err" | awk '{ print $1 - $2 }'
}

for arch in mamba2 rwkv7 qwen35 falcon-h1; do
    "$mnemo" init --arch $arch --layers 4 --embd 64 --heads 2 --kv-heads 2 --head-dim 32 --ff 64 --vocab-from "$vocab" \
        --ctx 8192 --seed 1 -o "$temp/$arch.gguf" >/dev/null 2>&1 || fail "no model of $arch"
    first=$(ask 'Who is it?')
    [ "$first" -gt "$n_text" ] || fail "$arch: $first tokens read at first, of a text of $n_text"
    for question in 'Where were they in the end?' 'And what was said of the house, and by whom?' 'Who is it?'; do
        again=$(ask "$question")
        n_question=$("$mnemo" tokenize -m "$vocab" --no-bos -p "$question" | wc -l)
        [ "$again" -le $((interval + n_question + 8)) ] ||
            fail "$arch: $again tokens read for a question of $n_question; at most $interval more are allowed"
    done

    "$mnemo" plan "$temp/$arch.gguf" -c 4096 --json >"$temp/plan"
    value() { sed -nE "s/^  \"$1\": ([0-9]+),?$/\1/p" "$temp/plan"; }
    [ "$(value state_bytes)" -gt 0 ] || fail "$arch: the plan counts no state" "$(head -20 "$temp/plan")"
    case $arch in
    mamba2 | rwkv7) [ "$(value kv_bytes)" = 0 ] || fail "$arch: the plan counts KV entries" ;;
    *) [ "$(value kv_bytes)" -gt 0 ] || fail "$arch: the plan counts no KV entries" ;;
    esac
done
