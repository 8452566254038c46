# mnemo convert --heads: what is printed, what the files are, healing and its resumption, and what is refused.
source "${0%/*}/support.bash" "$1"
mnemo=$(realpath "$mnemo")
book=$MNEMO_SOURCE_DIR/models/demo/pride-and-prejudice.txt
cd "$temp"
head -c 12000 "$book" >text.txt
vocabulary=$MNEMO_SOURCE_DIR/models/default.gguf
init() {
    "$mnemo" init --layers 2 --embd 64 --heads 4 --ff 96 --ctx 128 --vocab-from "$vocabulary" --type f32 \
        "$@" 2>/dev/null
}
init --arch llama -o toy.gguf
init --arch qwen3 -o qwen3.gguf
init --arch mnemo -o mnemo.gguf
convert=("$mnemo" convert -t 2)

# Bytes are said as the plan counts them: 2 layers, 4 heads of 16 + 16 in f16.
kv() { "$mnemo" plan "$1" -c 1024 --json | tr ',' '\n' | sed -n 's/.*"kv_bytes": *\([0-9]*\).*/\1/p'; }
saved() { # FILE BYTES WORDS
    grep -qF "$3" said || fail "does not say: $3" "$(cat said)"
    [ "$(kv "$1")" = $((1024 * $2)) ] || fail "$1: the plan counts $(kv "$1") bytes of 1024 tokens, not $2 a token"
    "$mnemo" run -q -m "$1" 'It is a truth' -n 2 >/dev/null || fail "$1 does not run"
}
[ "$(kv toy.gguf)" = $((1024 * 512)) ]
"${convert[@]}" toy.gguf gqa.gguf --heads gqa:2 --regroup --calibrate text.txt 2>said
saved gqa.gguf 256 'KV cache: 512 bytes a token before, 256 after (50.0 %), in f16'
grep -q 'perplexity on text.txt ([0-9]* tokens): [0-9.]* before, [0-9.]* after' said || fail "$(cat said)"
"${convert[@]}" mnemo.gguf mqa.gguf --heads mqa --method first 2>said
saved mqa.gguf 128 'KV cache: 512 bytes a token before, 128 after (25.0 %), in f16'
grep -q 'note: the taps of the short convolution are merged' said || fail "no word of taps:" "$(cat said)"
grep -q 'perplexity: not measured' said || fail "no word of perplexity:" "$(cat said)"
"${convert[@]}" toy.gguf mla.gguf --heads mla:24,rope=8 --calibrate text.txt 2>said
saved mla.gguf 128 'KV cache: 512 bytes a token before, 128 after (25.0 %), in f16'
"$mnemo" info mla.gguf --keys | grep -q 'general.architecture (string) = "deepseek2"' || fail 'no deepseek2'
"${convert[@]}" toy.gguf svd.gguf --heads mla:24 --method mha2mla --type q8_0 2>said
saved svd.gguf 128 '(25.0 %)'
"$mnemo" info svd.gguf --tensors | grep -q '^blk.1.ffn_down.weight  q8_0' || fail 'not q8_0'
"$mnemo" convert toy.gguf q8.gguf --type q8_0 2>/dev/null
"${convert[@]}" q8.gguf mla8.gguf --heads mla:32,rope=8 --calibrate text.txt 2>said
saved mla8.gguf 160 '(31.2 %)'
[ -z "$(ls | grep -v '^[a-z0-9]*\.\(gguf\|txt\)$' | grep -v '^said$')" ] || fail 'left behind:' "$(ls)"

# Healing: said, stopped, gone on with, and not with other heads; the file is written at the end alone.
heal=("${convert[@]}" toy.gguf healed.gguf --heads mla:24,rope=8 --calibrate text.txt --heal text.txt 3 batch=2
    validation-windows=0)
"${heal[@]}" max-minutes=0.00001 2>said
grep -q 'time is up after step 1; the same command goes on' said || fail 'not stopped:' "$(cat said)"
[ ! -e healed.gguf ] || fail 'written before it was healed'
code=0
"${convert[@]}" toy.gguf healed.gguf --heads mla:16,rope=8 --calibrate text.txt --heal text.txt 3 batch=2 2>said ||
    code=$?
[ $code != 0 ] && grep -q 'holds a training with' said || fail 'goes on with other heads:' "$(cat said)"
"${heal[@]}" 2>said
grep -q 'going on after step 1' said || fail 'it did not go on:' "$(cat said)"
grep -q 'perplexity on text.txt: [0-9.]* before, [0-9.]* after, [0-9.]* healed by 3 steps' said || fail "$(cat said)"
[ "$(kv healed.gguf)" = $((1024 * 128)) ] || fail 'healed to another size'
"$mnemo" info healed.gguf --keys | grep -q 'kv_a_norm_epsilon' && fail 'not finished'
[ "$(ls -d healed.gguf*)" = $'healed.gguf\nhealed.gguf.run' ] || fail 'left behind:' "$(ls)"
"${convert[@]}" toy.gguf grouped.gguf --heads gqa:2 --heal text.txt 2 --needles batch=2 2>said
grep -q 'grouped.gguf: written' said && [ "$(kv grouped.gguf)" = $((1024 * 256)) ] || fail "$(cat said)"

refused() { # CODE WORDS ARGUMENT...
    local code=0 wanted=$1 words=$2
    shift 2
    "${convert[@]}" "$@" >said 2>&1 || code=$?
    [ $code = "$wanted" ] && grep -qF -- "$words" said || fail "from: $*" "exit code $code" "$(cat said)"
}
refused 2 'transmla finds what to keep by running a text' toy.gguf x.gguf --heads mla:24
refused 2 'names no heads: give gqa:G' toy.gguf x.gguf --heads mha
refused 2 'do not become 3' toy.gguf x.gguf --heads gqa:3
refused 2 'beyond the 120' toy.gguf x.gguf --heads mla:999 --method mha2mla
refused 1 'which no matrix makes of a latent row' qwen3.gguf x.gguf --heads mla:24 --method mha2mla
refused 1 'a short convolution mixes keys' mnemo.gguf x.gguf --heads mla:24 --method mha2mla
refused 2 'is the file being read' toy.gguf toy.gguf --heads mqa
refused 2 'go with --heads, --mlp-router or --experts' toy.gguf x.gguf --type f16 --calibrate text.txt
refused 2 'go with --heads' toy.gguf x.gguf --type f16 --regroup
refused 2 'needs its number of steps' toy.gguf x.gguf --heads mqa --heal text.txt
refused 2 'a number above 0' toy.gguf x.gguf --heads mqa --heal text.txt many
refused 2 'more words are for --heal' toy.gguf x.gguf 5 --heads mqa
refused 2 'merge them first' toy.gguf x.gguf --heads mqa --merge-lora a.gguf
refused 2 'mla makes one latent row of all' toy.gguf x.gguf --heads mla:24 --regroup --calibrate text.txt
refused 2 '--needles goes with --heal' toy.gguf x.gguf --heads mqa --needles
printf a >one.txt
for change in '--heads mla:24' '--heads mqa' '--mlp-router 2' '--experts 4,2'; do
    refused 2 'one.txt: is 1 token long' toy.gguf x.gguf $change --calibrate one.txt
    grep -q 'KV cache' said && fail "$change: a text too short is seen late:" "$(cat said)"
done
refused 1 'there-is-none' toy.gguf x.gguf --heads mqa --calibrate there-is-none
[ ! -e x.gguf ] || fail 'written though refused'
