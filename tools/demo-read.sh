#!/usr/bin/env bash
# Reads a novel and three notes into a graph, and asks a question whose answer stands in two of them.
set -euo pipefail
mnemo=$(realpath "$1")
here=$(cd "$(dirname "$0")/.." && pwd)
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT
cd "$temp"
mkdir texts
cp "$here/models/demo/pride-and-prejudice.txt" texts/
cat >texts/tolkien.md <<'EOF'
# J. R. R. Tolkien

John Ronald Reuel Tolkien was an English writer and philologist. He was born in Bloemfontein in 1892.
EOF
cat >texts/bloemfontein.md <<'EOF'
# Bloemfontein

Bloemfontein is the capital of the Free State province. The city lies 1395 m above the sea.
EOF
cat >texts/belfast.md <<'EOF'
# Belfast

Belfast is the capital of Northern Ireland. C. S. Lewis, a friend of Tolkien, was born in the city.
EOF
show() { printf '\n$'; printf ' %q' mnemo "$@"; echo; "$mnemo" "$@"; }

echo 'A novel and three notes become a graph of facts, without any model.'
show read index texts --store texts.db
echo
echo 'No note alone answers this: one names the place, another its height.'
show read ask --store texts.db -q 'How high above the sea lies the city where Tolkien was born?' -k 5 --paths 2 --walk
echo
echo 'The same graph knows the novel.'
show read search --store texts.db -q 'Who has taken Netherfield Park?' -k 1
show read show --store texts.db 'Bloemfontein'
