#!/usr/bin/env bash
# Experts made of dense MLPs: how evenly training uses them, step by step, and what it costs that they lie on the disk.
# The figures and the picture of docs/techniques/routing.md.
# usage: experts-figures.sh [MNEMO] [balance|cold]    TEXTS=FOLDER to train on, STEPS=80, THREADS,
#        OUT=FOLDER for models
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
mnemo=$(realpath "${1:-$here/build/mnemo}")
part=${2:-both}
texts=${TEXTS:-$here/../shared/data/corpora/train}
steps=${STEPS:-80} threads=${THREADS:-0}
temp=$(mktemp -d)
out=${OUT:-$temp}
trap 'rm -rf "$temp"' EXIT

# train NAME EXPERTS SETTING...: a line for the picture at each step.
train() {
    local name=$1 experts=$2
    shift 2
    "$mnemo" convert "$here/models/default.gguf" "$temp/experts.gguf" --experts "$experts" 2>/dev/null
    rm -rf "$temp"/taught.gguf*
    printf '%s\n' '[model]' "from = $temp/experts.gguf" '[train]' "out = $temp/taught.gguf" 'window = 256' 'batch = 4' \
        "steps = $steps" "warmup = $((steps / 10))" 'rate = 0.0005' "threads = $threads" 'validation-windows = 16' \
        "validate-steps = $steps" '[loss]' "teacher = $here/models/default.gguf" 'teacher-share = 0.9' \
        '[source prose]' "paths = $texts" >"$temp/c.ini"
    "$mnemo" train "$temp/c.ini" "$@" >/dev/null 2>&1
    sed -n "s/.*\"step\": \([0-9]*\),.*\"busiest_expert\": \([0-9.]*\),.*/$name\t\1\t\2/p" \
        "$temp/taught.gguf.run/log.jsonl" >"$temp/load"
    cat "$temp/load" >>"$temp/chart.tsv"
    awk -F'\t' -v name="$name" -v experts="$experts" -v loss="$(sed -n 's/.*"validation": \([0-9.]*\),.*/\1/p' \
        "$temp/taught.gguf.run/log.jsonl" | tail -n 1)" '
        { last[NR % 10] = $3 }
        NR == 1 { first = $3 }
        NR >= 40 && NR < 50 { forty += $3 / 10 }
        END { for (i in last) mean += last[i] / 10
              printf "| `%s` | %s | %.2f | %.2f | %.2f | %.3f |\n", experts, name, first, forty, mean, loss }' \
        "$temp/load"
}

balance() {
    echo '| experts | kept even by | at first | steps 40 to 49 | last 10 | held-out loss |'
    echo '|---|---|---|---|---|---|'
    train 'nothing' 8,2 loss.balance=0
    train 'a loss of 0.01' 8,2 loss.balance=0.01
    for rate in 0.003 0.006 0.02; do
        train "biases by $rate" 8,2,bias loss.balance-bias=true loss.balance-bias-rate=$rate
    done
    awk -F'\t' -v OFS='\t' '{ sum[$1] += $3; n[$1]++; steps[$1] += $2 }
        n[$1] == 5 { print $1, steps[$1] / 5, sum[$1] / 5; sum[$1] = n[$1] = steps[$1] = 0 }' "$temp/chart.tsv" \
        >"$temp/smooth.tsv"
    "$mnemo" eval chart "$temp/smooth.tsv" --svg "$here/docs/techniques/images/experts.svg" \
        --title 'Eight experts, two a token: how even' --x 'step' --y 'visits of the busiest, 1 = even'
}

# speed NAME FLAG...: tokens a second of the fastest of six decoded tokens; other jobs make a machine slow, never fast.
speed() {
    local name=$1
    shift
    "$mnemo" bench -m "$out/cold.gguf" -t "$threads" -d 0 -p 0 -n 1 -r 6 --json "$@" |
        sed -n "s/^ *\"decode_tps_max\": \([0-9.]*\),*$/$name\t\1/p" >>"$temp/speeds"
}

cold() {
    local model
    model=$(dirname "$mnemo")/bench.gguf
    [ -r "$model" ] || "$here/tools/bench.sh" "$mnemo" -d 0 -p 8 -n 1 -r 1 >/dev/null
    [ -r "$out/cold.gguf" ] || "$mnemo" convert "$model" "$out/cold.gguf" --experts 8,2 --expert-noise 0 2>/dev/null
    sync
    for i in 1 2; do
        speed 'in memory'
        speed 'in memory, asked for ahead' --experts-on-disk
        speed 'on the disk' --cold
        speed 'on the disk, asked for ahead' --cold --experts-on-disk
    done
    echo '| weights of experts | decode tokens/s |'
    echo '|---|---|'
    awk -F'\t' '!($1 in best) { order[++n] = $1 } $2 > best[$1] { best[$1] = $2 }
        END { for (i = 1; i <= n; i++) printf "| %s | %.2f |\n", order[i], best[order[i]] }' "$temp/speeds"
}

[ "$part" = cold ] || balance
[ "$part" = balance ] || cold
