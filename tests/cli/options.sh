#!/usr/bin/env bash
# The options of every verb: aliases, joined numbers, underscores, the environment, words in their places, hints,
# repeats, empty texts.
source "$(dirname "$0")/support.bash" "$1"
model=$MNEMO_SOURCE_DIR/models/default.gguf
unset MNEMO_MODEL MNEMO_SEED MNEMO_THREADS

# same FLAGS... : the text of a run with these flags is that of -n 12 -s 7 --temp 1 --top-k 3.
tell() { "$mnemo" run -q "$@" 2>"$temp/err"; }
wanted=$(tell -m "$model" -p 'Once upon' -n 12 -s 7 --temp 1 --top-k 3)
same() {
    local got
    got=$(tell "$@") || fail "from: $*" "$(cat "$temp/err")"
    [ "$got" = "$wanted" ] || fail "from: $*" "wanted: $wanted" "got: $got"
}
same -m "$model" -p 'Once upon' -n12 -s7 --temp=1 --top_k 3
same --model "$model" --prompt 'Once upon' --n-predict 12 --seed 7 --temperature 1 -top-k 3
same "$model" 'Once upon' --predict=12 -s 7 --temp 1.0 --top_k=3
same -n 12 "$model" -s 7 --temp 1 --top-k 3 -- 'Once upon'
same 'Once upon' -n 12 -s 7 --temp 1 --top-k 3
grep -qx "mnemo: no model was named; this is $(realpath "$model") (-m FILE names another)." "$temp/err" ||
    fail 'the model that ships was not named:' "$(cat "$temp/err")"
MNEMO_MODEL=$model MNEMO_SEED=7 MNEMO_TOP_K=3 MNEMO_N_PREDICT=12 MNEMO_TEMP=1 MNEMO_QUIET=yes same 'Once upon'
[ ! -s "$temp/err" ] || fail 'MNEMO_MODEL names a model, and still:' "$(cat "$temp/err")"
MNEMO_MODEL=$model MNEMO_PROMPT='Once upon' MNEMO_SEED=99 MNEMO_PREDICT=12 MNEMO_RAW=0 MNEMO_TEMP= \
    same -s 7 --temp 1 --top-k 3
same -m "$model" 'Once upon' -c 1k -b 64 -ub 32 -t 1 -ctk f16 -ctv f16 -n 12 -s 7 --temp 1 --top-k 3

# refuses PATTERN ARGUMENT...: exit code 2, nothing on standard output, and a sentence that matches.
refuses() {
    local pattern=$1 code=0
    shift
    "$mnemo" "$@" >"$temp/out" 2>"$temp/err" </dev/null || code=$?
    [ $code = 2 ] && [ ! -s "$temp/out" ] && grep -qE -- "$pattern" "$temp/err" ||
        fail "from: $*" "wanted exit code 2 and: $pattern" "got $code and:" "$(cat "$temp/out" "$temp/err")"
}

# Every option that takes a text, of every verb, refuses an empty one in a sentence.
for verb in run chat plan info bench attn init convert detokenize logits tokenize 'scaling loss' 'scaling fit'; do
    while read -r flag value; do
        case $verb$flag in tokenize-p) continue ;; esac
        refuses "^mnemo $verb: $flag needs a value, and the one given is empty: $value" $verb "$flag" ''
    done < <("$mnemo" $verb --help |
        sed -nE 's/^  (--?[a-z-]+)(, --?[a-z-]+)* ([A-Z].*)/\1 \3/p' | awk '{ print $1, $2 }')
done
refuses '^mnemo run: PROMPT needs a value|^mnemo run: TEXT needs a value' run "$model" ''
MNEMO_CTX_SIZE=many refuses '^mnemo run: MNEMO_CTX_SIZE does not take "many" \(wanted: 0 to 1000000000000\)' run hello
MNEMO_RAW=perhaps refuses '^mnemo run: MNEMO_RAW is "perhaps" \(wanted: 1 or 0\)' run hello
MNEMO_PREDICT=1 MNEMO_N_PREDICT=2 refuses 'MNEMO_N_PREDICT is MNEMO_PREDICT, and that was given before' run hello
[ "$(MNEMO_CPU=generic "$mnemo" info --cpu | grep -c used)" = 1 ]

# Once is enough, but for lists and switches.
refuses '^mnemo run: -n was given twice; it takes one value' run hello -n 1 -n 2
refuses '^mnemo run: --ctx-size is -c, and that was given before' run hello -c 4096 --ctx-size=4096
refuses 'does not know what to do with "and more"' run "$model" hello 'and more'
refuses 'does not know what to do with "hello"' run -p hi hello
refuses 'a model was given by -m, and "other.gguf" is a second one' run -m "$model" other.gguf
refuses 'a model was given by --model, and "other.gguf" is a second one' info --model "$model" other.gguf
[ "$(tell -m "$model" -p 'Once upon' -n 12 -s 7 --temp 1 --top-k 3 -q --raw --raw -r zzzz -r yyyy)" = "$wanted" ]

# Words that are texts, where a model or a prompt stands; and variables that were meant for an option.
printf 'The sun was low.\n' >"$temp/notes.txt"
notes=$temp/notes.txt
refuses "notes.txt\" is no model but another file. -f reads a text: mnemo run -f $notes" run "$notes" 'Who is it?'
refuses "notes.txt\" is no model but another file. -f reads a text: mnemo run -f" run "$notes"
refuses "notes.txt\" is no model but another file. -f reads a text: mnemo chat -f" chat "$notes"
refuses "notes.txt\" is no model but another file. -f reads a text: mnemo plan -f" plan "$notes"
refuses "notes.txt\" is a file. -f $notes reads it; -p $notes takes its name" run "$model" "$notes"
refuses "does not know what to do with \"$notes\"; -f $notes reads it" run "$model" 'Who is it?' "$notes"
MNEMO_MODEL=$model refuses 'notes.txt" is no model' run "$notes"
refuses "the model comes before the text: mnemo run $model TEXT" run 'Once upon' "$model"
tell -m "$model" notez.txt -n 2 >/dev/null
grep -qx 'mnemo: there is no file "notez.txt", so that these words are the text.' "$temp/err" ||
    fail "$(cat "$temp/err")"
cp "$model" "$temp/renamed"
same "$temp/renamed" 'Once upon' -n 12 -s 7 --temp 1 --top-k 3
MNEMO_CTX_SZIE=64 MNEMO_SEEED=3 MNEMO_SOURCE_DIR=$MNEMO_SOURCE_DIR \
    same -m "$model" 'Once upon' -n 12 -s 7 --temp 1 --top-k 3
grep -qx 'mnemo: run does not read MNEMO_CTX_SZIE; is MNEMO_CTX_SIZE meant?' "$temp/err" || fail "$(cat "$temp/err")"
grep -qx 'mnemo: run does not read MNEMO_SEEED; is MNEMO_SEED meant?' "$temp/err" || fail "$(cat "$temp/err")"
[ "$(wc -l <"$temp/err")" = 2 ] || fail 'more variables than these were named:' "$(cat "$temp/err")"

# What is not here: the option of another program, or a slip.
refuses 'no option -ngl: models run on the processor; leave it out' run hello -ngl 99
refuses 'no option -fa: flash attention is always used' run hello -fa on
refuses 'no option --n_gpu_layers=9: |no option --n_gpu_layers: ' run hello --n_gpu_layers=9
refuses 'no option --max-model-len: the window is -c' run hello --max-model-len 8192
refuses 'no option --tempp; is --temp meant\?' run hello --tempp 1
refuses 'no option --cache-typ-k; is --cache-type-k meant\?' run hello --cache-typ-k f16
refuses 'no option --wholly-unknown; mnemo run --help lists them' run hello --wholly-unknown
refuses 'no verb "plann"; is plan meant\?' plann
refuses 'no verb "qqqq"; mnemo --help lists them' qqqq
refuses 'the verb comes first' -m "$model"
refuses 'the verb comes first' "$model"
refuses 'no verb "qqqq"' help qqqq

# Numbers name what they may be; a missing value is not the next option.
refuses '-c does not take "-5" \(wanted: 0 to 1000000000000\)' run hello -c=-5
refuses '-c needs a value: N\. The option -n stands in its place' run hello -c -n 5
refuses '--temp does not take "nan"' run hello --temp nan
refuses '-c does not take "4kk"' run hello -c 4kk
refuses '-p needs a value: TEXT' run -p
refuses '--attn|attention pattern' run hello --attn windw:3
refuses 'no position scaling' run hello --rope-scaling yearn

# help VERB is VERB --help.
diff <("$mnemo" help run) <("$mnemo" run --help)
diff <("$mnemo" help scaling loss) <("$mnemo" scaling loss --help)
diff <("$mnemo" help) <("$mnemo" --help)
diff <("$mnemo" version) <("$mnemo" --version)
diff <("$mnemo" version) <("$mnemo" -V)
for verb in run plan scaling; do
    wide=$(COLUMNS=40 "$mnemo" $verb --help |
        awk 'length > 40 { long = 0; for (i = 1; i <= NF; i++) long += length($i) >= 36; if (!long) print }')
    [ -z "$wide" ] || fail "mnemo $verb --help is wider than 40 columns:" "$wide"
done
