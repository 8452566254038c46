#!/usr/bin/env bash
# --attn and --attn-layers on a model: what they change, what they say, what they refuse.
. "$(dirname "$0")/support.bash" "$1"
model=$MNEMO_SOURCE_DIR/models/default.gguf
seq 3 402 | tr '\n' ' ' > "$temp/ids"

logits() { "$mnemo" logits -m "$model" --tokens "$temp/ids" --at 0,399 "$@"; }

logits -o "$temp/plain" 2> "$temp/err"
logits -o "$temp/full" --attn full 2>> "$temp/err"
logits -o "$temp/covered" --attn sinks-abs:4,396 2>> "$temp/err"
cmp "$temp/plain" "$temp/full"
cmp "$temp/plain" "$temp/covered"
[ ! -s "$temp/err" ] || fail 'training-free patterns say nothing, but:' "$(cat "$temp/err")"

expect 0 'mnemo: this model was not trained with window attention, which needs training; expect worse answers than with full attention.' \
    "$mnemo" logits -m "$model" --tokens "$temp/ids" -o "$temp/window" --attn-layers 1-=window:64,0=causal
! cmp -s "$temp/plain" "$temp/window"

expect 0 'mnemo: this model was not trained with a compressive memory (segments of 128 tokens, update delta), which needs training; it makes up 0.25 of the output of every head. Expect worse answers than with full attention.' \
    "$mnemo" logits -m "$model" --tokens "$temp/ids" -o "$temp/infini" --attn infini:128,delta,0.25
! cmp -s "$temp/plain" "$temp/infini"
expect 0 'mnemo: this model was not trained with linear attention, which needs training; expect worse answers than with full attention.' \
    "$mnemo" logits -m "$model" --tokens "$temp/ids" -o "$temp/linear" --attn-layers 0-1=causal,2-=linear
! cmp -s "$temp/plain" "$temp/linear"
"$mnemo" logits -m "$MNEMO_SOURCE_DIR/models/infini.gguf" --tokens "$temp/ids" -o "$temp/none" --attn causal \
    2> "$temp/err"
grep -q "this model's compressive memory is left out" "$temp/err" ||
    fail 'nothing was said of the memory left out:' "$(cat "$temp/err")"

expect 2 'mnemo logits: "window:" is not window:W with whole numbers below 2^31.' \
    "$mnemo" logits -m "$model" --tokens "$temp/ids" -o "$temp/none" --attn window:
expect 2 'mnemo logits: "4=full" names layers that are not there: this model has 0 to 3.' \
    "$mnemo" logits -m "$model" --tokens "$temp/ids" -o "$temp/none" --attn-layers 4=full

"$mnemo" bench -m "$model" -d 1024 -p 64 -n 0 -r 1 --attn window:256 --json 2> /dev/null |
    grep -q '"attention_prefill_ms"'
