# mnemo finetune: a longer window, what the file says of it, adapters, and what is refused.
source "${0%/*}/support.bash" "$1"
mnemo=$(realpath "$mnemo")
book=$MNEMO_SOURCE_DIR/models/demo/pride-and-prejudice.txt
cd "$temp"
cp "$book" 'my book.txt'
"$mnemo" train "$MNEMO_SOURCE_DIR/models/recipes/toy.ini" model.vocab-from="$MNEMO_SOURCE_DIR/models/default.gguf" \
    source.novel.paths="$book" source.keys.paths="$book" steps=2 warmup=1 validation-windows=0 out=toy.gguf 2>/dev/null
finetune=("$mnemo" finetune -m toy.gguf --data 'my book.txt' --steps 2 --batch 2 -t 2)

# YaRN unless said otherwise; the file says it, and with what it was trained.
"${finetune[@]}" -c 512 -o long.gguf --needles 2>said
grep -q 'step 2/2, loss [0-9.]*, validation' said || fail 'no training:' "$(cat said)"
"$mnemo" info long.gguf --keys >keys
for key in 'llama.context_length (u32) = 512' 'llama.rope.scaling.type (string) = "yarn"' 'base_model.0.name' \
    'llama.rope.scaling.factor (f32) = 4' 'scaling.original_context_length (u32) = 128' 'training.date' \
    'general.description (string) = "trained on from toy.gguf: 2 steps, '; do
    grep -qF "$key" keys || fail "the file does not say $key:" "$(cat keys)"
done
"$mnemo" run -q -m long.gguf -c 512 'It is a truth' -n 2 >/dev/null
"${finetune[@]}" -c 512 -o long.gguf --needles 2>said
grep -q 'going on after step 2' said || fail 'it did not go on:' "$(cat said)"

# The other schemes; NTK's takes the place of what the file has, so that nothing is scaled twice.
"${finetune[@]}" -m long.gguf -c 1024 --rope-scaling ntk -o ntk.gguf 2>/dev/null &&
    fail 'an option was given twice'
"$mnemo" finetune -m long.gguf --data 'my book.txt' --steps 1 --batch 1 -c 1024 --rope-scaling ntk \
    -o ntk.gguf 2>/dev/null
"$mnemo" info ntk.gguf --keys >keys
grep -q 'rope.scaling.type (string) = "none"' keys && grep -q 'freq_base (f32) = 91895' keys &&
    ! grep -q 'scaling.factor' keys || fail 'not NTK alone:' "$(cat keys)"
"${finetune[@]}" -c 256 --rope-scaling linear -o pi.gguf 2>/dev/null
"${finetune[@]}" -c 256 --rope-freq-base 500000 -o abf.gguf 2>/dev/null
"$mnemo" info pi.gguf | grep -q 'linear factor 2 over 128' || fail 'no PI'
"$mnemo" info abf.gguf | grep -q 'base 500000' || fail 'no ABF'

# LongLoRA on a quantised model: matrices stay as they are stored, adapters alone or merged, norms and embeddings too.
"$mnemo" convert toy.gguf q8.gguf --type q8_0 2>/dev/null
lora=("$mnemo" finetune -m q8.gguf --data 'my book.txt' --steps 2 --batch 2 -c 256 --lora 4,8 --targets q,v
    --shift-attn)
"${lora[@]}" --adapter -o adapter.gguf 2>said
grep -q 'belong to adapter.gguf.run/start.gguf' said || fail 'no word of the model:' "$(cat said)"
"$mnemo" info adapter.gguf.run/start.gguf | grep -q 'q8_0' || fail 'the model is not as it was stored'
"$mnemo" run -q -m adapter.gguf.run/start.gguf --lora adapter.gguf 'It is' -n 2 >/dev/null
"${lora[@]}" -o merged.gguf 2>/dev/null
"$mnemo" info merged.gguf | grep -q 'q8_0' || fail 'merged in another type'
"$mnemo" info merged.gguf --keys | grep -q 'yarn, factor 2 over' || fail 'merged without a word of it'
"${lora[@]}" --norms --embeddings -o plus.gguf 2>/dev/null
"$mnemo" run -q -m plus.gguf 'It is' -n 2 >/dev/null

# --show prints what mnemo train reads.
"${finetune[@]}" -c 512 -o shown.gguf --show needles.x=1 >shown.ini 2>/dev/null && fail 'no such key'
"${finetune[@]}" -c 512 -o shown.gguf --show min-rate=0.5 >shown.ini
"$mnemo" train shown.ini steps=1 warmup=0 2>/dev/null && [ -s shown.gguf ] || fail 'not what train reads'
grep -q 'paths = "my book.txt"' shown.ini || fail 'no data' "$(cat shown.ini)"
grep -q 'min-rate = 0.5' shown.ini || fail 'no minimum' "$(cat shown.ini)"

# What is refused, and how.
refused() { # CODE WORDS COMMAND...
    local code=0 wanted=$1 words=$2
    shift 2
    "$@" >said 2>&1 || code=$?
    [ $code = "$wanted" ] && grep -qF "$words" said || fail "from: $*" "exit code $code" "$(cat said)"
}
: >empty.txt
printf 'a' >one.txt
refused 2 'needs -o OUT' "$mnemo" finetune -m toy.gguf --data one.txt -c 512
refused 2 'needs --data PATH' "$mnemo" finetune -m toy.gguf -c 512 -o x.gguf
refused 2 'go with --lora' "$mnemo" finetune -m toy.gguf --data one.txt -o x.gguf --adapter
refused 2 'there is no text in empty.txt' "$mnemo" finetune -m toy.gguf --data empty.txt -o x.gguf
refused 2 'source data' "$mnemo" finetune -m toy.gguf --data one.txt -o x.gguf
refused 2 'extended by yarn, linear or ntk' "${finetune[@]}" -c 256 -o x.gguf --rope-scaling llama3
refused 2 'lora.rank is "many"' "${finetune[@]}" -o x.gguf --lora many
refused 2 'holds a training with "window = 512"' "${finetune[@]}" -c 256 -o long.gguf
refused 1 'GiB' "$mnemo" finetune -m toy.gguf --data 'my book.txt' -c 1g -o x.gguf validation-share=0 \
    validation-windows=0
teacher=$MNEMO_SOURCE_DIR/tests/data/golden/tiny-llama.gguf
refused 2 'a teacher needs the vocabulary of its student, token for token; it has 512 tokens, the student 2048' \
    "${finetune[@]}" -o taught.gguf loss.teacher="$teacher"
toy=("$mnemo" train "$MNEMO_SOURCE_DIR/models/recipes/toy.ini" source.novel.paths="$book" source.keys.paths="$book"
    steps=1 warmup=0 validation-windows=0)
refused 1 'my book.txt' "${toy[@]}" model.vocab-from='my book.txt' out=x.gguf
# An empty value takes back what was said before.
"${toy[@]}" model.vocab-from="$MNEMO_SOURCE_DIR/models/default.gguf" loss.teacher="$teacher" loss.teacher= \
    out=untaught.gguf 2>/dev/null
