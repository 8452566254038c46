#!/usr/bin/env bash
# Puts what commands print between its marks in the pages: the table of techniques into docs/techniques/README.md, and
# with --positions, which takes a minute, the table of scaled positions into README.md.
# usage: update-readme.sh [--check] [--positions] [MNEMO]    --check: exit 1 when a page does not hold what is printed
set -euo pipefail
check=false positions=false
while case ${1:-} in --check) check=true ;; --positions) positions=true ;; *) false ;; esac do shift; done
here=$(cd "$(dirname "$0")/.." && pwd)
mnemo=${1:-$here/build/mnemo}
new=$(mktemp)
trap 'rm -f "$new"' EXIT

# put PAGE MARK: the table of standard input in the place of that behind the line "<!-- MARK: ... -->" of the page.
put() {
    awk -v page="$1" -v mark="<!-- $2: " '
        { table = table $0 "\n" }
        END {
            while ((getline line < page) > 0) {
                if (line == "<!-- end of the table -->") inside = 0
                if (!inside) print line
                if (index(line, mark) == 1) { inside = 1; found = 1; printf "%s", table }
            }
            exit !found
        }' >"$new" || { echo "$1: has no line <!-- $2: ... -->" >&2; exit 1; }
    if ! $check; then
        cat "$new" >"$1"
    elif ! diff -u "$1" "$new"; then
        echo "$1: the table is stale: run tools/update-readme.sh" >&2
        exit 1
    fi
}

if $positions; then
    "$here/tools/recipe-table.sh" "$mnemo" | put "$here/README.md" positions
else
    env -u COLUMNS "$mnemo" info --techniques | sed 's#](src/#](../../src/#g; s#](tests/#](../../tests/#g' |
        put "$here/docs/techniques/README.md" techniques
fi
