#!/usr/bin/env bash
# What is printed for a terminal of 40 columns fits into it: tables, pictures, summaries, help, progress.
source "$(dirname "$0")/support.bash" "$1"
model=$MNEMO_SOURCE_DIR/models/default.gguf
cp "$model" "$temp/m.gguf"
mnemo=$(realpath "$mnemo")
cd "$temp"
echo 'A short text about Paris.' >t.txt

# fits COMMAND...: no line is wider than 40 columns, but for a word that cannot be broken; and something is printed.
fits() {
    COLUMNS=40 "$mnemo" "$@" >out 2>err </dev/null || fail "mnemo $*" "$(cat err)"
    [ -s out ] || fail "mnemo $* printed nothing"
    LC_ALL=C.UTF-8 awk 'length > 40 && !/^ *[^ ]*$/ { print; wide = 1 } END { exit wide }' out >wide ||
        fail "mnemo $* is wider than 40 columns:" "$(cat wide)"
}
fits --help
verbs=(run chat plan info bench eval attn init convert train tokenize detokenize logits scaling)
for verb in "${verbs[@]}"; do fits help $verb; done
fits info m.gguf
fits info m.gguf --rope -c 8192
fits info m.gguf --keys
fits info m.gguf --tensors
fits info --techniques
fits info --archs
fits info --cpu
fits plan m.gguf -c 1000k
fits eval tasks
fits eval ppl m.gguf -f t.txt --windows 8,16
fits eval compare m.gguf --tasks needle,kv --lengths 128,256 -n 1 --settings c=256 --settings attn=sinks:4,60
fits eval needle m.gguf --lengths 128 -n 1 --depths 2
fits attn list
fits attn show bigbird:64,3,2,3 -n 4096
fits attn show sinks:4,60 -n 100
fits scaling table
fits scaling table --flops 5.76e23
fits scaling loss --params 70B --tokens 15T
fits scaling optimal --flops 1e21 --law kaplan
fits scaling optimal --gpu h200 --count 8 --days 30
printf '/read t.txt\n/ctx\n/help\n' | COLUMNS=40 "$mnemo" chat m.gguf >out
LC_ALL=C.UTF-8 awk 'length > 40 { exit 1 }' out || fail "$(cat out)"

# Without COLUMNS a file gets whole lines.
env -u COLUMNS "$mnemo" attn list >out
[ "$(wc -L <out)" -gt 80 ] || fail 'lines of a file are folded'

# Sentences on a terminal are folded there; whole where a program reads them.
COLUMNS=40 "$mnemo" run nowhere.gguf x 2>err >out </dev/null && fail 'a model from nowhere'
grep -qx 'mnemo run: nowhere.gguf: cannot open: No such file or directory.' err || fail "$(cat err)"

# Progress and figures on a terminal of 40 columns: what is drawn between two returns fits.
command -v script >/dev/null || { echo 'skipped: progress on a terminal; script is not here'; exit 77; }
for _ in 1 2; do cat "$MNEMO_SOURCE_DIR/models/demo/pride-and-prejudice.txt"; done >long.txt
COLUMNS=40 script -qec "'$mnemo' run m.gguf -f long.txt -p Who? -n 2 -c 8000 --rope-scaling yarn -b 64" /dev/null \
    </dev/null >out
tr '\r' '\n' <out | sed 's/\x1b\[K//g' >lines
grep -q '^prefill [0-9/]* tokens ([0-9]*%)' lines || grep -q '^prefill [0-9]*%' lines ||
    fail 'no progress was drawn:' "$(cat lines)"
LC_ALL=C.UTF-8 awk 'length > 40 { print; wide = 1 } END { exit wide }' lines || fail 'wider than 40 columns'

COLUMNS=40 script -qc "'$mnemo' run nowhere.gguf x" /dev/null </dev/null | tr -d '\r' >lines
[ "$(head -n 1 lines)" = 'mnemo run: nowhere.gguf: cannot open: No' ] || fail 'sentences are not folded:' "$(cat lines)"
