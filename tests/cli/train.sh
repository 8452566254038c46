# The recipes that ship: a few steps of each, a training that goes on, adapters beside a model and merged into it.
source "${0%/*}/support.bash" "$1"
mnemo=$(realpath "$mnemo")
cd "$MNEMO_SOURCE_DIR"
few=(steps=4 warmup=1 validate-steps=2 validation-windows=2)

"$mnemo" train models/recipes/toy.ini "${few[@]}" out="$temp/toy.gguf" 2>"$temp/said"
planned=$("$mnemo" plan --train models/recipes/toy.ini "${few[@]}")
taken=$(grep '^memory: ' "$temp/said")
parts=${taken%activations*} # the program itself, of which no two runs hold the same, comes behind
[[ $planned == *"$parts"* && $planned == *"a step: "*GFLOP* ]] || fail 'planned:' "$planned" "taken: $taken"
# A sanitizer takes memory of its own.
as_planned() { # as_planned CARD
    grep -qE '__(a|t|ub)san_' "$mnemo" || awk '/^Memory: / { seen = 1; wrong = $5 > 1.05 * $2 || $5 < 0.95 * $2 }
        END { exit wrong || !seen }' "$1" || fail 'more or less than planned:' "$(cat "$1")"
}
as_planned "$temp/toy.gguf.run/card.md"
# What is mined and what gates are fitted to is planned too.
"$mnemo" train models/recipes/infini.ini model.from=models/base.gguf train.steps=1 train.warmup=0 batch=2 \
    train.validation-windows=0 memory.mine-tokens=4k gate-fit.tokens=32k gate-fit.rounds=1 gate-fit.mined=4000 \
    gate-fit.positives=2000 gate-fit.negatives=3000 gate-fit.prose=1000 out="$temp/memory.gguf" 2>"$temp/fitted" ||
    fail 'no memory was trained:' "$(cat "$temp/fitted")"
grep -q 'MiB the fit of write gates, ' "$temp/fitted" || fail 'no memory for the fit:' "$(cat "$temp/fitted")"
as_planned "$temp/memory.gguf.run/card.md"
"$mnemo" plan --train models/recipes/toy.ini window=1000000000 2>"$temp/refused" && fail 'such a window fits'
grep -q 'training takes .* are free; use a smaller batch' "$temp/refused" || fail 'no reason:' "$(cat "$temp/refused")"
grep -q 'step 4/4, loss [0-9.]*, validation' "$temp/said" || fail 'no last step:' "$(cat "$temp/said")"
"$mnemo" train models/recipes/toy.ini "${few[@]}" steps=6 out="$temp/toy.gguf" 2>"$temp/said"
grep -q 'going on after step 4' "$temp/said" && grep -q 'step 6/6' "$temp/said" ||
    fail 'the training did not go on:' "$(cat "$temp/said")"
"$mnemo" run -q -m "$temp/toy.gguf" 'It is a truth' -n 4 >/dev/null
[ -s "$temp/toy.gguf.run/loss.svg" ] || fail 'no picture of the loss'

# Attention sinks from the first step on: they are in the file, they move, and the loss falls.
"$mnemo" train models/recipes/toy.ini arch=mnemo sinks=true window=64 batch=4 steps=30 warmup=2 validation-windows=0 \
    out="$temp/sinks.gguf" 2>"$temp/said" || fail 'no training with sinks:' "$(cat "$temp/said")"
[ "$("$mnemo" info "$temp/sinks.gguf" --tensors | grep -c 'attn_sinks.weight')" = 2 ] || fail 'no sinks in the file'
awk -F'"loss": *' '/"loss"/ { loss[++n] = $2 + 0 } END { exit !(n == 30 && loss[n] < loss[1] - 1) }' \
    "$temp/sinks.gguf.run/log.jsonl" || fail 'the loss does not fall:' "$(cat "$temp/sinks.gguf.run/log.jsonl")"
"$mnemo" run -q -m "$temp/sinks.gguf" 'It is a truth' -n 4 >/dev/null || fail 'a model with sinks does not run'
"$mnemo" train models/recipes/toy.ini sinks=true out="$temp/x.gguf" 2>"$temp/said" && fail 'a llama has no sinks'
grep -q 'sinks' "$temp/said" || fail 'not told why:' "$(cat "$temp/said")"

"$mnemo" train models/recipes/lora.ini "${few[@]}" out="$temp/lora.gguf" 2>/dev/null
"$mnemo" convert models/default.gguf "$temp/merged.gguf" --merge-lora "$temp/lora.gguf" 2>"$temp/said"
grep -q "matrices of .*lora.gguf added" "$temp/said" || fail 'nothing merged:' "$(cat "$temp/said")"
beside=$("$mnemo" run -q -m models/default.gguf --lora "$temp/lora.gguf" 'Once upon a time' -n 6 --temp 0)
[ -n "$beside" ] || fail 'no answer beside an adapter'
