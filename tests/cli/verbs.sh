# The verb table and the option parser: every verb explains itself and refuses what it does not know, with the exit
# codes 0 done, 1 failed, 2 wrong usage.
mnemo=$1
failures=0

# expect CODE PATTERN ARGUMENT...: runs mnemo; its exit code and the text it prints (stdout and stderr) must agree.
expect() {
    local code=$1 pattern=$2 text got
    shift 2
    text=$("$mnemo" "$@" 2>&1 </dev/null)
    got=$?
    if [ "$got" != "$code" ] || ! grep -qe "$pattern" <<<"$text"; then
        echo "mnemo $*: exit code $got (wanted $code), wanted \"$pattern\" in:"
        echo "$text"
        failures=$((failures + 1))
    fi
}

expect 2 'usage: mnemo VERB'
expect 0 'usage: mnemo VERB' --help
expect 0 'usage: mnemo VERB' help
expect 0 '^mnemo [0-9]' --version
expect 2 'no verb "nonsense"' nonsense

for verb in $("$mnemo" --help | awk '/^  [a-z]/ { print $1 }'); do
    expect 0 "^usage: mnemo $verb" "$verb" --help
    expect 0 '^example:' "$verb" --help
    expect 2 'there is no .*--no-such-option' "$verb" --no-such-option
    ! grep -q ' $' <<<"$("$mnemo" "$verb" --help)" || { echo "mnemo $verb --help: a blank ends a line"; failures=1; }
done
expect 2 'no verb "tokenise"; is tokenize meant?' tokenise
expect 2 'is ruler meant?' eval rular
grep -q MNEMO_ <<<"$("$mnemo" version --help)" && { echo 'version --help speaks of options'; failures=1; }

# Option values, by way of a verb that needs no file.
expect 0 '^2048 tokens' attn show causal -n 2k
expect 0 '^1048576 tokens' attn show window:64 -n 1m
expect 0 '^64 tokens' attn show causal -n=64
expect 2 '^mnemo attn: --n is --tokens, and that was given before' attn show causal --tokens 32 --n 64
expect 0 '^1024 tokens' attn -- show causal
expect 2 '^mnemo attn: -n needs a value: N' attn show causal -n
for value in 0 -1 1x 1.5 16777217 99999999999999999999 9007199254740993k; do
    expect 2 '-n does not take .*(wanted: 1 to 16777216)' attn show causal -n "$value"
done
expect 2 'does not know what to do with "extra"' attn show causal extra
expect 2 'does not know what to do with "--json"' attn -- show causal --json
expect 2 'takes no value' attn show causal --json=1
expect 2 '^try: mnemo attn --help' attn

exit $((failures > 0))
