#!/usr/bin/env bash
# mnemo scaling: answers, units, suffixes, JSON, pictures, and how it refuses.
set -uo pipefail
mnemo=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0

# says WORDS COMMAND...: exit 0 and WORDS in what it prints.
says() {
    local words=$1 out
    shift
    out=$("$mnemo" scaling "$@" 2>&1) || { echo "failed: scaling $*: $out"; failed=1; return; }
    grep -qF -- "$words" <<<"$out" || { echo "scaling $*: no \"$words\" in: $out"; failed=1; }
}
# refuses CODE WORDS COMMAND...: that exit code, WORDS on stderr.
refuses() {
    local code=$1 words=$2 err got
    shift 2
    err=$("$mnemo" scaling "$@" 2>&1 >/dev/null)
    got=$?
    [ $got = "$code" ] || { echo "scaling $*: exit $got, wanted $code"; failed=1; }
    grep -qF -- "$words" <<<"$err" || { echo "scaling $*: no \"$words\" in: $err"; failed=1; }
}

says 'loss     1.85748 nats per token' loss --params 70e9 --tokens 15e12
says 'loss     1.85748 nats per token' loss --params 70B --tokens 15t --law chinchilla
says 'loss     1.85098' loss --params 70e9 --tokens 15e12 --law chinchilla-exact
says 'loss     1.92986' loss --params 70e9 --tokens 15e12 --law besiroglu
says 'loss     2.31255' loss --params 1.5B --tokens 22B --law kaplan
says '(non-embedding parameters)' loss --params 1.5B --tokens 22B --law kaplan
says '(all parameters)' loss --params 1500M --tokens 22000000k
says 'loss     2.30355' loss --params 1.5B --law kaplan
says 'loss     2.0991' loss --tokens 22B --law kaplan
says 'loss     2.65808' loss --flops 8.64e19 --law kaplan
says '2.57416 (L(C))' loss --flops 8.64e19 --law kaplan
says '"loss": 1.857' loss --params 70e9 --tokens 15e12 --json
says '"law": "chinchilla"' loss --params 70e9 --tokens 15e12 --json
says 'tokens   3.392T' tokens --params 7e9 --loss 2.0
says 'params   7B' params --tokens 3.391975e12 --loss 2.0
says 'params   32.19B' optimal --flops 5.76e23
says 'flops    1.1101e+23 FLOP = 1285 PF-days' optimal --loss 2.0
says 'flops    8.2032e+21 FLOP' optimal --gpu h200 --count 8 --days 30 --mfu 0.4
says '"peak_flops_per_second": 989' optimal --gpu h200 --count 8 --days 30 --mfu 0.4 --json
says 'batch    3.' optimal --flops 1e21 --law kaplan
says 'chinchilla approach 2' table --flops 5.76e23
says '"rows": [' table --law besiroglu --json
for sub in loss tokens params optimal table fit; do says 'example:' $sub --help; done
says 'mnemo scaling loss' --help

refuses 1 'no number of tokens reaches it: the floor for this N is 1.87265' tokens --params 7e9 --loss 1.85
refuses 1 'no number of parameters reaches it: the floor for this D is 2.93' params --tokens 1B --loss 1.85
refuses 1 'no budget reaches' optimal --loss 1.6
refuses 2 'there is no law "chinchila"' loss --params 1e9 --tokens 1e9 --law chinchila
refuses 2 'needs --params and --loss' tokens --params 1e9
refuses 2 'needs one of --flops, --loss and --gpu' optimal --flops 1e20 --loss 2
refuses 2 'there is no accelerator "h900"' optimal --gpu h900 --days 3
refuses 2 'needs --days' optimal --gpu h100
refuses 2 '--params does not take "-5"' loss --params -5 --tokens 1e9
refuses 2 '--params does not take "nan"' loss --params nan --tokens 1e9
refuses 2 '--tokens does not take "1e99"' loss --params 1e9 --tokens 1e99
refuses 2 '--tokens does not take "5G"' loss --params 1e9 --tokens 5G
refuses 2 'there is no "los"; is loss meant?' los
refuses 2 'there is no "nonsense"; mnemo scaling --help lists what there is' nonsense
answer=$("$mnemo" scaling tokens --params 7e9 --loss 1.85 --json 2>/dev/null)
grep -qF '"tokens": null' <<<"$answer" || { echo "no null in $answer"; failed=1; }

says 'loss' loss --params 70B --tokens 15T --svg "$dir/a.svg"
grep -q '70B, 15T tokens: 1.857' "$dir/a.svg" || { echo "no point in the picture"; failed=1; }
says 'besiroglu' table --flops 5.76e23 --svg "$dir/sizes.svg"
grep -q 'the budget asked for' "$dir/sizes.svg" || { echo "no picture of the best sizes"; failed=1; }
refuses 1 '/no/such/dir' loss --params 70B --tokens 15T --svg /no/such/dir/a.svg

# Forty runs that follow E 2, A 300, B 500, alpha 0.3, beta 0.3 are fitted by just that law.
awk 'BEGIN { print "params,tokens,loss"
    for (i = 0; i < 40; i++) { n = 1e7 * 3 ^ (i % 8); d = 1e9 * 5 ^ int(i / 8)
        printf "%.17g,%.17g,%.17g\n", n, d, 2 + 300 / n ^ 0.3 + 500 / d ^ 0.3 } }' >"$dir/runs.csv"
says 'alpha    0.3' fit "$dir/runs.csv" -o "$dir/law.json" --svg "$dir/residuals.svg"
says 'loss     2.84917' loss --params 1B --tokens 100B --law "$dir/law.json"
grep -q '"points": 40' "$dir/law.json" && grep -q '</svg>' "$dir/residuals.svg" ||
    { echo "fit left no files"; failed=1; }
says '"se": {' fit "$dir/runs.csv" --bootstrap 5 --json
printf 'params,tokens,loss\n1e9,1e10,2.5\n1e9,1e10,x\n' >"$dir/bad.csv"
refuses 1 "bad.csv:3: loss is \"x\"" fit "$dir/bad.csv"
printf 'params,tokens,loss\n1e9,1e10,2.5\n' >"$dir/few.csv"
refuses 1 '1 runs; a fit of five constants takes 6' fit "$dir/few.csv"
refuses 2 'fits the form of --law chinchilla only' fit "$dir/runs.csv" --law kaplan
refuses 1 'none.csv: cannot open' fit "$dir/none.csv"

model=$MNEMO_SOURCE_DIR/tests/data/golden/tiny-llama.gguf
"$mnemo" info "$model" | grep -q 'besiroglu-exact: the best size for' ||
    { echo "info says nothing of the laws"; failed=1; }
"$mnemo" info "$model" --json | grep -q '"train_flops_per_token"' || { echo "info --json lacks FLOP"; failed=1; }
exit $failed
