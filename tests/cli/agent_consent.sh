# mnemo agent --consent: a call waits for the user, in a pipe, and over runs of the program.
source "$(dirname "$0")/support.bash"
cd "$temp"
away=$("$mnemo" agent --store away.db --endpoint http://127.0.0.1:1/v1 --window 16000 -p x 2>&1 || true)
if grep -q 'libcurl4\|has no memory' <<<"$away"; then
    echo 'skipped: this build has no memory, or cannot reach an endpoint'
    exit 77
fi

# Puts away what it is told, then says what became of it.
cat >server.py <<'EOF'
import http.server, json, os

class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        messages = json.loads(self.rfile.read(int(self.headers['Content-Length'])))['messages']
        last = messages[-1]
        if last['role'] == 'tool':
            delta = {'content': 'It said: ' + json.loads(last['content'])['message']}
        else:
            call = {'name': 'archival_memory_insert', 'arguments': json.dumps({'content': last['content']})}
            delta = {'tool_calls': [{'index': 0, 'id': 'c1', 'type': 'function', 'function': call}]}
        self.send_response(200)
        self.send_header('Content-Type', 'text/event-stream')
        self.end_headers()
        chunk = {'choices': [{'delta': delta, 'finish_reason': 'stop'}]}
        self.wfile.write(('data: %s\n\ndata: [DONE]\n\n' % json.dumps(chunk)).encode())

    def log_message(self, *args):
        pass

server = http.server.HTTPServer(('127.0.0.1', 0), Handler)
open('port.new', 'w').write(str(server.server_port))
os.rename('port.new', 'port')
server.serve_forever()
EOF
python3 server.py &
server=$!
trap 'kill $server 2>/dev/null; rm -rf "$temp"' EXIT
for _ in {1..100}; do [ ! -e port ] || break; sleep 0.1; done
agent() { "$mnemo" agent --store a.db --endpoint "http://127.0.0.1:$(cat port)/v1" --window 16000 "$@"; }
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
