#!/usr/bin/env bash
# What other heads cost the models that ship, before and after healing: the table, the figures and the picture of
# docs/techniques/heads.md. Cells that docs/techniques/heads.tsv has already are not measured again.
# usage: heads-figures.sh [--draw] [MNEMO]    TEXTS=FOLDER to train on, HELD=FOLDER of books that training never saw,
#        STEPS of healing and LONG of long healing, KEEP=FOLDER for what was healed, N=samples of each task, THREADS;
#        --draw: measure nothing
set -euo pipefail
draw=false
if [ "${1:-}" = --draw ]; then draw=true; shift; fi
here=$(cd "$(dirname "$0")/.." && pwd)
mnemo=$(realpath "${1:-$here/build/mnemo}")
texts=${TEXTS:-$here/../shared/data/corpora/train}
held=${HELD:-$here/../shared/data/corpora/valid}
steps=${STEPS:-150} long=${LONG:-2500} n=${N:-40} threads=${THREADS:-0}
figures=$here/docs/techniques/heads.tsv
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT
hay=()
for f in "$held"/ENG*.txt; do hay+=(--haystack "$f"); done

# score FILE: one fact, and the average over five tasks, of the same samples every time.
score() {
    "$mnemo" eval compare -m "$1" -t "$threads" --tasks needle,keys,chain,json,passkey --lengths 512 -n "$n" \
        "${hay[@]}" 2>/dev/null | awk '$1 == "needle" { one = $2 } $1 == "average" { all = $2 } END { print one, all }'
}

# row MODEL HEADS METHOD BYTES LOSS STAGE SCORES: a line of the figures.
row() { printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$@" >>"$figures"; }
# has MODEL HEADS METHOD STAGE: whether there is such a line.
has() { grep -qF "$(printf '%s\t%s\t%s\t%s\t' "$@")" "$figures"; }

# convert MODEL HEADS METHOD [HEAL...]: what it says goes to $temp/said.
convert() {
    local model=$1 heads=$2 method=$3
    shift 3
    "$mnemo" convert "$here/models/$model.gguf" "$temp/out.gguf" --heads "$heads" --method "$method" -t "$threads" \
        --calibrate "$held/ENG18411_Tupper.txt" "$@" >/dev/null 2>"$temp/said"
}

# Healing: a short one on the mixture of --needles, and a long one on what llama.gguf itself was trained on last
# (models/recipes/llama.ini).
short=(batch=4 optimiser=muon muon-rate=0.01 rate=0.002 schedule=linear min-rate=0.02 warmup=10 validation-windows=0)
mixture=(loss.text=0.3 source.data.weight=0.14 source.key-value.weight=0.3 source.key-value.max-keys=12
    source.chain.weight=0.12 source.chain.max-keys=3 source.chain.max-hops=4 source.passkey.weight=0.05
    source.passkey.max-keys=1 source.json.weight=0.14 source.json.max-keys=6 source.values.weight=0.25
    source.values.min-keys=2 source.values.max-keys=5)

# heal MODEL HEADS METHOD STAGE STEPS SETTING...
heal() {
    local model=$1 heads=$2 method=$3 stage=$4 n_steps=$5
    shift 5
    has "$model" "$heads" "$method" "$stage" && return
    rm -rf "$temp"/out.gguf*
    convert "$model" "$heads" "$method" --needles --heal "$texts" "$n_steps" "$@"
    row "$model" "$heads" "$method" "$stage" "$(awk '/^KV cache/ { print $8 }' "$temp/said")" \
        "$(sed -n 's/^perplexity .* \([0-9.]*\) healed by .*$/\1/p' "$temp/said")" $(score "$temp/out.gguf") "$n_steps"
    [ -z "${KEEP:-}" ] || cp "$temp/out.gguf" "$KEEP/$model-$heads-$method-$stage.gguf"
}

# cell MODEL HEADS METHOD [healed] [healed-long]: converted, and healed too.
cell() {
    local bytes perplexity
    if ! has "$1" "$2" "$3" converted; then
        convert "$1" "$2" "$3"
        bytes=$(awk '/^KV cache/ { print $8 }' "$temp/said")
        perplexity=$(sed -n 's/^perplexity .* \([0-9.]*\) after$/\1/p' "$temp/said")
        row "$1" "$2" "$3" converted "$bytes" "$perplexity" $(score "$temp/out.gguf") 0
    fi
    case " $* " in *' healed '*) heal "$1" "$2" "$3" healed "$steps" "${short[@]}" ;; esac
    case " $* " in *' healed-long '*) heal "$1" "$2" "$3" healed-long "$long" "${short[@]}" "${mixture[@]}" ;; esac
}

# own MODEL BYTES: the model as it is.
own() {
    has "$1" own - as-it-is && return
    convert "$1" mqa mean
    row "$1" own - as-it-is "$2" "$(sed -n 's/^perplexity .* \([0-9.]*\) before, .*$/\1/p' "$temp/said")" \
        $(score "$here/models/$1.gguf") 0
}

if ! $draw; then
    [ -e "$figures" ] || printf '%s\n' '# made by tools/heads-figures.sh' \
        '# model, heads, method, stage, bytes, perplexity, needle, average, steps' >"$figures"
    for model in llama base default; do own $model 3072; done
    cell llama mla:56,rope=40 transmla healed healed-long
    cell llama mla:64,rope=32 transmla healed
    cell llama mqa mean healed
    cell llama mla:32,rope=32 transmla healed
    for heads in mla:96,rope=32 mla:128,rope=64 mla:192,rope=64 mla:64,rope=64 mla:80,rope=16; do
        cell llama $heads transmla
    done
    cell llama mla:64,rope=32 mha2mla healed
    for heads in mla:96,rope=32 mla:128,rope=64; do cell llama $heads mha2mla; done
    cell base mqa mean healed
    cell llama mqa first
    cell default mqa mean healed
fi

# Of perplexity, the share of the model's own that is left: 1 is no loss, as with scores. There is room for eight lines.
awk -F'\t' -v OFS='\t' '
    /^#/ || $1 != "llama" || $3 == "first" { next }
    $4 == "as-it-is" { own = $6; next }
    $3 != "mean" || $4 != "converted" { print "score: " $3 ", " $4, $5, $8 }
    $3 == "transmla" && $4 != "healed-long" { print "perplexity kept: " $3 ", " $4, $5, own / $6 }' "$figures" |
    sed 's/mean/mqa/' | sort -t$'\t' -k1,1 -k2,2n >"$temp/chart.tsv"
"$mnemo" eval chart "$temp/chart.tsv" --svg "$here/docs/images/heads.svg" --log-x \
    --title 'Other heads for models/llama.gguf (3072 bytes a token)' --x 'KV cache, bytes a token in f16' \
    --y 'average score; share of perplexity'
awk -F'\t' '
    /^#/ { next }
    FNR == 1 || !head++ { print "| model | heads | method | KV bytes | | perplexity | one fact | five tasks |"
                          print "|---|---|---|---|---|---|---|---|" }
    { stage = $4 == "as-it-is" ? "as it is" : $4
      if ($4 ~ /^healed/) stage = "healed, " $9 " steps" ($4 ~ /long/ ? ", own mixture" : "")
      printf "| %s | %s | %s | %s | %s | %.1f | %.2f | %.3f |\n", $1, $2, $3, $5, stage, $6, $7, $8 }' "$figures"
