# mnemo mcp with npm's @modelcontextprotocol/sdk as the client. Skipped, and said so, where node or the package is not
# here: npm install -g @modelcontextprotocol/sdk, or name the folder in MNEMO_NODE_MODULES.
source "$(dirname "$0")/support.bash"
here=$(cd "$(dirname "$0")" && pwd)
cd "$temp"
NODE_PATH=${MNEMO_NODE_MODULES:-$(npm root -g 2>/dev/null || true)}
export NODE_PATH
if ! node -e 'require.resolve("@modelcontextprotocol/sdk/client/index.js")' 2>/dev/null; then
    echo 'skipped: node or @modelcontextprotocol/sdk is not here; npm install -g @modelcontextprotocol/sdk'
    exit 77
fi
printf 'John Ronald Reuel Tolkien was an English writer. He was born in Bloemfontein.\n' >tolkien.txt
printf 'Bloemfontein is a city in the Free State. It lies 1395 m above the sea.\n' >city.txt
if ! "$mnemo" read index tolkien.txt city.txt --store g.db >out 2>&1; then
    grep -q 'no graph reader' out || fail "$(cat out)"
    echo 'skipped: this build has no graph reader'
    exit 77
fi
printf '{"id": 1, "name": "Ann", "text": "My dog is called Rex."}\n' >talk.jsonl
"$mnemo" agent import --store g.db --name ann talk.jsonl >out 2>&1 || fail "$(cat out)"
timeout 60 node "$here/mcp_sdk.cjs" "$mnemo" g.db >out 2>&1 || fail "$(cat out)"
grep -q 'the client is content' out || fail "$(cat out)"
