#!/usr/bin/env bash
# --json-schema and --grammar: answers follow them, also when their tokens run out; what is wrong is a sentence.
source "$(dirname "$0")/support.bash" "$1"
model=$MNEMO_SOURCE_DIR/models/default.gguf
cat >"$temp/schema.json" <<'END'
{"type": "object", "properties": {
 "city": {"enum": ["Boston", "Paris"]}, "number": {"type": "integer", "minimum": 10000},
 "note": {"type": "string"}}, "required": ["city", "number", "note"]}
END
b='[[:space:]]*'
shape="^\\{$b\"city\": ?\"(Boston|Paris)\",$b\"number\": ?[1-9][0-9]{4,},$b\"note\": ?\".*\"$b\\}\$"
for seed in 1 2 3; do
    for n in 48 80 200; do
        got=$("$mnemo" run -m "$model" -p 'Once upon a time' --json-schema "$temp/schema.json" -n $n -s $seed -q \
            --temp 1.5)
        [[ $(tr '\n' ' ' <<<"$got" | sed 's/ $//') =~ $shape ]] || fail "-n $n, seed $seed:" "$got"
    done
done

printf 'root ::= "yes" | "no"\n' >"$temp/answer.gbnf"
got=$("$mnemo" run -m "$model" -p 'Is it so?' --grammar "$temp/answer.gbnf" -q)
[ "$got" = yes ] || [ "$got" = no ] || fail "neither yes nor no:" "$got"
got=$(printf 'Is it so?\nAnd now?\n' | "$mnemo" chat -m "$model" --grammar "$temp/answer.gbnf")
[ "$(grep -cxE 'yes|no' <<<"$got")" = 2 ] || fail 'chat:' "$got"

says() { # says CODE PATTERN ARGUMENTS...
    local code=$1 pattern=$2 got_code=0
    shift 2
    "$mnemo" run -m "$model" -p x -q "$@" >"$temp/out" 2>"$temp/err" || got_code=$?
    [ $got_code = "$code" ] || fail "$*: exit code $got_code" "$(cat "$temp/err")"
    tr '\n' ' ' <"$temp/err" | grep -Eq "$pattern" || fail "$*:" "$(cat "$temp/err")"
    [ ! -s "$temp/out" ] || fail "$*: wrote" "$(cat "$temp/out")"
}
says 1 'the shortest answer .* takes [0-9]+ tokens, and 4 may be drawn' --json-schema "$temp/schema.json" -n 4
says 2 'exclude each other' --json-schema "$temp/schema.json" --grammar "$temp/answer.gbnf"
says 2 'takes the name of a file' --json-schema '{"type": "object"}'
says 2 'is none of none, one and lines' --json-schema "$temp/schema.json" --json-blanks tabs
says 2 'takes the name of a file' --grammar 'root ::= "a"'
says 1 'missing.gbnf' --grammar "$temp/missing.gbnf"
printf 'root ::= a\n\na ::= b\n' >"$temp/broken.gbnf"
says 1 'broken.gbnf: line 3: the rule "b" is used but nowhere' --grammar "$temp/broken.gbnf"
printf '{"properties": {"a": {"uniqueItems": true}}}' >"$temp/broken.json"
says 1 'broken.json: the schema at #/properties/a: the keyword "uniqueItems" is not' --json-schema "$temp/broken.json"
