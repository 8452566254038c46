#!/usr/bin/env bash
# Who chooses the easy tokens: the table and picture of docs/techniques/routing.md. Makes small MLPs for a model, heals
# them unless STEPS is 0, and compares the learned routers with chance, positions and an oracle at equal shares.
# usage: routing-figures.sh [MNEMO]    MODEL, TEXTS=FOLDER to train on, TEXT to measure on, SMALL=8, SHARE=0.5,
#                                      STEPS=250, SHARES=20,35,50,65,80, WINDOWS=24, OUT=FOLDER for the models
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
mnemo=${1:-$here/build/mnemo}
model=${MODEL:-$here/models/default.gguf}
corpora=$here/../shared/data/corpora
texts=${TEXTS:-$corpora/train}
text=${TEXT:-$corpora/valid/ENG19010_Mason.txt}
small=${SMALL:-8} share=${SHARE:-0.5} steps=${STEPS:-250} windows=${WINDOWS:-24}
out=${OUT:-$(mktemp -d)}
[ -n "${OUT:-}" ] || trap 'rm -rf "$out"' EXIT

first=$(find "$texts" -name '*.txt' | sort | head -n 1)
"$mnemo" convert "$model" "$out/easy.gguf" --mlp-router "$small" --calibrate "$first" --calibrate-tokens 8192 \
    --router-share "$share"
if [ "$steps" != 0 ]; then
    cat >"$out/heal.ini" <<END
[model]
from = $out/easy.gguf
[train]
out = $out/healed.gguf
window = 512
batch = 8
steps = $steps
warmup = $((steps / 12))
validate-steps = 50
validation-windows = 32
[router]
only = true
share = $share
[loss]
teacher = $model
teacher-share = 0.7
[source prose]
paths = $texts
END
    "$mnemo" train "$out/heal.ini"
else
    cp "$out/easy.gguf" "$out/healed.gguf"
fi
"$mnemo" eval routers -m "$out/healed.gguf" -f "$text" --shares "${SHARES:-20,35,50,65,80}" --windows "$windows" \
    --svg "$here/docs/techniques/images/routing.svg"
