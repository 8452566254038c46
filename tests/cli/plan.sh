#!/usr/bin/env bash
# mnemo plan: bytes to the byte, the table of other heads, and what it refuses.
set -euo pipefail
mnemo=$1
model=$MNEMO_SOURCE_DIR/models/default.gguf
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT

has() { # has FILE LINE
    grep -qF -- "$2" "$1" || { printf 'wanted the line: %s\ngot:\n' "$2"; cat "$1"; exit 1; }
}

row() { # row LINE: a row of the table, blanks squeezed
    tr -s ' ' < "$temp/text" > "$temp/squeezed"
    has "$temp/squeezed" "$1"
}

# 32768 tokens, 4 layers, 3 heads of 64, keys and values, 2 bytes: 96 MiB.
"$mnemo" plan "$model" -c 32k > "$temp/text"
has "$temp/text" 'a window of 32768 tokens, keys f16, values f16'
has "$temp/text" 'KV             96.0 MiB  cached keys and values'
row 'MHA 3 f16 full (own) 24.0 MiB 96.0 MiB 384 MiB 1.50 GiB 3.00 GiB'
row 'MQA 1 q4_0 full 2.25 MiB 9.00 MiB 36.0 MiB 144 MiB 288 MiB'
row 'MLA 512+64 f16 full 36.0 MiB 144 MiB 576 MiB 2.25 GiB 4.50 GiB'
row 'own f16 infini:2048 8.07 MiB 8.07 MiB 8.07 MiB 8.07 MiB 8.07 MiB'
has "$temp/text" 'it fits. Largest window here: -c '

"$mnemo" plan -m "$model" -c 32768 -ctk q8_0 -ctv q4_0 --json > "$temp/json"
has "$temp/json" '"kv_bytes": 40894464,' # 34 and 18 bytes for 32 values
has "$temp/json" '"type_v": "q4_0",'
for field in weights_bytes state_bytes work_bytes total_bytes free_bytes max_ctx_f16 prefill_s per_token_s table advice
do
    has "$temp/json" "\"$field\": "
done

# A window that no memory holds is planned, and refused by those who would run it.
"$mnemo" plan "$model" -c 1000000k > "$temp/text" && exit 1
has "$temp/text" 'it does not fit. Largest window here: -c '
"$mnemo" run -m "$model" -c 1000000k --rope-scaling yarn -p x -n 1 2> "$temp/refusal" && exit 1
has "$temp/refusal" 'MiB + KV 2.86 TiB at 1024000000 f16 + work '
has "$temp/refusal" ' with keys and values in q8_0. Use -c '

"$mnemo" plan -c x 2> "$temp/usage" && exit 1 || [ $? = 2 ]
"$mnemo" plan "$model" -ctk q3 2> "$temp/type" && exit 1
has "$temp/type" 'mnemo plan: "q3" is no type of KV entries; use f32, f16, bf16, q8_0 or q4_0.'
"$mnemo" plan "$model" -ctk Q4_K 2> "$temp/type" && exit 1
has "$temp/type" 'KV entries cannot be'

# What patterns, position maps and memories change: 384 KiB a page of 128 tokens, 96 MiB for all of 32768.
kv() { # kv MIB FLAGS...
    local wanted=$1
    shift
    "$mnemo" plan "$model" -c 32k "$@" > "$temp/text" 2> "$temp/notes"
    grep -qE "^KV +$wanted +cached keys" "$temp/text" ||
        { printf '%s: wanted KV %s, got:\n' "$*" "$wanted"; cat "$temp/text"; exit 1; }
}
kv '4.50 MiB' --attn sinks:4,508 # 1 page of sinks, 11 of 508 keys, 256 to spare and a step of 512
has "$temp/text" 'values f16, attention sinks:4,508'
has "$temp/text" 'Cached rows stop growing there: what no later token sees is dropped.'
kv '4.12 MiB' --attn window:508
has "$temp/notes" 'mnemo: this model was not trained with window attention'
kv '3.00 MiB' --attn infini:512 # a segment and a step
has "$temp/text" 'a compressive memory stands for what lies behind a segment.'
has "$temp/notes" 'segments of 512 tokens, update linear'
kv '0 bytes' --attn linear
kv '48.0 MiB' --attn-layers 2-=linear
kv '144 MiB' --pos self-extend:8,128 # a second plane of keys
kv '96.0 MiB' --pos dca:384,64
kv '99.0 MiB' --attn quest:16,1024 # two layers of 2048 pages, 3 heads, 2 bounds of 64 halves
kv '96.0 MiB' --attn bigbird
"$mnemo" plan "$model" -c 32k --attn sinks:4,508 --json > "$temp/json"
has "$temp/json" '"attn": "sinks:4,508"'
has "$temp/json" '"kv_bytes": 4718592'
"$mnemo" plan "$model" --attn windw:4 2> "$temp/bad" && exit 1
has "$temp/bad" 'mnemo plan: "windw:4" is no attention pattern.'

# What is named is larger than what was named before: heads of 16 values are no smaller in q8_0.
"$mnemo" plan "$MNEMO_SOURCE_DIR/tests/data/golden/tiny-bloom.gguf" -c 1000 > "$temp/text"
grep -q 'Largest window here: -c [0-9]*\.$' "$temp/text" || { cat "$temp/text"; exit 1; }

# With a scheme named, positions reach what it reaches.
"$mnemo" plan "$model" -c 32k --rope-scaling yarn > "$temp/text"
has "$temp/text" 'values f16, scaling yarn'
! grep -q 'Positions reach' "$temp/text" || { cat "$temp/text"; exit 1; }
"$mnemo" plan "$model" -c 32k --rope-scaling yarn --rope-scale 16 > "$temp/text"
has "$temp/text" 'Positions reach 8192 tokens with this scaling, so that such a window is refused'
"$mnemo" plan "$model" -c 8192 --rope-scaling yarn --rope-scale 16 > "$temp/text"
has "$temp/text" 'where positions end.'
! grep -q 'Positions reach' "$temp/text" || { cat "$temp/text"; exit 1; }
"$mnemo" plan "$model" -c 32k --kv-disk "$temp" --kv-ram 48m > "$temp/text"
grep -qE '^KV +48.0 MiB' "$temp/text" || { cat "$temp/text"; exit 1; }

# The rate of reading is that of the weights where they lie in memory, as those of a model that was just written, and
# are many.
"$mnemo" plan "$model" -c 512 > "$temp/text"
grep -q 'GB/s from a small buffer; much memory may be slower)' "$temp/text" || { cat "$temp/text"; exit 1; }
"$mnemo" init --arch llama --layers 16 --embd 512 --heads 8 --kv-heads 8 --ff 2048 --vocab-from "$model" --ctx 4096 \
    --type q8_0 --seed 1 -o "$temp/large.gguf" 2> "$temp/notes"
cat "$temp/large.gguf" > "$temp/copy"
"$mnemo" plan "$temp/large.gguf" -c 512 > "$temp/text"
grep -q "GB/s from the model's weights)" "$temp/text" || { cat "$temp/text"; exit 1; }
rm "$temp/large.gguf" "$temp/copy"

# A window that memory would not hold is run, where most of it leaves sight.
"$mnemo" run -q -m "$model" -c 100000k --attn sinks:4,508 -p 'She was' -n 1 > /dev/null

# A text's tokens are counted, and the window that holds them, a question and an answer is planned, or is told.
book=$MNEMO_SOURCE_DIR/models/demo/pride-and-prejudice.txt
n=$("$mnemo" tokenize -m "$model" --no-bos -f "$book" | wc -l)
"$mnemo" plan "$model" -f "$book" > "$temp/text"
has "$temp/text" "pride-and-prejudice.txt: $n tokens, "
needed=$(sed -n 's/.*: a window of \([0-9]*\) tokens.*/\1/p' "$temp/text")
[ "$needed" -gt $((n + 256)) ] && [ "$needed" -lt $((n + 400)) ] ||
    { echo "a window of $needed for $n tokens"; exit 1; }
"$mnemo" run -q -m "$model" -f "$book" -p 'What is the secret number of Boston?' -c "$needed" -n 200 > /dev/null
"$mnemo" plan "$model" -f "$book" -c 2048 > "$temp/text" && { echo 'a text that does not fit is exit code 0'; exit 1; }
has "$temp/text" "The text is longer: with a question and an answer it needs -c $needed."
"$mnemo" plan "$model" -f "$book" -f "$book" --json > "$temp/json"
tokens=$(sed -n 's/.*"text_tokens": \([0-9]*\),/\1/p' "$temp/json")
[ "$tokens" -ge $((2 * n)) ] || { echo "two books are $tokens tokens"; exit 1; }
"$mnemo" plan "$model" -f "$temp/none.txt" 2> "$temp/bad" && exit 1 || [ $? = 1 ]
