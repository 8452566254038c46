# mnemo mcp: a client's messages and what comes back; what is wrong is said and ends nothing.
source "$(dirname "$0")/support.bash"
cd "$temp"
printf 'John Ronald Reuel Tolkien was an English writer. He was born in Bloemfontein.\n' >tolkien.txt
printf 'Bloemfontein is a city in the Free State. It lies 1395 m above the sea.\n' >city.txt
if ! "$mnemo" read index tolkien.txt city.txt --store g.db >out 2>&1; then
    grep -q 'no graph reader' out || fail "$(cat out)"
    echo 'skipped: this build has no graph reader'
    exit 77
fi
cat >messages <<'EOF'
{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-03-26","capabilities":{}}}
{"jsonrpc":"2.0","method":"notifications/initialized"}
{"jsonrpc":"2.0","id":"two","method":"tools/list"}
{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"graph_search","arguments":{"query":"high city","k":1}}}
{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"graph_search_nodes","arguments":{"query":"Tolkien"}}}
{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"graph_read_facts","arguments":{"key":"bloemfontein"}}}
{"jsonrpc":"2.0","id":6,"method":"tools/call","params":{"name":"graph_neighbors","arguments":{"key":"Bloemfontein"}}}
{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"graph_read_chunk","arguments":{"ids":[0,1]}}}
{"jsonrpc":"2.0","id":8,"method":"tools/call","params":{"name":"graph_read_chunk","arguments":{"ids":[99]}}}
{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"graph_read_facts","arguments":{"key":"Atlantis"}}}
{"jsonrpc":"2.0","id":10,"method":"tools/call","params":{"name":"graph_search","arguments":[7]}}
{"jsonrpc":"2.0","id":11,"method":"tools/call","params":{"name":"rm"}}
{"jsonrpc":"2.0","id":12,"method":"resources/list"}
rubbish
7
[1]
[]
{"jsonrpc":"2.0","id":13}
{"jsonrpc":"2.0","id":14,"method":"ping"}
[{"jsonrpc":"2.0","id":21,"method":"ping"},{"jsonrpc":"2.0","method":"notifications/initialized"},{"id":22}]
[{"jsonrpc":"2.0","method":"notifications/initialized"}]
{"jsonrpc":"2.0","id":31,"method":"initialize","params":{"protocolVersion":"2024-11-05","capabilities":{}}}
{"jsonrpc":"2.0","id":32,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}
{"jsonrpc":"2.0","id":33,"method":"initialize","params":{"protocolVersion":"2099-01-01","capabilities":{}}}
{"jsonrpc":"2.0","id":34,"method":"initialize"}
EOF
# A sentence that shows a part of a long key is cut within a character.
key=x$(printf 'é%.0s' {1..60})
cat >>messages <<EOF
{"jsonrpc":"2.0","id":15,"method":"tools/call","params":{"name":"graph_read_facts","arguments":{"key":"$key"}}}
EOF
"$mnemo" mcp --store g.db <messages >answers
python3 - <<'EOF' || fail "$(cat answers)"
import json
lines = [json.loads(l) for l in open('answers')]
lists, lines = [m for m in lines if isinstance(m, list)], [m for m in lines if isinstance(m, dict)]
by = {m['id']: m for m in lines if m['id'] is not None}
assert by[1]['result']['protocolVersion'] == '2025-03-26' and 'tools' in by[1]['result']['capabilities']
tools = by['two']['result']['tools']
assert len(tools) == 10 and all(t["inputSchema"]["type"] == "object" for t in tools)
def told(i):
    r = by[i]['result']
    return r['isError'], r['content'][0]['text']
assert json.loads(told(3)[1])['results'][0]['file'] == 'city.txt'
assert any('Tolkien' in n['key'] for n in json.loads(told(4)[1])['nodes'])
assert any('1395' in f['text'] for f in json.loads(told(5)[1])['facts'])
assert json.loads(told(6)[1])['neighbours_in_all'] > 0
assert len(json.loads(told(7)[1])['chunks']) == 2
for i, says in ((8, 'no chunk 99'), (9, 'no key'), (10, 'wants "query"'), (15, 'no key "xéé')):
    assert told(i)[0] and says in told(i)[1], told(i)
assert by[11]['error']['code'] == -32602 and by[12]['error']['code'] == -32601 and by[13]['error']['code'] == -32600
assert [m['error']['code'] for m in lines if m['id'] is None] == [-32700, -32600, -32600]
codes = [[(m['id'], m.get('error', {}).get('code')) for m in l] for l in lists]
assert codes == [[(None, -32600)], [(21, None), (22, -32600)]], codes
for i, version in ((31, '2024-11-05'), (32, '2025-11-25'), (33, '2025-11-25'), (34, '2025-11-25')):
    assert by[i]['result']['protocolVersion'] == version, by[i]
assert by[14]['result'] == {}
EOF
! "$mnemo" mcp --store none.db <messages >answers 2>&1 || fail 'a store that is not there is served'
