#!/usr/bin/env bash
# Measures the models that ship and writes or compares models/figures.tsv. Needles lie in TEXTS, books that training
# never saw, or in the chapter that ships.
# usage: measure-models.sh [--write] [MNEMO]    TEXTS=FOLDER
# --write: the file anew; else exit 1 where a score is off by more than .06, and 77 when the books are not here
set -euo pipefail
write=false
if [ "${1:-}" = --write ]; then write=true; shift; fi
here=$(cd "$(dirname "$0")/.." && pwd)
mnemo=${1:-$here/build/mnemo}
texts=${TEXTS:-$here/../shared/data/corpora/valid}
figures=$here/models/figures.tsv
new=$(mktemp)
trap 'rm -f "$new"' EXIT

# measure MODEL BOOKS LENGTHS N [OPTIONS]: a row a task and length.
measure() {
    local model=$1 books=$2 lengths=$3 n=$4
    shift 4
    local hay=()
    if [ "$books" = held-out ]; then for f in "$texts"/ENG*.txt; do hay+=(--haystack "$f"); done; fi
    "$mnemo" eval ours -m "$here/models/$model.gguf" --lengths "$lengths" -n "$n" "${hay[@]}" "$@" |
        awk -v OFS='\t' -v model="$model" -v books="$books" -v options="$*" -v n="$n" '
            $1 == "task" { for (i = 2; i <= NF; i++) length_of[i] = $i; next }
            /^(needle|keys|chain|values|json|passkey|passkey-filler|facts) / {
                rest = substr($0, length($1) + 1)
                for (i = 2; match(rest, /[0-9.]+ \[[0-9., ]+\]/); i++) {
                    split(substr(rest, RSTART, RLENGTH), part, " ")
                    interval = substr(rest, RSTART, RLENGTH)
                    sub(/^[^[]*/, "", interval)
                    print model, books, options, $1, length_of[i], n, part[1], interval
                    rest = substr(rest, RSTART + RLENGTH)
                }
            }'
}

# The cells of docs/models.md.
measure_all() {
    measure default shipped 512,4k 20
    measure infini shipped 4k,32k 10 --tasks passkey,passkey-filler
    [ -d "$texts" ] || return 0
    measure base held-out 512 200
    measure default held-out 512,4k 100
    measure default held-out 8k,16k 50 --rope-scaling yarn --tasks needle
    measure llama held-out 512 100
    measure llama-4k held-out 4k 100
    measure infini held-out 4k,32k 20 --tasks passkey,passkey-filler
    measure infini held-out 128k 20 --tasks passkey
    measure infini held-out 4k,32k 100 --tasks facts
}

measure_all >"$new"
if $write; then
    { printf '# made by tools/measure-models.sh --write: %s\n' \
        'model, books, options, task, tokens, n, score, 95 % interval'; cat "$new"; } >"$figures"
    exit
fi
awk -F'\t' '
    NR == FNR { if ($0 !~ /^#/) known[$1, $2, $3, $4, $5] = $7; next }
    { key = $1 SUBSEP $2 SUBSEP $3 SUBSEP $4 SUBSEP $5; off = $7 - known[key]
      verdict = !(key in known) ? "not in the card" : off > .06 || off < -.06 ? "OFF" : "as stated"
      bad += verdict != "as stated"
      printf "%-10s %-9s %-8s %6s tokens  n %-4s measured %.2f, stated %.2f: %s\n", $1, $2, $4, $5, $6, $7,
          known[key], verdict }
    END { exit bad > 0 }' "$figures" "$new"
[ -d "$texts" ] || { echo "skipped: the held-out books are not here; TEXTS=FOLDER names others." >&2; exit 77; }
