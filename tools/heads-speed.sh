#!/usr/bin/env bash
# What other heads cost and save in time: a random model of 0.38 billion parameters (the one that make bench measures)
# as it is and with fewer or latent heads, decoding at depths of context. Prints the table of docs/techniques/heads.md.
# The models take turns, ROUNDS times, and the fastest of six short measurements of each counts: other jobs make a
# machine slow, never fast.
# usage: heads-speed.sh [MNEMO]    HEADS="gqa:4 mla:192,rope=64 ...", DEPTHS=8192,32768, ROUNDS=2, THREADS=0,
#        OUT=FOLDER for models
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
mnemo=$(realpath "${1:-$here/build/mnemo}")
all=${HEADS:-gqa:4 gqa:2 mqa mla:192,rope=64 mla:96,rope=32}
depths=${DEPTHS:-8192,32768} rounds=${ROUNDS:-2} threads=${THREADS:-0}
temp=$(mktemp -d)
out=${OUT:-$temp}
trap 'rm -rf "$temp"' EXIT
model=$(dirname "$mnemo")/bench.gguf
[ -r "$model" ] || "$here/tools/bench.sh" "$mnemo" -d 0 -p 8 -n 1 -r 1 >/dev/null

# field NAME FILE: the values of a key, one a line.
field() { sed -n "s/^ *\"$1\": \([0-9.]*\),*$/\1/p" "$2"; }
# file HEADS
file() { [ "$1" = own ] && echo "$model" || echo "$out/$1.gguf"; }

# No text is asked for: what matters here is the shape.
for heads in $all; do
    [ -r "$(file "$heads")" ] && continue
    method=mean
    [ "${heads#mla}" = "$heads" ] || method=mha2mla
    "$mnemo" convert "$model" "$(file "$heads")" --heads "$heads" --method "$method" 2>/dev/null
done
for ((i = 0; i < rounds; i++)); do
    for heads in own $all; do
        "$mnemo" bench -m "$(file "$heads")" -t "$threads" -d "$depths" -p 128 -n 2 -r 6 --json >"$temp/json"
        paste <(field depth "$temp/json") <(field kv_bytes "$temp/json") <(field decode_tps_max "$temp/json") \
            <(field prefill_tps_max "$temp/json") | sed "s/^/$heads\t/" \
            >>"$temp/rows"
    done
done
echo '| heads | KV bytes a token | depth | KV cache | decode tokens/s | | prefill tokens/s | |'
echo '|---|---|---|---|---|---|---|---|'
for heads in own $all; do
    "$mnemo" plan "$(file "$heads")" -c 1024 --json | tr ',' '\n' |
        sed -n "s/.*\"kv_bytes\": *\([0-9]*\).*/$heads\t\1/p" >>"$temp/kv"
done
awk -F'\t' '
    FILENAME ~ /kv$/ { bytes[$1] = $2 / 1024; next }
    { at = $1 "\t" $2
      if (!(at in held)) order[++n] = at
      held[at] = $3
      if ($4 > decode[at]) decode[at] = $4
      if ($5 > prefill[at]) prefill[at] = $5 }
    END { for (i = 1; i <= n; i++) {
        split(order[i], of, "\t")
        own = "own\t" of[2]
        printf "| %s | %d | %d | %.0f MiB | %.1f | %.2f | %.0f | %.2f |\n", of[1], bytes[of[1]], of[2],
            held[order[i]] / 1048576, decode[order[i]], decode[order[i]] / decode[own], prefill[order[i]],
            prefill[order[i]] / prefill[own] } }' "$temp/kv" "$temp/rows"
