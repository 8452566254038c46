#!/usr/bin/env bash
# Speed by depth of context on a random model of 0.38 billion parameters: the geometry that docs/performance.md
# measures.
# --hybrid: a hybrid of 0.41 billion instead, three gated-delta layers for each that attends.
# usage: bench.sh MNEMO [--hybrid] [options of mnemo bench]
set -euo pipefail
mnemo=$1
shift
name=bench
shape=(--arch llama --heads 16 --kv-heads 8)
if [ "${1-}" = --hybrid ]; then
    shift
    name=bench-hybrid
    shape=(--arch qwen35 --heads 8 --kv-heads 2 --head-dim 128)
fi
here=$(cd "$(dirname "$0")/.." && pwd)
model=$(dirname "$mnemo")/$name.gguf
vocab=$here/../shared/data/tokenizers/ggml-vocab-llama-bpe.gguf
if [ ! -r "$vocab" ]; then
    vocab=$here/models/default.gguf
    echo "Llama 3's vocabulary is not here, so the model gets one of 2048 tokens:" \
        "less work per token than in docs/performance.md."
fi
[ -r "$model" ] || "$mnemo" init "${shape[@]}" --layers 16 --embd 1024 --ff 4096 \
    --vocab-from "$vocab" --ctx 131072 --type q8_0 --seed 1 -o "$model"
exec "$mnemo" bench -m "$model" -d 0,16384 "$@"
