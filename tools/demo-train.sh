#!/usr/bin/env bash
# Trains a small model from nothing, shows how its loss falls, and lets it go on with a sentence.
set -euo pipefail
mnemo=$(realpath "$1")
cd "$(dirname "$0")/.."
folder=${2:-$(mktemp -d)}
out=$folder/toy.gguf

echo '$ mnemo train models/recipes/toy.ini'
"$mnemo" train models/recipes/toy.ini out="$out"
echo
echo 'The loss, step by step (training: +, validation: o), in nats per token:'
awk -v width=72 -v height=14 '
    function number(name) {
        if (!match($0, "\"" name "\": *[-0-9.e+]+")) return -1
        return substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 3) + 0
    }
    { loss[NR] = number("loss"); held[NR] = number("validation"); n = NR
      if (NR == 1 || loss[NR] < low) low = loss[NR]
      if (NR == 1 || loss[NR] > high) high = loss[NR] }
    function row(value) { return int((high - value) / (high - low) * (height - 1) + 0.5) }
    function column(i) { return n > 1 ? int((i - 1) / (n - 1) * (width - 1) + 0.5) : 0 }
    END {
        for (i = 1; i <= n; i++) mark[row(loss[i]), column(i)] = "+"
        for (i = 1; i <= n; i++) if (held[i] > 0) mark[row(held[i]), column(i)] = "o"
        for (r = 0; r < height; r++) {
            printf "%6.2f |", high - r / (height - 1) * (high - low)
            for (c = 0; c < width; c++) printf "%s", (r, c) in mark ? mark[r, c] : " "
            print ""
        }
        printf "       +"; for (c = 0; c < width; c++) printf "-"; printf "\n%8s step 1%*d\n", "", width - 7, n
    }' "$out.run/log.jsonl"
echo
echo "\$ mnemo run -m toy.gguf 'It is a truth' -n 24"
"$mnemo" run -q -m "$out" 'It is a truth' -n 24 --temp 0
echo
echo "The curve: $out.run/loss.svg    settings, losses, time: $out.run/card.md"
