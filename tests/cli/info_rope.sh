#!/usr/bin/env bash
# mnemo info --rope: wavelengths of a model whose figures are known (base 10000, 16 dimensions, 256 tokens trained).
set -euo pipefail
mnemo=$1
model=$MNEMO_SOURCE_DIR/tests/data/golden/tiny-llama-yarn.gguf
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT

"$mnemo" info --rope "$model" -c 2048 | tr -s ' ' > "$temp/table"
grep -qx 'window 2048, trained 256, factor 8' "$temp/table"
# Pair 4 turns once in 2 pi 100 tokens, more than the trained window, and once in 8 times as many when interpolated.
grep -q '^ 4 628.3\* 5026.5\* 2061.7\* ' "$temp/table"
grep -q '^ 0 6.3 50.3 6.3 ' "$temp/table"
grep -q '^scale .* 1.207944 ' "$temp/table" # 0.1 ln 8 + 1

"$mnemo" info --rope "$model" -c 256 --json --svg "$temp/rope.svg" > "$temp/json"
[ "$(grep -c '"factor": 1.0' "$temp/json")" = 7 ]
grep -q 'none, linear, ntk, dynamic, ntk-parts, yarn, llama3' "$temp/rope.svg" # factor 1: one line
"$mnemo" info --rope "$MNEMO_SOURCE_DIR/tests/data/golden/tiny-bloom.gguf" 2> "$temp/error" && exit 1
grep -q 'bloom has no RoPE' "$temp/error"
