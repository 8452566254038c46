#!/usr/bin/env bash
# What each technique leaves of a text, on the models that ship: the tables and pictures of docs/models.md, and the heat
# map of README.md.
# usage: story.sh [MNEMO]    TEXTS=FOLDER of books that training never saw, N=samples of each task and length
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
mnemo=${1:-$here/build/mnemo}
texts=${TEXTS:-$here/../shared/data/corpora/valid}
n=${N:-20}
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT
hay=()
for f in "$texts"/ENG*.txt; do hay+=(--haystack "$f"); done

# ask NAME MODEL LENGTHS SETTING...: results into NAME.jsonl
ask() {
    local name=$1 model=$2 lengths=$3 settings=()
    shift 3
    for s in "$@"; do settings+=(--settings "$s"); done
    "$mnemo" eval compare -m "$here/models/$model.gguf" --tasks needle,keys,chain,json,passkey --lengths "$lengths" \
        -n "$n" "${hay[@]}" "${settings[@]}" -o "$temp/$name.jsonl" >"$temp/$name.txt" 2>"$temp/notes"
}

# table NAME...: a Markdown table of the average over tasks, a row a setting, from what the report prints.
table() {
    "$mnemo" eval report "${@/%/.jsonl}" --svg "$picture" | awk '
        $NF ~ /^[0-9]+[km]?$/ && $1 != "setting" {
            for (first = NF; $(first - 1) ~ /^[0-9]+[km]?$/; first--) continue
            setting = $1
            for (i = 2; i < first; i++) setting = setting " " $i
            if (!head++) {
                row = "| setting |"; line = "|---|"
                for (i = first; i <= NF; i++) { row = row " " $i " |"; line = line "---|" }
                print row; print line
            } }
        $1 == "average" { row = "| " setting " |"; for (i = 2; i <= NF; i++) row = row " " $i " |"; print row }'
}

"$mnemo" eval needle -m "$here/models/default.gguf" --rope-scaling yarn --lengths 512,1k,2k,4k,8k,16k --depths 11 -n 5 \
    "${hay[@]}" --svg "$here/docs/images/needle-default.svg" >"$temp/map.txt" 2>"$temp/notes"
ask base base 512,1k,2k,4k,8k rope-scaling=none rope-scaling=ntk rope-scaling=linear rope-scaling=yarn
ask default default 512,1k,2k,4k,8k rope-scaling=yarn
ask patterns default 1k,2k,4k attn=causal attn=window:512 attn=sinks:4,508 attn=quest:16,512 attn=moba:64,8 \
    attn=xattention:8,0.9 attn=snapkv:32,512 ctk=q8_0,ctv=q8_0 ctk=q4_0,ctv=q4_0
cd "$temp"
picture=$here/docs/images/story-positions.svg table base default
echo
picture=$here/docs/images/story-patterns.svg table patterns
