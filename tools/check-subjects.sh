#!/usr/bin/env bash
# check-subjects.sh: no commit made since the rule was set has a subject of more than 72 characters. In a shallow clone
# it looks at the commits that are there.
set -euo pipefail
cd "$(dirname "$0")/.."
since=2026-11-28T12:05:00Z
subjects=$(git log --no-merges --since-as-filter="$since" --format='%h %s' 2>/dev/null) ||
    { echo 'skipped: this is no checkout that git can list'; exit 77; }
long=$(LC_ALL=C.UTF-8 grep -E '^[0-9a-f]+ .{73,}' <<<"$subjects" || true)
[ -z "$long" ] || { echo 'subjects of more than 72 characters:'; echo "$long"; exit 1; }
