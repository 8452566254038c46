#!/usr/bin/env bash
# The table of docs/techniques/positions.md is made by the command below it, from texts that are not committed.
source "$(dirname "$0")/support.bash" "$1"
texts=$MNEMO_SHARED_DIR/data/corpora/valid
[ -d "$texts" ] || { echo "not here: $texts"; exit 77; }
cd "$MNEMO_SOURCE_DIR"
tools/recipe-table.sh "$(realpath "$mnemo")" models/base.gguf "$texts" 0 >"$temp/table"
grep -Fxf "$temp/table" docs/techniques/positions.md | diff - "$temp/table" ||
    fail 'docs/techniques/positions.md says something else'
