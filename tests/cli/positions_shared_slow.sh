#!/usr/bin/env bash
# The table of docs/techniques/positions.md is made by the command below it, from a model and texts that are not
# committed.
source "$(dirname "$0")/support.bash" "$1"
base=$MNEMO_SHARED_DIR/data/models/base.gguf texts=$MNEMO_SHARED_DIR/data/corpora/valid
[ -r "$base" ] && [ -d "$texts" ] || { echo "not here: $base and $texts"; exit 77; }
cd "$MNEMO_SOURCE_DIR"
tools/recipe-table.sh "$(realpath "$mnemo")" "$base" "$texts" 0 >"$temp/table"
grep -Fxf "$temp/table" docs/techniques/positions.md | diff - "$temp/table" ||
    fail 'docs/techniques/positions.md says something else'
