#!/bin/bash
# mnemo tokenize and detokenize: inverse of each other, and clear about what is wrong.
set -eu
mnemo=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
model=$MNEMO_SOURCE_DIR/models/default.gguf

# expect CODE PATTERN COMMAND...: the exit code, and an extended regular expression in what was printed.
expect() {
    local code=$1 pattern=$2 got=0
    shift 2
    "$@" >"$work/out" 2>&1 </dev/null || got=$?
    if [ "$got" != "$code" ] || ! grep -Eq -- "$pattern" "$work/out"; then
        echo "FAILED: $* (exit $got, wanted $code with $pattern)"
        cat "$work/out"
        exit 1
    fi
}

printf ' \r\n\tOnce upon a time  \xff\xc3 a <s>fox</s>\n\n\0\xf0\x9f\xa6\x99 \xe2\x96\x81' >"$work/text"
"$mnemo" tokenize -m "$model" -f "$work/text" >"$work/ids"
"$mnemo" detokenize -m "$model" -f "$work/ids" | cmp - "$work/text"
"$mnemo" tokenize -m "$model" --no-bos --ids <"$work/text" | "$mnemo" detokenize -m "$model" | cmp - "$work/text"
tail -n +2 "$work/ids" | cmp - <("$mnemo" tokenize -m "$model" --no-bos -f "$work/text")
: | "$mnemo" tokenize -m "$model" --no-bos | cmp - /dev/null

expect 0 '^1$' "$mnemo" tokenize -m "$model" -p ''
expect 0 '^1	<s>$' "$mnemo" tokenize -m "$model" -p a --pieces
expect 0 '^13	\\n$' "$mnemo" tokenize -m "$model" -p $'a\nb' --pieces
expect 0 '^\{"n_tokens": 2, "ids": \[1, [0-9]+\]\}$' "$mnemo" tokenize -m "$model" -p a --json
expect 0 '^2$' "$mnemo" tokenize -m "$model" -p '</s>' --special
expect 0 '^261$' "$mnemo" tokenize a
expect 2 'exclude each other' "$mnemo" tokenize -m "$model" -p a -f "$work/text"
expect 0 'no model was named' "$mnemo" detokenize
expect 1 'no/such/file' "$mnemo" tokenize -m no/such/file -p a
expect 1 'text: .*GGUF' "$mnemo" tokenize -m "$work/text" -p a
echo '5 6 999999' >"$work/ids"
expect 1 'Token 2 has the id 999999' "$mnemo" detokenize -m "$model" -f "$work/ids"
echo '5 -3' >"$work/ids"
expect 1 'Token 1 has the id -3' "$mnemo" detokenize -m "$model" -f "$work/ids"
echo '5 six' >"$work/ids"
expect 1 'Token 1, "six", is not a number' "$mnemo" detokenize -m "$model" -f "$work/ids"
