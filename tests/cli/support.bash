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

# Skips the test where this build cannot reach an endpoint: the library for it is optional.
needs_endpoint() {
    "$mnemo" agent --store away.db --endpoint http://127.0.0.1:1/v1 --window 16000 -p x >away 2>&1 || true
    ! grep -q 'libcurl4\|has no memory' away ||
        { echo 'skipped: this build has no memory, or reaches no endpoint'; exit 77; }
}
# scripted_endpoint: serves at $url what a Python program on standard input makes of a request: delta(body), the delta
# of its one chunk, or None for a request that is refused.
scripted_endpoint() {
    { echo 'import http.server, json, os'; cat; cat <<'EOF'; } >server.py

class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        made = delta(json.loads(self.rfile.read(int(self.headers['Content-Length']))))
        if made is None:
            return self.send_error(400, 'The line is dead')
        self.send_response(200)
        self.send_header('Content-Type', 'text/event-stream')
        self.end_headers()
        chunk = {'choices': [{'delta': made, 'finish_reason': 'stop'}]}
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
    url=http://127.0.0.1:$(cat port)/v1
}
