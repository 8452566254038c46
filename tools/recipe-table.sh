#!/usr/bin/env bash
# What scaling positions does to a model: the share of exact answers to questions about one number in prose, by length
# of the text, as a Markdown table. The same arguments give the same texts and the same table.
# usage: recipe-table.sh [MNEMO [MODEL [FOLDER-OF-TEXTS [WINDOW [QUESTIONS-PER-CELL]]]]]
# Without arguments it makes the table of README.md: the model and the novel that ship, in a window of 4096. WINDOW 0 is
# as long as the text, so that the factor is the smallest that is enough: the table of docs/techniques/positions.md.
set -euo pipefail
case ${1:-} in -*) sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 2 ;; esac
here=$(cd "$(dirname "$0")/.." && pwd)
mnemo=${1:-$here/build/mnemo} model=${2:-$here/models/default.gguf} folder=${3:-$here/models/demo} window=${4:-4096} \
    n=${5:-8}
books=("$folder"/[A-Za-z]*.txt)
[ -r "${books[0]}" ] || { echo "$folder: holds no text" >&2; exit 1; }
room=64 # tokens for the needle, the question and the answer
lengths=(512 1024 2048 3584)
schemes=(none ntk linear yarn)
cities=(Boston Paris Lisbon Oslo Cairo Delhi Lima Rome Quebec Vienna Madrid Dublin Athens Warsaw Geneva Havana)
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT
# Rounding decides answers that are nearly as likely as others: the level that nearly all x86 machines have, on each.
if "$mnemo" info --cpu | grep -q '^avx2'; then export MNEMO_CPU=${MNEMO_CPU:-avx2}; fi
RANDOM=2024
[ "$window" != 0 ] || lengths=(512 1024 2048 4096)

# haystack TOKENS BOOK SKIP PERCENT NEEDLE: prose from the first line after SKIP bytes of a book (fewer, where what is
# behind them would be too short), with the needle behind the first sentence that ends after PERCENT of it.
haystack() {
    local tokens=$(($1 - room)) skip=$3 size needed
    size=$(stat -Lc %s "$2") needed=$((tokens * 33 / 10))
    if ((skip + needed > size)); then skip=$((size > needed ? skip % (size - needed) : 0)); fi
    dd if="$2" iflag=skip_bytes,count_bytes skip="$skip" count=$((tokens * 8 + 20000)) status=none |
        if ((skip > 0)); then sed 1d; else cat; fi >"$temp/part"
    "$mnemo" tokenize -m "$model" -f "$temp/part" --no-bos >"$temp/ids"
    head -n "$tokens" "$temp/ids" >"$temp/cut"
    "$mnemo" detokenize -m "$model" -f "$temp/cut" | awk -v percent="$4" -v needle="$5" -v RS='\001' '{
        at = int(length($0) * percent / 100)
        head = substr($0, 1, at); rest = substr($0, at + 1)
        if (match(rest, /[.!?][ \n]/)) { head = head substr(rest, 1, RSTART); rest = substr(rest, RSTART + 1) }
        printf "%s %s%s\n", head, needle, rest
    }'
}

# share LENGTH SCHEME: of the questions about texts of that length, those answered with the very value. Positions are
# left unscaled, also where a window without scaling is refused, by a factor of 1: that of a window said to be the
# trained one.
share() {
    local right=0 i n_ctx=$((window ? window : $1)) scaling
    scaling=(--rope-scaling "$2")
    [ "$2" != none ] || scaling=(--rope-scaling linear --yarn-orig-ctx "$n_ctx")
    for ((i = 0; i < n; i++)); do
        read -r city value <"$temp/needle-$i"
        "$mnemo" run -q -m "$model" -c "$n_ctx" "${scaling[@]}" -f "$temp/hay-$1-$i" -n 24 \
            -p "What is the secret number of $city?" >"$temp/answer" </dev/null
        if grep -q "is $value\." "$temp/answer"; then right=$((right + 1)); fi
    done
    awk -v right="$right" -v n="$n" 'BEGIN { printf " %.2f |", right / n }'
}

for ((i = 0; i < n; i++)); do
    book=${books[i % ${#books[@]}]} city=${cities[i % ${#cities[@]}]} value=$((10000 + RANDOM * 3 % 90000))
    skip=$((1 + RANDOM * 3)) percent=$((5 + RANDOM % 85))
    echo "$city $value" >"$temp/needle-$i"
    for length in "${lengths[@]}"; do
        haystack "$length" "$book" "$skip" "$percent" "The secret number of $city is $value." >"$temp/hay-$length-$i"
    done
done

[ "$window" = 0 ] && title='-c as long as the text' || title="-c $window"
echo "| positions, $title |$(printf ' %s tokens |' "${lengths[@]}")"
echo "|---|---|---|---|---|"
for scheme in "${schemes[@]}"; do
    printf '| %s |' "$scheme"
    for length in "${lengths[@]}"; do share "$length" "$scheme"; done
    echo
done
