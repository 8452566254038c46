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
    expect 2 'no option --no-such-option' "$verb" --no-such-option
done

exit $((failures > 0))
