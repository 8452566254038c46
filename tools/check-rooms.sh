#!/usr/bin/env bash
# check-rooms.sh: a room (src/X/) includes headers of itself and of the rooms above it in the list alone.
set -euo pipefail
cd "$(dirname "$0")/.."
rooms='base tensor kernels position kvcache attention recurrent mlp model jinja tokenizer sample grammar session train
    scaling convert document eval store llm graph memory server bench cli'
files=$(git ls-files 'src/*.[ch]' 2>/dev/null) || { echo 'skipped: this is no checkout that git can list'; exit 77; }
xargs grep -H '^#include "' <<<"$files" | awk -v rooms="$rooms" '
    BEGIN { n = split(rooms, list); for (i = 1; i <= n; i++) rank[list[i]] = i }
    { colon = index($0, ":"); file = substr($0, 1, colon - 1); split(file, part, "/"); room = part[2]
      split($0, quoted, "\""); header = quoted[2]; split(header, part, "/"); other = part[1]
      if (!(room in rank)) { print file ": the room " room " is not in the list"; bad++; next }
      if (!(other in rank)) { print file ": " header " is in no room of the list"; bad++; next }
      if (rank[other] <= rank[room]) next
      print file " includes " header ", of a room below"; bad++ }
    END { exit bad > 0 }'
