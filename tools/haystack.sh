#!/usr/bin/env bash
# A pass key in repeated filler (Mohtashami and Jaggi, arXiv:2305.16300, section 4.2), on standard output.
# usage: haystack.sh TOKENS [KEY [DEPTH]]    about TOKENS tokens of the small models; DEPTH 0 to 1, beyond it no key
set -euo pipefail
[ $# -ge 1 ] || { sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 2; }
awk -v tokens="$1" -v key="${2:-48213}" -v depth="${3:-0.5}" -v tokens_per_line=31 '
BEGIN {
    filler = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again."
    n = int(tokens / tokens_per_line)
    at = int(depth * n)
    for (i = 0; i < n; i++) {
        if (i == at) printf "The pass key is %s. Remember it. %s is the pass key. ", key, key
        printf "%s ", filler
    }
    print ""
}'
