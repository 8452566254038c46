#!/usr/bin/env bash
# Puts the table of techniques, as the binary prints it, between its two marks in docs/techniques/README.md.
# tools/update-readme.sh [MNEMO [PAGE]]; --check instead of writing: exit 1 when the table is not what the binary prints.
set -euo pipefail
check=false
if [ "${1:-}" = --check ]; then check=true; shift; fi
here=$(cd "$(dirname "$0")/.." && pwd)
mnemo=${1:-$here/build/mnemo}
readme=${2:-$here/docs/techniques/README.md}
new=$(mktemp)
trap 'rm -f "$new"' EXIT

"$mnemo" info --techniques |
    sed 's#](src/#](../../src/#g; s#](tests/#](../../tests/#g' |
    awk -v readme="$readme" '
        { table = table $0 "\n" }
        END {
            while ((getline line < readme) > 0) {
                if (line == "<!-- end of the table -->") inside = 0
                if (!inside) print line
                if (line ~ /^<!-- techniques: /) { inside = 1; found = 1; printf "%s", table }
            }
            exit !found
        }' >"$new" || { echo "$readme: has no line <!-- techniques: ... -->" >&2; exit 1; }
if $check; then
    diff -u "$readme" "$new" || { echo "$readme: the table is stale: run tools/update-readme.sh" >&2; exit 1; }
else
    cat "$new" >"$readme"
fi
