#!/usr/bin/env bash
# mnemo eval: samples over a grid, resumed where they stopped, compared under settings; perplexity; a page.
set -euo pipefail
. "$(dirname "$0")/support.bash"
has() { grep -q -- "$2" "$1" || fail "wanted in $1: $2" "$(cat "$1")"; }
model=$MNEMO_SOURCE_DIR/models/default.gguf

"$mnemo" eval tasks >"$temp/tasks"
has "$temp/tasks" 'niah_multikey_3'
has "$temp/tasks" 'graphwalks'

# A grid of 2 lengths, 3 depths and 2 samples; killed at any point it goes on: cut the file and run again.
echo mine >"$temp/page.html.map.svg" # a page is written beside other files
"$mnemo" eval needle -m "$model" --lengths 256,2k --depths 3 -n 2 -o "$temp/a.jsonl" --svg "$temp/map.svg" \
    --html "$temp/page.html" >"$temp/whole" 2>"$temp/err"
[ "$(wc -l <"$temp/a.jsonl")" -eq 12 ]
has "$temp/map.svg" "2k"
has "$temp/page.html" '<svg'
[ "$(grep -o '<svg' "$temp/page.html" | wc -l)" -eq 1 ] && [ "$(cat "$temp/page.html.map.svg")" = mine ]
head -c $(($(wc -c <"$temp/a.jsonl") / 2)) "$temp/a.jsonl" >"$temp/b.jsonl"
"$mnemo" eval needle -m "$model" --lengths 256,2k --depths 3 -n 2 -o "$temp/b.jsonl" >"$temp/again" 2>"$temp/err"
[ "$(wc -l <"$temp/b.jsonl")" -eq 12 ]
diff <(sed 's/prefill.*//' "$temp/whole") <(sed 's/prefill.*//' "$temp/again")
# Ctrl-C ends it between two steps, and says how it goes on.
"$mnemo" eval needle -m "$model" --lengths 2k -n 100000 -o "$temp/stopped.jsonl" >"$temp/out" 2>"$temp/err" &
run=$!
for _ in {1..200}; do [ ! -s "$temp/stopped.jsonl" ] || break; sleep 0.05; done
kill -INT "$run"
code=0
wait "$run" || code=$?
[ "$code" -eq 1 ] || fail "stopped with exit $code"
has "$temp/err" 'stopped after [0-9]* samples; the same command goes on there'
# A file of something else is neither gone on with nor changed; nor are results of other options mixed in.
cp "$MNEMO_SOURCE_DIR/README.md" "$temp/notes"
for words in 'report' "needle -m $model --lengths 256 -n 1 -o"; do
    code=0
    "$mnemo" eval $words "$temp/notes" >"$temp/out" 2>"$temp/err" || code=$?
    [ "$code" -ne 0 ] || fail "eval $words took notes for results"
    has "$temp/err" 'notes: line 1 is no result of mnemo eval'
    cmp -s "$temp/notes" "$MNEMO_SOURCE_DIR/README.md" || fail "eval $words changed a file that is not its own"
done
for other in '-s 43' '--attn sinks:4,60' '-ctk q8_0'; do
    code=0
    "$mnemo" eval needle -m "$model" --lengths 256,2k --depths 3 -n 2 $other -o "$temp/b.jsonl" >"$temp/out" \
        2>"$temp/err" || code=$?
    [ "$code" -eq 2 ] || fail "went on with $other: $code"
    has "$temp/err" 'its results were made with "model=default.gguf seed=42"'
done
[ "$(wc -l <"$temp/b.jsonl")" -eq 12 ]
# The text before a needle is read once for all depths.
grep -q '"reused_tokens":[1-9][0-9][0-9]' "$temp/a.jsonl"

# The same samples under two settings, with paired differences; as JSON too.
"$mnemo" eval compare -m "$model" --tasks needle --lengths 512 -n 4 --settings c=512 \
    --settings 'attn=sinks:4,60,ctk=q8_0' >"$temp/compare" 2>"$temp/err"
has "$temp/compare" 'attn=sinks:4,60,ctk=q8_0'
has "$temp/compare" 'n = 4'
"$mnemo" eval compare -m "$model" --tasks needle,kv --lengths 512 -n 4 --settings c=512 --settings attn=sinks:4,60 \
    --json >"$temp/compare.json" 2>"$temp/err"
python3 - "$temp/compare.json" <<'EOF' || fail 'the JSON lacks differences' "$(cat "$temp/compare.json")"
import json, sys
whole = json.load(open(sys.argv[1]))
score = {(c["setting"], c["task"]): c["score"] for c in whole["cells"]}
assert len(whole["differences"]) == 2 and len(whole["effective_length_by_setting"]) == 2
for d in whole["differences"]:
    wanted = score["attn=sinks:4,60", d["task"]] - score["c=512", d["task"]]
    assert d["n"] == 4 and abs(d["mean"] - wanted) < 1e-6 and d["low"] <= d["mean"] <= d["high"]
EOF
"$mnemo" eval kv -m "$model" --lengths 512 -n 1 --json 2>"$temp/err" | grep -q '"task": "kv"'
"$mnemo" eval report "$temp/a.jsonl" --html "$temp/report.html" >"$temp/report"
diff <(sed 1,1d "$temp/report" | grep '%') <(grep '%' "$temp/whole")

# What could not be asked is counted and named, also without -o; a cell with fewer samples says so.
"$mnemo" eval ours -m "$model" --tasks needle --lengths 16,512 -n 2 >"$temp/out" 2>"$temp/err"
has "$temp/out" '2 samples could not be asked and count in no mean; of needle at 16, sample 0: the shortest sample'
sed '/"length":256.*"depth":0.0/d' "$temp/a.jsonl" >"$temp/few.jsonl"
"$mnemo" eval report "$temp/few.jsonl" >"$temp/out"
has "$temp/out" '\] (n = 4)'
# Of several files each stays apart, under its name; of several settings a curve is drawn for each.
"$mnemo" eval kv -m "$model" --lengths 512,1k -n 1 -o "$temp/full.jsonl" >"$temp/out" 2>"$temp/err"
"$mnemo" eval kv -m "$model" --lengths 512,1k -n 1 --attn sinks:4,60 -o "$temp/sinks.jsonl" >"$temp/out" 2>"$temp/err"
"$mnemo" eval report "$temp/full.jsonl" "$temp/sinks.jsonl" --svg "$temp/curves.svg" >"$temp/report"
[ "$(grep -cE '^(setting )?(full|sinks)' "$temp/report")" -ge 2 ] ||
    fail "the files are not told apart" "$(cat "$temp/report")"
has "$temp/curves.svg" '>sinks<'
has "$temp/curves.svg" '>full<'

"$mnemo" eval ppl -m "$model" -f "$MNEMO_SOURCE_DIR/models/demo/pride-and-prejudice.txt" --windows 128,256 \
    --max-windows 2 --svg "$temp/loss.svg" >"$temp/ppl" 2>"$temp/err"
has "$temp/ppl" 'bits/byte'
has "$temp/loss.svg" 'window 256'
printf aaa >"$temp/short.txt" # of one token's loss there is no error
"$mnemo" eval ppl -m "$model" -f "$temp/short.txt" --windows 2 --max-windows 1 --json >"$temp/out" 2>"$temp/err"
has "$temp/out" '"standard_error": null'

# A table of figures becomes a picture; one that is none is refused by its line.
printf '# name, x, y\nscore: a\t10\t0.5\nscore: a\t20\t0.7\nb & c\t15\t1\n' >"$temp/table.tsv"
"$mnemo" eval chart "$temp/table.tsv" --svg "$temp/chart.svg" --title 'Two lines' --x bytes --y share --log-x
for words in '>score: a<' '>b &amp; c<' '>Two lines<' '>bytes<' '>share<'; do has "$temp/chart.svg" "$words"; done
printf 'a\t1\nb\n' >"$temp/table.tsv"
"$mnemo" eval chart "$temp/table.tsv" --svg "$temp/no.svg" 2>"$temp/err" && fail 'drew a table without y'
has "$temp/err" 'line 1 is no name, x and y'
[ ! -e "$temp/no.svg" ]

# Samples written to a file and asked from there score as those that are made; the depths of a heat map survive.
ask() { "$mnemo" eval needle -m "$model" "$@" 2>"$temp/err" | sed 's/prefill.*//'; }
ask --lengths 300,512 --depths 3 -n 2 --dump "$temp/dump.jsonl"
[ "$(wc -l <"$temp/dump.jsonl")" -eq 12 ]
has "$temp/dump.jsonl" '"references":\["'
diff <(ask --lengths 300,512 --depths 3 -n 2) <(ask --from "$temp/dump.jsonl")

# Another wording: the words reach the prompt, the facts stay.
printf '{"task": "niah_single_2", "prompt": "READ {context} AND SAY {query}", "answer_prefix": " IT IS"}' \
    >"$temp/words.json"
"$mnemo" eval ruler -m "$model" --tasks niah_single_2 --lengths 512 -n 1 --templates "$temp/words.json" \
    --dump "$temp/worded.jsonl" 2>"$temp/err"
has "$temp/worded.jsonl" '"document":"READ .* AND SAY [a-z]*-[a-z]*"'
has "$temp/worded.jsonl" '"prefix":" IT IS"'
"$mnemo" eval ruler -m "$model" --from "$temp/worded.jsonl" --json >"$temp/out" 2>"$temp/err"

wrong() { code=0; "$mnemo" eval "$@" >"$temp/out" 2>"$temp/err" || code=$?; [ "$code" -eq 2 ] ||
    { echo "eval $*: exit $code"; exit 1; }; }
wrong
wrong nothing
wrong needle -m "$model" --lengths x
wrong compare -m "$model" --lengths 512
wrong compare -m "$model" --tasks nothing
wrong compare -m "$model" --tasks needle --lengths 512 -n 1 --settings 'heat=3'
# What is written is none of the files that are read, under whatever name.
clash() { cp "$1" "$temp/kept"; wrong "${@:2}"; has "$temp/err" 'would write over'; cmp "$1" "$temp/kept"; }
printf 'a\t1\t2\n' >"$temp/one.tsv"
ln -s one.tsv "$temp/two.tsv"
clash "$temp/one.tsv" chart "$temp/one.tsv" --svg "$temp/one.tsv"
clash "$temp/one.tsv" chart "$temp/one.tsv" --svg "$temp/two.tsv"
clash "$temp/a.jsonl" report "$temp/a.jsonl" --html "$temp/a.jsonl"
clash "$temp/short.txt" ppl -m "$model" -f "$temp/short.txt" --svg "$temp/short.txt"
clash "$temp/short.txt" needle -m "$model" --haystack "$temp/short.txt" --dump "$temp/short.txt"
wrong needle -m "$model" --svg "$temp/new" --html "$temp/new"
has "$temp/err" 'which is also --html; name another file'
# Tasks without a needle of their own would ask one sample at every depth.
for task in keys niah_multikey_1 vt cwe mrcr_2; do
    wrong compare -m "$model" --tasks "needle,$task" --lengths 1k -n 1 --depths 3
    has "$temp/err" "$task has none or several"
done
# A setting has the limits of its flag, and the last is looked at before the first runs.
for setting in b=-5 b=5000000000 c=-1 rope-scale=nan rope-scale=0x router-threshold=7 lora=x t=1 attn= \
    "kv-disk=$(printf '%0250d' 0)" c=512; do
    wrong compare -m "$model" --tasks needle --lengths 512 -n 1 --settings c=512 --settings "$setting"
    has "$temp/err" '^mnemo eval compare: --settings: '
done
has "$temp/err" '"c=512" is given twice'
wrong compare -m "$model" --tasks needle --lengths 512 -n 1 --settings b=65537
has "$temp/err" 'b does not take "65537" (wanted: 1 to 65536)'
wrong qa -m "$model" --lengths 512 -n 1 --svg "$temp/qa.svg"
has "$temp/err" 'no task is left to ask; questions come from --qa FILE'
# A dump that fails leaves what was there.
echo kept >"$temp/dump.old"
code=0
"$mnemo" eval needle -m "$model" --lengths 512,16 -n 1 --dump "$temp/dump.old" 2>"$temp/err" || code=$?
[ "$code" -eq 1 ] && [ "$(cat "$temp/dump.old")" = kept ] || fail "a failed dump left: $(cat "$temp/dump.old")"
wrong ppl -m "$model"
refused() { code=0; "$mnemo" eval "$@" >"$temp/out" 2>"$temp/err" || code=$?; [ "$code" -ne 0 ] &&
    [ "$(wc -l <"$temp/err")" -eq 1 ] || fail "eval $*: exit $code" "$(cat "$temp/err")"; }
echo '{"task": "needle"}' >"$temp/bad.jsonl"
refused needle -m "$model" --from "$temp/bad.jsonl"
has "$temp/err" 'bad.jsonl: line 1: "length" or "sample"'
echo '{"task": "needle", "prompt": "nothing"}' >"$temp/bad.json"
refused needle -m "$model" --lengths 512 -n 1 --templates "$temp/bad.json"
has "$temp/err" 'template 1: "prompt" holds no {context}'
