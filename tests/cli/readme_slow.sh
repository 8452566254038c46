#!/usr/bin/env bash
# README.md as it stands: the whole tour, the first answer, the table of scaled positions; and the longer table of
# docs/techniques/positions.md, where its model and texts are.
source "$(dirname "$0")/support.bash" "$1"
source "$(dirname "$0")/tour.bash"
mnemo=$(realpath "$mnemo")
cd "$MNEMO_SOURCE_DIR"

tour "$temp/tour.sh" "$temp"
bash -euo pipefail "$temp/tour.sh" >"$temp/out" 2>"$temp/err" </dev/null || fail 'the tour stops:' "$(cat "$temp/err")"
tour_told "$temp/out" "$temp/err"

# Commands and answers of the first block are those of the demo; figures are the machine's.
awk '/^\$ mnemo run/ { inside = 1 } inside && /^```/ { exit } inside && (/^\$/ || /^ /)' README.md >"$temp/first"
tools/demo.sh "$mnemo" 2>/dev/null | grep -E '^(\$| )' | diff "$temp/first" - || fail 'the demo says something else than README.md'

tools/update-readme.sh --check --positions "$mnemo"

base=$MNEMO_SHARED_DIR/data/models/base.gguf texts=$MNEMO_SHARED_DIR/data/corpora/valid
if [ -r "$base" ] && [ -d "$texts" ]; then
    tools/recipe-table.sh "$mnemo" "$base" "$texts" 0 >"$temp/table"
    grep -Fxf "$temp/table" docs/techniques/positions.md | diff - "$temp/table" || fail 'docs/techniques/positions.md says something else'
else
    echo 'left out: the table of docs/techniques/positions.md (not here: its model and texts)'
fi
