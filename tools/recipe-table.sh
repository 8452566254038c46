#!/usr/bin/env bash
# How far scaled positions carry a model that was trained on 512 tokens: exact answers to needle questions about books
# it has never seen, as a Markdown table. The same seed gives the same texts.
# usage: recipe-table.sh MNEMO MODEL FOLDER-OF-TEXTS [QUESTIONS-PER-CELL]
set -euo pipefail
[ $# -ge 3 ] || { sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 2; }
mnemo=$1 model=$2 n=${4:-8}
books=("$3"/[A-Za-z]*.txt)
room=64 # tokens for the needle, the question and the answer
lengths=(512 1024 2048 4096)
schemes=(none ntk linear yarn)
cities=(Boston Paris Lisbon Oslo Cairo Delhi Lima Rome Quebec Vienna Madrid Dublin Athens Warsaw Geneva Havana)
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT
RANDOM=2024

# haystack TOKENS BOOK SKIP PERCENT NEEDLE: prose from the first line after SKIP bytes of a book, with the needle behind
# the first sentence that ends after PERCENT of it.
haystack() {
    local tokens=$(($1 - room))
    dd if="$2" iflag=skip_bytes,count_bytes skip="$3" count=$((tokens * 8 + 20000)) status=none | sed 1d >"$temp/part"
    "$mnemo" tokenize -m "$model" -f "$temp/part" --no-bos >"$temp/ids"
    head -n "$tokens" "$temp/ids" >"$temp/cut"
    "$mnemo" detokenize -m "$model" -f "$temp/cut" | awk -v percent="$4" -v needle="$5" -v RS='\001' '{
        at = int(length($0) * percent / 100)
        head = substr($0, 1, at); rest = substr($0, at + 1)
        if (match(rest, /[.!?][ \n]/)) { head = head substr(rest, 1, RSTART); rest = substr(rest, RSTART + 1) }
        printf "%s %s%s\n", head, needle, rest
    }'
}

# share LENGTH SCHEME: of the questions about texts of that length, those answered with the very value. The window is the
# length: a factor larger than needed costs answers.
share() {
    local right=0 i
    for ((i = 0; i < n; i++)); do
        read -r city value <"$temp/needle-$i"
        "$mnemo" run -q -m "$model" -c "$1" --rope-scaling "$2" -f "$temp/hay-$1-$i" -n 24 \
            -p "What is the secret number of $city?" >"$temp/answer"
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

echo "| positions, -c as long as the text |$(printf ' %s tokens |' "${lengths[@]}")"
echo "|---|---|---|---|---|"
for scheme in "${schemes[@]}"; do
    printf '| %s |' "$scheme"
    for length in "${lengths[@]}"; do share "$length" "$scheme"; done
    echo
done
