#!/usr/bin/env bash
# README.md as it stands: the whole tour, the first answer, the table of scaled positions.
source "$(dirname "$0")/support.bash" "$1"
source "$(dirname "$0")/tour.bash"
mnemo=$(realpath "$mnemo")
cd "$MNEMO_SOURCE_DIR"

tour "$temp/tour.sh" "$temp"
bash -euo pipefail "$temp/tour.sh" >"$temp/out" 2>"$temp/err" </dev/null || fail 'the tour stops:' "$(cat "$temp/err")"
tour_told "$temp/out" "$temp/err"

# Commands and answers of the first block are those of the demo; figures are the machine's.
awk '/^\$ mnemo run/ { inside = 1 } inside && /^```/ { exit } inside && (/^\$/ || /^ /)' README.md >"$temp/first"
tools/demo.sh "$mnemo" 2>/dev/null | grep -E '^(\$| )' | diff "$temp/first" - ||
    fail 'the demo says something else than README.md'

tools/update-readme.sh --check --positions "$mnemo"
