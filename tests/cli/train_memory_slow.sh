# What a training is planned to take, and what it took at most, the program itself counted: within 5 %, for a dense
# model whose activations are kept or made again, one under a pattern of blocks, adapters of a quantised one, one with
# recurrent states, windows side by side, and one that learns from a teacher larger than itself.
source "${0%/*}/support.bash" "$1"
mnemo=$(realpath "$mnemo")
book=$MNEMO_SOURCE_DIR/models/demo/pride-and-prejudice.txt
cd "$temp"

compare() { # NAME SETTINGS...
    "$mnemo" train base.ini out="$1.gguf" "${@:2}" 2>said || fail "$1:" "$(cat said)"
    awk -v name="$1" '/^Memory: / {
        planned = $2; taken = $5; seen = 1
        printf "%s: %s MiB planned, %s MiB taken\n", name, planned, taken
        wrong = taken > 1.05 * planned || taken < 0.95 * planned
    } END { exit wrong || !seen }' "$1.gguf.run/card.md" || fail "$1 was planned otherwise than it went"
}
# A line is a document, and this one fills every window: what a teacher takes depends on its longest document.
text=$(tr '\n\r"\\' '    ' <"$book")
printf '{"text": "%s"}\n' "$text $text $text $text $text $text" >line.jsonl
cat >base.ini <<INI
[train]
batch = 1
steps = 2
warmup = 0
validation-windows = 0
validation-share = 0
threads = 1
[source book]
paths = line.jsonl
INI
model=$MNEMO_SOURCE_DIR/models/default.gguf
"$mnemo" convert "$model" q8.gguf --type q8_0 2>/dev/null
"$mnemo" init --arch qwen35 --layers 4 --embd 256 --heads 2 --kv-heads 1 --head-dim 64 --ff 512 \
    --vocab-from "$model" -o hybrid.gguf 2>/dev/null
"$mnemo" init --layers 4 --embd 512 --heads 4 --ff 1024 --vocab-from "$model" --type f16 -o teacher.gguf 2>/dev/null
compare kept model.from="$model" window=4096 recompute=off positions.scaling=yarn
compare again model.from="$model" window=8192 recompute=on positions.scaling=yarn
compare blocks model.from="$model" window=8192 recompute=on positions.scaling=yarn positions.attn=bigbird:64,3,2,3
compare adapters model.from=q8.gguf window=4096 lora.rank=8 recompute=off positions.scaling=yarn
compare states model.from=hybrid.gguf window=4096 recompute=off
compare taught model.arch=llama model.layers=1 model.embd=64 model.heads=2 model.ff=96 model.vocab-from="$model" \
    window=4096 recompute=off loss.teacher=teacher.gguf
compare lanes model.from="$model" window=512 batch=4 threads=2 recompute=off
