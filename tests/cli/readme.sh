#!/usr/bin/env bash
# The tables and the tour of the pages are what the binary prints and does, and the files, tests and verbs they name are
# there.
set -euo pipefail
mnemo=$1
cd "$MNEMO_SOURCE_DIR"
failed=0
fail() { echo "$*"; failed=1; }

tools/update-readme.sh --check "$mnemo" || failed=1

"$mnemo" info --techniques | grep -F '| ? |' && fail 'the table has techniques without a file or a test'

# Files and tests of the table, and every relative link of every page, from the page's own folder.
pages=(README.md CHANGELOG.md CONTRIBUTING.md models/*.md docs/*.md docs/*/*.md)
for page in "${pages[@]}"; do
    [ -f "$page" ] || continue
    while read -r link; do
        [ -e "$(dirname "$page")/$link" ] || fail "$page: names $link, which is not there"
    done < <(grep -oE '\]\([^)#]+' "$page" | cut -c3- | sed '/^http/d; s/#.*//' | sort -u)
done

# Paths in backquotes, but for those with a word in capitals that stands for many.
for page in "${pages[@]}"; do
    [ -f "$page" ] || continue
    while read -r path; do
        compgen -G "$path" >/dev/null || fail "$page: names $path, which is not there"
    done < <(grep -oE '`(src|tests|tools|docs|models|include)/[A-Za-z0-9_./*-]+`' "$page" |
        tr -d '`' | grep -v '[A-Z][A-Z][A-Z]' | sort -u)
done

# Flags of the table, by the help of run.
help=$("$mnemo" run --help)
while read -r flag; do
    grep -qF -- "$flag" <<<"$help" || fail "the table names $flag, which run --help does not"
done < <("$mnemo" info --techniques --json | sed -nE 's/.*"flag": "(-[a-z-]+).*/\1/p' | sort -u)

# Verbs that the pages use, in backquotes and in blocks of code.
verbs=$("$mnemo" --help | awk '/^  [a-z]/ { print $1 }')
while read -r verb; do
    grep -qx -- "$verb" <<<"$verbs" || fail "a page says mnemo $verb, and there is no such verb"
done < <({
    awk '/^```/ { inside = !inside } inside' README.md docs/*.md docs/*/*.md | grep -oE '^(\$ )?mnemo [a-z]+'
    grep -ohE '`mnemo [a-z]+' README.md docs/*.md docs/*/*.md
} | sed 's/.*mnemo //' | sort -u)

# The tour, with a shorter haystack and a shallower bench; readme_slow.sh runs it as it stands.
source "$(dirname "$0")/tour.bash"
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT
mnemo=$(realpath "$mnemo")
tour "$temp/tour.sh" "$temp" 's/haystack.sh 131072/haystack.sh 2048/; s/-d 0,4096 -n 16 -r 3/-d 0,64 -n 2 -r 1/'
bash -euo pipefail "$temp/tour.sh" >"$temp/out" 2>"$temp/err" </dev/null ||
    fail 'the tour stops:' "$(cat "$temp/out" "$temp/err")"
tour_told "$temp/out" "$temp/err"
exit $failed
