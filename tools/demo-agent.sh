#!/usr/bin/env bash
# Tells an agent some facts, then most of a novel, until the window has long lost them; and asks for them.
set -euo pipefail
mnemo=$(realpath "$1")
here=$(cd "$(dirname "$0")/.." && pwd)
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT
cd "$temp"
model=$here/models/default.gguf
show() { printf '\n$'; printf ' %q' mnemo "$@"; echo; "$mnemo" "$@"; }

echo 'Facts, said to an agent with a window of 4096 tokens.'
show agent --store me.db -p 'My dog is called Rex, and he was born in Bremen.' \
    -p 'The secret number of Boston is 48213.'
echo
echo 'Then the opening of a novel, twenty times over, a message for each paragraph.'
awk 'BEGIN { RS = "" } { gsub(/[\r\n]+/, " "); print }' "$here/models/demo/pride-and-prejudice.txt" >paragraphs
for _ in {1..20}; do cat paragraphs; done >messages
printf '\n$ mnemo agent --store me.db --window 4096 <messages   # %s lines\n' "$(wc -l <messages)"
"$mnemo" agent --store me.db --window 4096 <messages >answers
echo
echo 'The window holds the newest of it alone; recall holds all.'
show agent show --store me.db --window 4096
echo
echo 'By words alone, what is remembered is the answer; the small model of this repository reads it.'
show agent --store me.db --window 4096 --facts -p 'Where was my dog Rex born?'
show agent --store me.db --window 4096 --facts -m "$model" -p 'What is the secret number of Boston?'
