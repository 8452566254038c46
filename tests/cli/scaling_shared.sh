#!/usr/bin/env bash
# mnemo scaling fit on the published runs: 245 points, the five of highest loss dropped, tokens from the FLOP.
. "$(dirname "$0")/support.bash" "$1"

points=$MNEMO_SHARED_DIR/data/scaling/data_svg_extracted_data.csv
[ -r "$points" ] || { echo "skipped: $points is not here"; exit 77; }
sort -t, -k7,7gr "$points" | awk -F, 'BEGIN { print "params,tokens,loss" }
    $4 + 0 > 0 && ++n > 5 { printf "%.17g,%.17g,%s\n", $4, $5 / (6 * $4), $7 }' >"$temp/published.csv"
answer=$("$mnemo" scaling fit "$temp/published.csv" --json)
grep -qF '"points": 240' <<<"$answer" || fail "not 240 points: $answer"
awk '/"objective"/ { exit !($2 + 0 <= 0.0010182741) }' <<<"$answer" || fail "objective too high: $answer"
