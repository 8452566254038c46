#!/usr/bin/env bash
# What answers by a grammar cost of decoding, on a random model with Llama 3's vocabulary: the table of
# docs/constrained-output.md. Runs with and without a constraint take turns; a column is the least of ROUNDS, of CPU
# time on one thread.
# usage: constrained-figures.sh [MNEMO]    MODEL=FILE (made where there is none), VOCAB=FILE, N=tokens, ROUNDS, THREADS,
#        CASES=regular expression of names
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
mnemo=$(realpath "${1:-$here/build/mnemo}")
vocab=${VOCAB:-$here/../shared/data/tokenizers/ggml-vocab-llama-bpe.gguf}
n=${N:-160} rounds=${ROUNDS:-3} threads=${THREADS:-1} cases=${CASES:-.}
clock=()
[ "$threads" != 1 ] || clock=(--cpu-time)
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT
model=${MODEL:-$temp/model.gguf}
[ -e "$model" ] || "$mnemo" init -o "$model" --layers 8 --embd 1024 --heads 16 --kv-heads 4 --ff 2816 \
    --vocab-from "$vocab" --type q8_0 >/dev/null

cd "$temp"
member='"name":{"type":"string","maxLength":20},"year":{"type":"integer","minimum":1900,"maximum":2100},
"kind":{"enum":["a","b","c"]},"tags":{"type":"array","items":{"type":"string","maxLength":8},"maxItems":3},
"ok":{"type":"boolean"},"share":{"type":"number"}'
cat >objects.json <<END
{"type":"array","minItems":4,"items":{"type":"object","properties":{$member},
"required":["name","year","kind","tags","ok","share"]}}
END
cat >tree.json <<'END'
{"$ref":"#/$defs/n","$defs":{"n":{"type":"object","properties":{"v":{"type":"integer"},"name":{"type":"string",
"maxLength":10},"kids":{"type":"array","minItems":1,"items":{"$ref":"#/$defs/n"}}},"required":["v","name","kids"]}}}
END
{
    printf '{"type":"array","minItems":12,"items":{"enum":["x"'
    for i in $(seq 0 999); do printf ',"%s-%d"' "$(echo alpha beta gamma delta north south east west red green |
        cut -d' ' -f$((i % 10 + 1)))" $((i / 10)); done
    printf ']}}\n'
} >values.json
echo '{"type":"array","minItems":8,"items":{"type":"string","minLength":60}}' >strings.json
echo '{"type":"array","minItems":5,"items":{"type":"string","minLength":60,"maxLength":2000}}' >counted.json
echo '{"type":"array","minItems":30,"items":{"type":"string","minLength":60}}' >tight.json
echo '{"type":"array","minItems":40}' >any.json
cat >statements.gbnf <<'END'
root ::= stmt{8,}
stmt ::= name " = " expr ";\n"
expr ::= term ([-+*/] term)*
term ::= name | [0-9]{1,9} | "(" expr ")" | "\"" [^"\n]{0,60} "\""
name ::= [a-z] [a-z0-9_]{0,15}
END

# decode SEED OPTION...: ms of sampling and of all, a token.
decode() {
    "$mnemo" run -m "$model" -p 'Once upon a time' -n "$n" -t "$threads" --ignore-eos --profile "${clock[@]}" \
        --seed "$@" \
        2>&1 >/dev/null | awk '
            /^ *decode: / { tokens = $2; on = 1 }
            on && $1 == "output" && $2 == "sampling" { sampling = $3 }
            on && $1 == "all" && $2 == "all" { all = $3 }
            END { if (!tokens || !all) exit 1; print sampling / tokens, all / tokens }'
}

# row NAME OPTION...
row() {
    local name=$1 round plain bound
    shift
    [[ $name =~ $cases ]] || return 0
    for round in $(seq "$rounds"); do
        plain=$(decode "$round")
        bound=$(decode "$round" "$@")
        echo "$plain $bound"
    done >figures
    awk -v name="$name" '
        { plain_all = NR == 1 || $2 < plain_all ? $2 : plain_all; plain = NR == 1 || $1 < plain ? $1 : plain
          bound_all = NR == 1 || $4 < bound_all ? $4 : bound_all; bound = NR == 1 || $3 < bound ? $3 : bound }
        END { printf "| %s | %.0f us | %.0f us | %.1f %% | %+.1f %% |\n", name, bound * 1e3, plain * 1e3,
                     100 * bound / bound_all, 100 * (bound - plain) / plain_all }' figures
}

echo '| answers by | a draw | without | of decode time | above no constraint |'
echo '|---|---|---|---|---|'
row 'any JSON' --json-schema any.json
row 'objects of six properties' --json-schema objects.json
row 'a tree, by a schema that calls itself' --json-schema tree.json
row 'at least 12 of 1000 values' --json-schema values.json
row 'strings of at least 60 characters' --json-schema strings.json
row 'strings of 60 to 2000 characters' --json-schema counted.json
row 'statements of a small language (GBNF)' --grammar statements.gbnf
n=120 # nearly as few tokens as they can take: what is drawn is what still fits
row '30 strings of at least 60 characters in 120 tokens' --json-schema tight.json
