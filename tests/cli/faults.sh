#!/usr/bin/env bash
# The inputs of ../shared/data/faults with what is right for each; skipped where that folder is not there. Tests with
# committed inputs of the same kinds: session/prompt_test, session/identity_test, session/nonfinite_test,
# session/layers_test, model/config_test, model/hostile_config_test, cli/prompt, cli/options.
shared=${MNEMO_SHARED_DIR:-MNEMO_SHARED_DIR}
[ -d "$shared/data/faults" ] || { echo "skipped: there is no $shared/data/faults"; exit 77; }
source "$(dirname "$0")/support.bash" "$1"
faults=$MNEMO_SHARED_DIR/data/faults
golden=$MNEMO_SHARED_DIR/data/golden

# answers FILE ARGUMENT...: exit code 0; leaves $temp/out and $temp/err.
answers() {
    local file=$1
    shift
    "$mnemo" run -m "$faults/$file.gguf" "$@" >"$temp/out" 2>"$temp/err" </dev/null ||
        fail "from: $file $*" "$(cat "$temp/err")"
}
said() { grep -qE -- "$1" "$temp/err" || fail "wanted: $1" "$(cat "$temp/err")"; }
prompt_ids() { sed -n 's/^ids: //p' "$temp/err"; }

# Rows of the output without a token are never drawn.
for seed in 1 2 3 4; do
    answers eight-rows -p 'hello the world' -n 40 --temp 2 -s $seed --json
    tr -d ' \n' <"$temp/out" | sed -E 's/.*"ids":\[([0-9,]*)\].*/\1/' | tr ',' '\n' |
        awk '!/^[0-9]+$/ || $1 > 511 { print; bad = 1 } END { exit bad || NR < 1 }' ||
        fail "seed $seed: such ids were drawn"
done

# Ids that nothing needs may lie outside the vocabulary.
answers bos-out -p 'the cat' -n 2
said '^mnemo: tokenizer\.ggml\.bos_token_id is 4294967295, but .* has the tokens 0 to 511; it counts as none\.$'

# YaRN's own keys are what the flags are.
seq 3 60 >"$temp/ids"
logits() { "$mnemo" logits -m "$1" --tokens "$temp/ids" -o "$2" "${@:3}"; }
logits "$faults/yarn-beta.gguf" "$temp/keys"
logits "$faults/yarn-plain.gguf" "$temp/flags" --yarn-beta-fast 4 --yarn-beta-slow 2
logits "$faults/yarn-plain.gguf" "$temp/plain"
cmp "$temp/keys" "$temp/flags" || fail 'the keys of YaRN are not what its flags are'
! cmp -s "$temp/keys" "$temp/plain" || fail 'the keys of YaRN change nothing'

# Gemma 2 without keys: the soft cap of 30 on the last logits, near which those of this file lie.
logits "$faults/gemma2-no-caps.gguf" "$temp/capped" --at 1,20,57
od -An -v -tf4 -w4 "$temp/capped" |
    awk '{ x = $1 < 0 ? -$1 : $1; if (x > m) m = x } END { exit !(m <= 30 && m > 25) }' ||
    fail 'the last soft cap of Gemma 2 is off'

# Special tokens of Phi-3 swallow what follows: <|user|>, the ids of the text, <|end|>, <|assistant|>, no line ends.
answers phi3-rstrip -p Hello -n 1 --verbose-prompt
said '^ids: 1 500 511 75 487 339 497 501 502$'

# Templates: what is not known matters only where it is reached; x.0 is x[0].
answers template-append -p hi -n 1 --verbose-prompt
said '^\[user\]hi$'
answers template-dotted -p hi -n 1 --verbose-prompt
said '^\[user\]hi$'

# One BOS, no EOS.
answers bos-after-newline -p hi -n 1 --verbose-prompt
[ "$(prompt_ids | tr ' ' '\n' | grep -cx 1)" = 1 ] || fail "not one BOS: $(prompt_ids)"
for raw in '' --raw; do
    answers add-eos -p hi -n 1 --verbose-prompt $raw
    [ "$(prompt_ids | tr ' ' '\n' | grep -cx 2)" = 0 ] || fail "EOS in the prompt: $(prompt_ids)"
done

# Lists with one value for each layer, and two ids of one spelling.
answers per-layer-list -p hi -n 3
answers spelled-twice -p hi -n 3

# A session belongs to what changes the numbers: these two differ in the epsilon of their norms.
"$mnemo" run -q -m "$golden/tiny-llama.gguf" -p hello -n 3 --session "$temp/s" >/dev/null </dev/null
cp "$temp/s" "$temp/before"
expect 1 "mnemo run: $temp/s: was saved with another model than $faults/session-model-b.gguf. \
Use --session-replace, which writes over the file." \
    "$mnemo" run -q -m "$faults/session-model-b.gguf" -p hello -n 3 --session "$temp/s"
cmp "$temp/s" "$temp/before"

# No logits that are no numbers, and no overflow.
expect 1 "mnemo logits: $faults/nan-payload-llama.gguf: tensor blk.0.attn_norm.weight of layer 0 holds NaN or infinity (value 1 of 64), \
so that no logits can be computed; the file is damaged, download or convert it again." \
    "$mnemo" logits -m "$faults/nan-payload-llama.gguf" --tokens "$temp/ids" -o "$temp/nan"
[ ! -e "$temp/nan" ] || fail 'logits were written'
answers sliding-window-int64max-tiny-llama -p hi -n 2
"$mnemo" info "$faults/info-expert-used-overflow.gguf" >"$temp/out" 2>"$temp/err"
grep -q '^parameters  *328 k' "$temp/out" || fail "$(cat "$temp/out")"
expect 1 "mnemo run: $faults/info-expert-used-overflow.gguf: deepseek2.expert_used_count is 9223372036854775807; it must be 1 to 8." \
    "$mnemo" run -m "$faults/info-expert-used-overflow.gguf" -p hi -n 2

# The empty text, on any model.
for verb in run chat; do
    code=0
    "$mnemo" $verb -m "$faults/spelled-twice.gguf" -n 3 -r '' >"$temp/out" 2>"$temp/err" </dev/null || code=$?
    [ $code = 2 ] && grep -q -- '-r needs a value, and the one given is empty' "$temp/err" ||
        fail "$verb -r '': exit code $code"
done
