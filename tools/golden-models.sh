#!/usr/bin/env bash
# Makes the reference logits of the models that ship anew (tests/data/models), or with --check compares them, bit for
# bit.
# usage: golden-models.sh [--check] [MNEMO-REFERENCE]
set -euo pipefail
check=false
if [ "${1:-}" = --check ]; then check=true; shift; fi
here=$(cd "$(dirname "$0")/.." && pwd)
reference=${1:-$here/build/tests/mnemo-reference}
data=$here/tests/data/models
new=$(mktemp)
trap 'rm -f "$new"' EXIT
for run in "$data"/*.short.json; do
    name=$(basename "$run" .short.json)
    "$reference" "$here/models/$name.gguf" "$run" "$new"
    sum=$(sha256sum <"$here/models/$name.gguf" | cut -d' ' -f1)
    if ! $check; then
        cat "$new" >"$data/$name.short.bin"
        sed -i "s/\"model_sha256\": \"[0-9a-f]*\"/\"model_sha256\": \"$sum\"/" "$run"
    elif ! cmp -s "$new" "$data/$name.short.bin" || ! grep -q "$sum" "$run"; then
        echo "$run: not of this model; run tools/golden-models.sh" >&2
        exit 1
    fi
done
