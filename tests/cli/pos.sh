#!/usr/bin/env bash
# --pos, --attn sinks and --yarn-ext-factor on a model: what they reach, and what they refuse.
. "$(dirname "$0")/support.bash" "$1"
model=$MNEMO_SOURCE_DIR/models/default.gguf
seq 3 402 | tr '\n' ' ' > "$temp/ids"

logits() { "$mnemo" logits -m "$model" --tokens "$temp/ids" --at 0,399 "$@"; }

# Nothing is far within the first part: the same bits.
logits -o "$temp/plain"
for map in self-extend:8,400 dca:500,90 string:400,9; do
    logits -o "$temp/mapped" --pos $map
    cmp "$temp/plain" "$temp/mapped" || fail "$map"
done
logits -o "$temp/far" --pos self-extend:8,40
! cmp -s "$temp/plain" "$temp/far"

expect 2 'mnemo logits: "pose:3" is no position map: there are self-extend:G,W, dca:C,L, string:S,W and sinks:S,W.' \
    logits -o "$temp/none" --pos pose:3
expect 2 'mnemo logits: the position map dca needs every key, and the pattern window:8 leaves some out; choose one. Leave out --pos, or leave out --attn and --attn-layers.' \
    logits -o "$temp/none" --pos dca --attn window:8
expect 1 "mnemo logits: context 20000 is beyond the 7192 that self-extend with 2 and 1000 reaches on a window of 4096; use \
a smaller window, change its numbers, or scale positions. Use -c 7192, or use --rope-scaling yarn." logits -o "$temp/none" --pos self-extend:2,1000 -c 20000

# No share of YaRN's ramp is linear interpolation.
logits -o "$temp/linear" --rope-scaling linear --rope-scale 4
logits -o "$temp/no-ramp" --rope-scaling yarn --rope-scale 4 --yarn-ext-factor 0
logits -o "$temp/ramp" --rope-scaling yarn --rope-scale 4
cmp "$temp/linear" "$temp/no-ramp"
! cmp -s "$temp/linear" "$temp/ramp"
expect 2 'mnemo logits: --yarn-ext-factor does not take "2" (wanted: -1 to 1).
usage: mnemo logits [MODEL] --tokens FILE [--at I,J,...] -o OUT [options]
try: mnemo logits --help' logits -o "$temp/none" --yarn-ext-factor 2
