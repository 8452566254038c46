#!/usr/bin/env bash
# check-columns.sh: no line of a text file is wider than 120 columns, but for what cannot be broken: rows of tables and
# lines of a program's output in pages, sentences of the program that a test expects whole, data.
set -euo pipefail
cd "$(dirname "$0")/.."
files=$(git ls-files 2>/dev/null) || { echo 'skipped: this is no checkout that git can list'; exit 77; }
whole='^tests/cli/[a-z_]+\.sh:[0-9]+:(expect [0-9] |has |says |usage=|a smaller window)|\.md:[0-9]+:(\||mnemo: )'
wide=$(grep -vE '^(tests/data|tests/fuzz/corpus|models/demo|src/graph/prompts)/|\.svg$' <<<"$files" | tr '\n' '\0' |
    LC_ALL=C.UTF-8 xargs -0 grep -HInE '^.{121,}' | grep -vE "$whole" || true)
[ -z "$wide" ] || { echo 'wider than 120 columns:'; cut -c1-160 <<<"$wide"; exit 1; }
