#!/usr/bin/env bash
# Hides a fact in the opening of a novel, asks for it, and asks again without scaled positions.
set -euo pipefail
mnemo=$1
here=$(cd "$(dirname "$0")/.." && pwd)
model=$here/models/default.gguf
novel=$here/models/demo/pride-and-prejudice.txt
question='What is the secret number of Boston?'
fact='The secret number of Boston is 48213.'
text=$(mktemp)
trap 'rm -f "$text"' EXIT

# The fact goes behind the sentence that ends a third of the way into the text.
awk -v fact="$fact" -v RS= -v ORS='\n\n' -v paragraph=32 '{print} NR == paragraph {print fact}' "$novel" >"$text"

echo "A model of 2.2 million parameters, trained on 512 tokens at a time, reads $(wc -w <"$text") words of"
echo "\"Pride and Prejudice\". Somewhere among them stands: $fact"
echo
echo "\$ mnemo run -m models/default.gguf -f novel.txt -p '$question'"
"$mnemo" run -m "$model" -f "$text" -p "$question"
echo
echo "The same without scaled positions: every token beyond the 512th stands where the model has never seen one."
echo
echo "\$ mnemo run -m models/default.gguf -f novel.txt -p '$question' --rope-scaling none -n 16"
"$mnemo" run -m "$model" -f "$text" -p "$question" --rope-scaling none -n 16
