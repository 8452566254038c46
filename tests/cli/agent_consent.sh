# mnemo agent --consent: a call waits for the user, in a pipe, and over runs of the program.
source "$(dirname "$0")/support.bash"
cd "$temp"
needs_endpoint

# Puts away what it is told, then says what became of it.
scripted_endpoint <<'EOF'
def delta(body):
    last = body['messages'][-1]
    if last['role'] == 'tool':
        return {'content': 'It said: ' + json.loads(last['content'])['message']}
    call = {'name': 'archival_memory_insert', 'arguments': json.dumps({'content': last['content']})}
    return {'tool_calls': [{'index': 0, 'id': 'c1', 'type': 'function', 'function': call}]}
EOF
agent() { "$mnemo" agent --store a.db --endpoint "$url" --window 16000 "$@"; }
texts() { "$mnemo" agent show --store a.db --json | grep -o '"archival": [0-9]*'; }

printf 'The key is under the stone.\nyes\nThe cat is grey.\nthat is nobody'"'"'s business\n' |
    agent --consent archival_memory_insert >out 2>err
grep -q 'archival_memory_insert wants your consent, with .*under the stone' err || fail "$(cat err)"
[ "$(grep -c '^It said: ' out)" = 2 ] || fail "$(cat out err)"
grep -q "did not allow this: that is nobody's business" out || fail "$(cat out)"
[ "$(texts)" = '"archival": 1' ] || fail "$(texts)"

# Over runs: nothing is taken before it is decided.
agent --consent '*' -p 'The dog is black.' >out 2>err
grep -q 'wants your consent' err || fail "$(cat err)"
refuses 1 'waits for your consent to archival_memory_insert' agent --consent '*' -p 'Hello?'
[ "$(texts)" = '"archival": 1' ] || fail "$(texts)"
agent allow >out 2>err
grep -q '^It said: ' out && [ "$(texts)" = '"archival": 2' ] || fail "$(cat out err)"
refuses 1 'No call waits' agent allow
agent --consent '*' -p 'The fish is gold.' --json >out 2>err
grep -q '{"waits":"archival_memory_insert","arguments":' out || fail "$(cat out)"
agent refuse 'I do not want that.' >out 2>err
grep -q 'did not allow this: I do not want that' out && [ "$(texts)" = '"archival": 2' ] || fail "$(cat out err)"
