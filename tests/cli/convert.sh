#!/usr/bin/env bash
# mnemo convert: every type that can be written, what is kept, fallbacks, refusals, and nothing left behind.
. "$(dirname "$0")/support.bash" "$1"
"$mnemo" init --arch mnemo --layers 1 --embd 64 --heads 2 --ff 256 --vocab-from "$corpus/vocab" -o "$temp/in.gguf" \
    2> /dev/null

for type in f32 f16 bf16 q8_0 q4_0 q4_1 q5_0 q5_1 q4_k q6_k iq4_nl q2_k q3_k iq4_xs mxfp4; do
    "$mnemo" convert "$temp/in.gguf" "$temp/out.gguf" --type $type 2> /dev/null
    "$mnemo" info "$temp/out.gguf" --tensors > "$temp/tensors"
    grep -q "^blk.0.ffn_down.weight  $type \[64, 256\]" "$temp/tensors" || fail "$type: $(cat "$temp/tensors")"
    grep -q '^blk.0.attn_q_conv.weight  f32 ' "$temp/tensors"
    [ "$(grep -c '_norm.weight  f32 ' "$temp/tensors")" = 3 ]
done

# To its own type a model comes out as it went in; the way over f32 adds nothing.
"$mnemo" convert "$temp/in.gguf" "$temp/q8.gguf" --type q8_0 2> /dev/null
"$mnemo" convert "$temp/q8.gguf" "$temp/again.gguf" --type q8_0 -t 3 2> /dev/null
cmp "$temp/q8.gguf" "$temp/again.gguf"
"$mnemo" convert "$temp/q8.gguf" "$temp/f32.gguf" --type f32 2> /dev/null
"$mnemo" convert "$temp/f32.gguf" "$temp/again.gguf" --type f32 2> /dev/null
cmp "$temp/f32.gguf" "$temp/again.gguf"

expect 0 "$temp/out.gguf: 6 tensors q5_0, 1 tensors q8_0, 1 tensors q4_k, 5 kept as they were; 263 KiB -> 47.3 KiB
7 tensors have rows that are no multiple of 256 values, the block of q4_k, and took the next type that fits." \
    "$mnemo" convert "$temp/in.gguf" "$temp/out.gguf" --type Q4_K
"$mnemo" info "$temp/out.gguf" --keys > "$temp/keys"
grep -q '^general.file_type (u32) = 14$' "$temp/keys"
grep -q '^general.quantization_version (u32) = 2$' "$temp/keys"
grep -q '^tokenizer.ggml.tokens (string array) = ' "$temp/keys"

# From version 1, whose strings have short lengths.
"$mnemo" convert "$corpus/valid-v1" "$temp/out.gguf" --type f16 2> /dev/null
diff <("$mnemo" info "$corpus/valid-v1" --keys) <("$mnemo" info "$temp/out.gguf" --keys | grep -v '^general.file_type')

usage='usage: mnemo convert IN OUT [--type TYPE] [--merge-lora FILE[=SCALE],...] [--mlp-router N] [--experts N,K] [--heads HEADS]
try: mnemo convert --help'
expect 2 "mnemo convert: needs --type TYPE, adapters to merge (--merge-lora), --mlp-router N, --experts N,K, or other heads (--heads).
$usage" "$mnemo" convert "$temp/in.gguf" "$temp/x.gguf"
expect 2 "mnemo convert: q5_k is read but not written here; can be written: f32 f16 q4_0 q4_1 q5_0 q5_1 q8_0 q2_k q3_k q4_k q6_k iq4_nl iq4_xs bf16 mxfp4.
$usage" "$mnemo" convert "$temp/in.gguf" "$temp/x.gguf" --type q5_k
expect 2 "mnemo convert: needs more: IN OUT [--type TYPE] [--merge-lora FILE[=SCALE],...] [--mlp-router N] [--experts N,K] [--heads HEADS].
$usage" "$mnemo" convert "$temp/in.gguf" --type q8_0
ln "$temp/in.gguf" "$temp/link.gguf"
expect 2 "mnemo convert: $temp/link.gguf: is the file being read; name another one for the result." \
    "$mnemo" convert "$temp/in.gguf" "$temp/link.gguf" --type q8_0
rm "$temp/link.gguf"
expect 1 "mnemo convert: /dev/full: cannot write: No space left on device; nothing was left there." \
    "$mnemo" convert "$temp/in.gguf" /dev/full --type q8_0
expect 1 "mnemo convert: $temp/in.gguf/x: cannot write here: Not a directory." \
    "$mnemo" convert "$temp/in.gguf" "$temp/in.gguf/x" --type q8_0
expect 1 "mnemo convert: $corpus/cut-in-data: file ends at 428 bytes but tensor v needs bytes up to 468 bytes; download it again." \
    "$mnemo" convert "$corpus/cut-in-data" "$temp/x.gguf" --type q8_0

# A value that is not finite has no quantised form.
cp "$temp/f32.gguf" "$temp/nan.gguf"
printf '\x00\x00\xc0\x7f' |
    dd of="$temp/nan.gguf" bs=1 seek=$(($(stat -c %s "$temp/nan.gguf") - 4)) conv=notrunc status=none
expect 1 'mnemo convert: tensor blk.0.ffn_down.weight holds values that are not finite, which q8_0 cannot represent.' \
    "$mnemo" convert "$temp/nan.gguf" "$temp/x.gguf" --type q8_0
[ ! -e "$temp/x.gguf" ] && ! ls "$temp" | grep -q tmp || fail "left behind: $(ls "$temp")"

# Small MLPs: a line on what was made, which the keys and tensors bear out; all and none of the tokens.
for i in $(seq 40); do
    echo "A ship sails at $i in the morning, and its mate looks for $((i * 7)) birds."
done > "$temp/text"
easy() { "$mnemo" run -m "$1" -p 'A ship' -n 8 -s 1 --json "${@:2}" 2> /dev/null | grep -A 20 '"ids"' | head -10; }
"$mnemo" convert "$temp/in.gguf" "$temp/easy.gguf" --mlp-router 8 --calibrate "$temp/text" --router-share 0.4 \
    2> "$temp/says"
grep -q 'small MLPs of 32 units in 1 layers; over [0-9]* tokens they are off by [0-9.]* % of the large' "$temp/says" ||
    fail "$(cat "$temp/says")"
[ "$(grep -c '^KV cache: 256 bytes a token before, 256 after (100.0 %), in f16$' "$temp/says")" = 1 ] ||
    fail "$(cat "$temp/says")"
grep -q '^perplexity on .*text ([0-9]* tokens): [0-9.]* before, [0-9.]* after$' "$temp/says" ||
    fail "$(cat "$temp/says")"
[ "$(tail -n 1 "$temp/says")" = "$temp/easy.gguf: written" ] || fail "$(cat "$temp/says")"
"$mnemo" info "$temp/easy.gguf" --keys | grep -q '^mnemo.small_mlp.feed_forward_length (u32 array) = 32$' ||
    fail "$("$mnemo" info "$temp/easy.gguf" --keys | grep small)"
"$mnemo" info "$temp/easy.gguf" --tensors | grep -q '^blk.0.ffn_small_down.weight  f[0-9]* \[64, 32\]'
[ "$(easy "$temp/easy.gguf" --router-threshold 1)" = "$(easy "$temp/in.gguf")" ] ||
    fail 'none is easy, and the answer differs'
"$mnemo" run -m "$temp/easy.gguf" -p 'A ship sails' -n 4 -s 1 --router-threshold 0 > /dev/null 2> "$temp/says"
grep -q '^small MLPs: prefill 100 % of tokens (100 by layer); decode 100 % of tokens (100 by layer)$' "$temp/says" ||
    fail "$(cat "$temp/says")"
"$mnemo" bench -m "$temp/easy.gguf" -d 0 -p 8 -n 4 -r 1 --router-threshold 1 --json > "$temp/says"
grep -A 1 '"router_decode"' "$temp/says" | grep -q '"share": 0.0' || fail "$(cat "$temp/says")"
"$mnemo" convert "$temp/easy.gguf" "$temp/easy8.gguf" --type q8_0 2> /dev/null
"$mnemo" info "$temp/easy8.gguf" --tensors | grep -q '^blk.0.ffn_small_router.weight  f32 \[64\]'
expect 1 "mnemo convert: $temp/easy.gguf: has small MLPs already; convert the model that it was made of." \
    "$mnemo" convert "$temp/easy.gguf" "$temp/x.gguf" --mlp-router 4
expect 2 'mnemo convert: "8,3" is no small MLP; give how many times smaller it is, and layers of 0 to 0 if it is not for all, as 8, 1.5 or 8,2-5.
'"$usage" "$mnemo" convert "$temp/in.gguf" "$temp/x.gguf" --mlp-router 8,3
expect 2 "mnemo convert: makes one change at a time; convert the file that --mlp-router made once more.
$usage" "$mnemo" convert "$temp/in.gguf" "$temp/x.gguf" --mlp-router 8 --type f16
expect 2 "mnemo run: this model has no small MLPs that easy tokens could take; give it some first. Use mnemo convert IN OUT --mlp-router 2 --calibrate TEXT." \
    "$mnemo" run -m "$temp/in.gguf" -p x --router-threshold 0.5
# Options of a change that is not asked for would do nothing.
for option in '--calibrate-tokens 8:--mlp-router; give N' '--router-share 0.3:--mlp-router; give N' \
    '--expert-noise 0:--experts; give N,K' '--expert-seed 0:--experts; give N,K'; do
    given=${option%%:*}
    expect 2 "mnemo convert: ${given% *} goes with ${option#*:}, or leave it out.
$usage" "$mnemo" convert "$temp/in.gguf" "$temp/x.gguf" --type f16 $given
done
expect 2 "mnemo convert: --router-share goes with --mlp-router; give N, or leave it out.
$usage" "$mnemo" convert "$temp/in.gguf" "$temp/x.gguf" --experts 4,2 --router-share 0.5
[ ! -e "$temp/x.gguf" ] || fail 'left behind'

# Experts: copies of the MLP, more or less; without noise the answers are the dense model's.
expect 0 "4 experts in each of 1 layers, of which a token uses 2; the routers begin at random
KV cache: 256 bytes a token before, 256 after (100.0 %), in f16
perplexity: not measured; --calibrate TEXT names what to measure it on
$temp/experts.gguf: written" \
    "$mnemo" convert "$temp/in.gguf" "$temp/experts.gguf" --experts 4,2 --expert-noise 0
"$mnemo" info "$temp/experts.gguf" > "$temp/info"
grep -q '^experts  *4, 2 used per token$' "$temp/info" || fail "$(cat "$temp/info")"
[ "$(easy "$temp/experts.gguf")" = "$(easy "$temp/in.gguf")" ] || fail 'without noise the answer differs'
[ "$(easy "$temp/experts.gguf" --experts-on-disk)" = "$(easy "$temp/in.gguf")" ] || fail 'on disk the answer differs'
"$mnemo" eval ppl -m "$temp/experts.gguf" -f "$temp/text" --windows 64 2> /dev/null > "$temp/load"
grep -q '^load of experts by layer, % (even: 25.0)$' "$temp/load" || fail "$(cat "$temp/load")"
tail -n 1 "$temp/load" | grep -q '^  0  *[0-9.]* ' || fail "$(cat "$temp/load")"

# They are trained on, by DeepSeek-V3's rule too, and the file tells how evenly they were used.
"$mnemo" convert "$temp/in.gguf" "$temp/biased.gguf" --experts 4,2,bias 2> /dev/null
printf '%s\n' '[model]' "from = $temp/biased.gguf" '[train]' "out = $temp/taught.gguf" 'window = 32' 'batch = 2' \
    'steps = 2' 'warmup = 0' 'validation-windows = 0' '[loss]' 'balance-bias = true' '[source text]' \
    "paths = $temp/text" > "$temp/c.ini"
"$mnemo" train "$temp/c.ini" > "$temp/says" 2>&1 || fail "$(cat "$temp/says")"
"$mnemo" info "$temp/taught.gguf" > "$temp/info"
grep -q '^expert load  *[0-9]*-[0-9]*$' "$temp/info" || fail "$(cat "$temp/info")"

# Healed by the model that they were made of; small MLPs and routers alone learn.
for change in '--mlp-router 8' '--experts 4,2,bias'; do
    rm -rf "$temp"/healed.gguf*
    "$mnemo" convert "$temp/in.gguf" "$temp/healed.gguf" $change --calibrate "$temp/text" --heal "$temp/text" 2 \
        batch=2 window=32 validation-windows=0 2> "$temp/says" || fail "$(cat "$temp/says")"
    grep -q '^perplexity on .*: [0-9.]* before, [0-9.]* after, [0-9.]* healed by 2 steps$' "$temp/says" ||
        fail "$change:" "$(cat "$temp/says")"
    [ "$(ls -d "$temp"/healed.gguf*)" = "$temp/healed.gguf"$'\n'"$temp/healed.gguf.run" ] || fail "$(ls "$temp")"
    "$mnemo" run -q -m "$temp/healed.gguf" -p 'A ship' -n 2 -s 1 > /dev/null || fail 'it does not run'
    [ "$change" != '--mlp-router 8' ] ||
        [ "$(easy "$temp/healed.gguf" --router-threshold 1)" = "$(easy "$temp/in.gguf")" ] ||
        fail 'none is easy, and the answer differs'
done
