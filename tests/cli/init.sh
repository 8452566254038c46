#!/usr/bin/env bash
# mnemo init: shapes, seeds, wrong usage, and nothing left behind by a failure.
. "$(dirname "$0")/support.bash" "$1"
small=(--layers 2 --embd 64 --heads 4 --ff 96 --vocab-from "$corpus/vocab")

expect 0 "$temp/a.gguf: 62.3 k parameters in 20 tensors, 243 KiB" \
    "$mnemo" init "${small[@]}" --kv-heads 2 --seed 7 -o "$temp/a.gguf"
# Up to what the scaling laws say of it.
summary() { "$mnemo" info "$1" | sed '/^training/,$d'; }
expect 0 "file            $temp/a.gguf, GGUF version 3, 246 KiB
architecture    llama
name            random llama, seed 7
parameters      62.3 k (61.8 k without embeddings)
layers          2
embedding       64
heads           4, 2 for keys and values, size 16
feed-forward    96
vocabulary      8
context         4096
positions       rope, base 10000, 16 dimensions
tensors         20 f32, 243 KiB
tokenizer       llama, 8 tokens
chat template   no" summary "$temp/a.gguf"

# The same seed gives the same bytes at any number of threads; another seed does not.
"$mnemo" init "${small[@]}" --kv-heads 2 --seed 7 -t 5 -o "$temp/b.gguf" 2> /dev/null
cmp "$temp/a.gguf" "$temp/b.gguf"
"$mnemo" init "${small[@]}" --kv-heads 2 --seed 8 -o "$temp/b.gguf" 2> /dev/null
! cmp -s "$temp/a.gguf" "$temp/b.gguf"

# What each architecture adds, and the types of the tensors.
"$mnemo" init "${small[@]}" --arch mnemo -o "$temp/m.gguf" 2> /dev/null
"$mnemo" info "$temp/m.gguf" --tensors | grep -q '^blk.1.attn_k_conv.weight  f32 \[64, 8\]'
"$mnemo" info "$temp/m.gguf" --keys | grep -q '^mnemo.attention.short_conv (u32) = 8$'
"$mnemo" init "${small[@]}" --arch qwen2 -o "$temp/m.gguf" 2> /dev/null
"$mnemo" info "$temp/m.gguf" --tensors | grep -q '^blk.0.attn_q.bias  f32 \[64\]'
"$mnemo" init "${small[@]}" --arch qwen3 --head-dim 32 --type q4_0 --untied -o "$temp/m.gguf" 2> /dev/null
"$mnemo" info "$temp/m.gguf" --tensors > "$temp/m.txt"
grep -q '^blk.0.attn_q_norm.weight  f32 \[32\]' "$temp/m.txt"
grep -q '^blk.0.attn_output.weight  q4_0 \[64, 128\]' "$temp/m.txt"
grep -q '^output.weight  q8_0 \[8, 64\]' "$temp/m.txt"
"$mnemo" init "${small[@]}" --experts 4 -o "$temp/m.gguf" 2> /dev/null
"$mnemo" info "$temp/m.gguf" --tensors | grep -q '^blk.0.ffn_down_exps.weight  f32 \[4, 64, 96\]'

# Every architecture: what is made runs, in another type too, and nothing in it is left over.
archs="llama mnemo qwen2 qwen3 qwen2moe qwen3moe gemma2 gemma3 gemma4 phi3 gpt-oss glm4 glm4moe mistral3 smollm3
olmo2 exaone4 cohere2 llama4 granite granitemoe minimax-m2 mimo2 step35 starcoder2 gpt2 bloom mpt deepseek2
deepseek32 glm-dsa deepseek4 qwen35 qwen35moe qwen3next kimi-linear mamba2 falcon-h1 nemotron_h nemotron_h_moe
granitehybrid lfm2 lfm2moe rwkv7"
for arch in $archs; do
    "$mnemo" init --arch "$arch" --layers 6 --embd 64 --heads 4 --kv-heads 2 --ff 64 --vocab-from "$corpus/vocab" \
        -o "$temp/f.gguf" 2> /dev/null
    "$mnemo" convert "$temp/f.gguf" "$temp/f8.gguf" --type q8_0 2> /dev/null
    for model in "$temp/f.gguf" "$temp/f8.gguf"; do
        echo 1 2 3 4 5 | "$mnemo" logits -m "$model" --tokens - -o "$temp/logits" 2> "$temp/notes" ||
            fail "$arch: $(cat "$temp/notes")"
        ! grep -q 'nothing here reads\|have no use here' "$temp/notes" || fail "$arch: $(cat "$temp/notes")"
    done
done
encoders="bert nomic-bert"
for arch in $encoders; do
    "$mnemo" init --arch "$arch" --layers 2 --embd 64 --heads 4 --ff 64 --vocab-from "$corpus/vocab" \
        -o "$temp/f.gguf" 2> /dev/null
    "$mnemo" convert "$temp/f.gguf" "$temp/f8.gguf" --type q8_0 2> /dev/null
    for model in "$temp/f.gguf" "$temp/f8.gguf"; do
        "$mnemo" embed -m "$model" ab > "$temp/vector" 2> "$temp/notes" || fail "$arch: $(cat "$temp/notes")"
        ! grep -q 'nothing here reads\|have no use here' "$temp/notes" || fail "$arch: $(cat "$temp/notes")"
    done
done
rm "$temp/f.gguf" "$temp/f8.gguf" "$temp/logits" "$temp/notes" "$temp/vector"

usage='usage: mnemo init --layers N --embd N --heads N --ff N --vocab-from MODEL -o OUT [options]
try: mnemo init --help'
expect 2 "mnemo init: needs the shape: --layers, --embd, --heads and --ff.
$usage" "$mnemo" init --layers 2 --vocab-from "$corpus/vocab" -o "$temp/x.gguf"
expect 2 "mnemo init: needs -o OUT.
$usage" "$mnemo" init "${small[@]}"
expect 2 "mnemo init: there is no type \"q9\"; can be written: f32 f16 q4_0 q4_1 q5_0 q5_1 q8_0 q2_k q3_k q4_k q6_k iq4_nl iq4_xs bf16 mxfp4.
$usage" "$mnemo" init "${small[@]}" --type q9 -o "$temp/x.gguf"
expect 2 "mnemo init: --layers does not take \"0\" (wanted: 1 to 10000).
$usage" "$mnemo" init --layers 0 -o "$temp/x.gguf"
expect 2 "mnemo init: no random model of architecture \"foo\" is made; known: $(echo $archs $encoders)." \
    "$mnemo" init "${small[@]}" --arch foo -o "$temp/x.gguf"
expect 2 'mnemo init: 4 heads cannot share 3 key-value heads evenly.' \
    "$mnemo" init "${small[@]}" --kv-heads 3 -o "$temp/x.gguf"
expect 2 'mnemo init: 1025 experts are too many; a model takes at most 1024.' \
    "$mnemo" init "${small[@]}" --experts 1025 -o "$temp/x.gguf"
expect 2 'mnemo init: 3 of 2 experts cannot be used per token.' \
    "$mnemo" init "${small[@]}" --experts 2 --experts-used 3 -o "$temp/x.gguf"
expect 1 "mnemo init: $corpus/valid-v3: holds no tokens (tokenizer.ggml.tokens) to make a vocabulary of." \
    "$mnemo" init "${small[@]:0:8}" --vocab-from "$corpus/valid-v3" -o "$temp/x.gguf"
expect 1 "mnemo init: /dev/full: cannot write: No space left on device; nothing was left there." \
    "$mnemo" init "${small[@]}" -o /dev/full
expect 1 "mnemo init: $temp/nowhere/x.gguf: cannot write here: No such file or directory." \
    "$mnemo" init "${small[@]}" -o "$temp/nowhere/x.gguf"
# Shapes and names are those of converted files, which other engines insist on.
"$mnemo" init "${small[@]}" --arch mamba2 -o "$temp/m.gguf" 2> /dev/null
"$mnemo" info "$temp/m.gguf" --tensors | grep -q '^blk.0.ssm_a  f32 \[4, 1\]'
"$mnemo" init "${small[@]}" --arch kimi-linear -o "$temp/m.gguf" 2> /dev/null
"$mnemo" info "$temp/m.gguf" --tensors > "$temp/m.txt"
grep -q '^blk.0.ssm_conv1d_q.weight  f32 \[64, 1, 4\]' "$temp/m.txt"
grep -q '^output.weight ' "$temp/m.txt"
"$mnemo" init "${small[@]}" --arch qwen3next -o "$temp/m.gguf" 2> /dev/null
"$mnemo" info "$temp/m.gguf" --tensors > "$temp/m.txt"
grep -q '^blk.0.ssm_ba.weight ' "$temp/m.txt"
! grep -q 'ssm_alpha' "$temp/m.txt"

[ "$(ls "$temp")" = "$(printf '%s\n' a.gguf b.gguf m.gguf m.txt)" ] || fail "left behind: $(ls "$temp")"
