# What the golden runs share. Sourced with the binary as $1; leaves $mnemo, a temporary folder $temp and $corpus.
set -euo pipefail
mnemo=$1
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT
corpus=$MNEMO_SOURCE_DIR/tests/fuzz/corpus/gguf

fail() { printf '%s\n' "$@" >&2; exit 1; }

# expect CODE WANTED COMMAND...: the exit code, and both outputs to the byte.
expect() {
    local code=$1 wanted=$2 got got_code=0
    shift 2
    got=$("$@" 2>&1) || got_code=$?
    [ "$got" = "$wanted" ] || fail "from: $*" 'wanted:' "$wanted" 'got:' "$got"
    [ "$got_code" = "$code" ] || fail "from: $*" "wanted exit code $code, got $got_code"
}

# has PATTERN COMMAND...: exit code 0, and an extended regular expression in what is printed.
has() {
    local pattern=$1 got
    shift
    got=$("$@" 2>&1 </dev/null) || fail "from: $*" "$got"
    grep -Eq -- "$pattern" <<<"$got" || fail "from: $*" "wanted: $pattern" 'got:' "$got"
}
# refuses CODE PATTERN COMMAND...
refuses() {
    local code=$1 pattern=$2 got got_code=0
    shift 2
    got=$("$@" 2>&1 </dev/null) || got_code=$?
    [ "$got_code" = "$code" ] || fail "from: $*" "wanted exit code $code, got $got_code: $got"
    grep -Eq -- "$pattern" <<<"$got" || fail "from: $*" "wanted: $pattern" 'got:' "$got"
}
