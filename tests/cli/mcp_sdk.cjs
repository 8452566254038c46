// mnemo mcp as npm's @modelcontextprotocol/sdk sees it. usage: node mcp_sdk.cjs MNEMO STORE
const assert = require("assert");
const { Client } = require("@modelcontextprotocol/sdk/client/index.js");
const { StdioClientTransport } = require("@modelcontextprotocol/sdk/client/stdio.js");

const [mnemo, store] = process.argv.slice(2);

async function main() {
  const transport = new StdioClientTransport({ command: mnemo, args: ["mcp", "--store", store, "--name", "ann"] });
  const client = new Client({ name: "test", version: "1" }, { capabilities: {} });
  await client.connect(transport);
  assert.equal(client.getServerVersion().name, "mnemo");
  assert.ok(client.getServerCapabilities().tools);
  await client.ping();

  const { tools } = await client.listTools();
  const names = tools.map((t) => t.name);
  for (const name of ["graph_search", "graph_search_nodes", "graph_read_facts", "graph_neighbors", "graph_read_chunk",
    "conversation_search", "archival_memory_search", "archival_memory_insert", "core_memory_read", "memory_rethink"])
    assert.ok(names.includes(name), name);

  const call = async (name, args) => {
    const result = await client.callTool({ name, arguments: args });
    const text = result.content[0].text;
    return result.isError ? { error: text } : JSON.parse(text);
  };
  const found = await call("graph_search", { query: "How high is the city where Tolkien was born?", k: 2 });
  assert.equal(found.results.length, 2);
  assert.ok((await call("graph_search_nodes", { query: "Tolkien" })).nodes.some((n) => n.key.includes("Tolkien")));
  assert.ok((await call("graph_read_facts", { key: "Bloemfontein" })).facts.some((f) => f.text.includes("1395")));
  assert.ok((await call("graph_neighbors", { key: "Bloemfontein" })).neighbours_in_all > 0);
  assert.equal((await call("graph_read_chunk", { ids: [0, 1] })).chunks.length, 2);
  assert.match((await call("graph_read_chunk", { ids: [99] })).error, /no chunk 99/);

  assert.match((await call("conversation_search", { query: "dog" })).results[0].text, /Rex/);
  assert.equal((await call("archival_memory_insert", { content: "The key is under the mat.", tags: ["home"] })).status,
    "OK");
  assert.match((await call("archival_memory_search", { query: "keys" })).results[0].text, /under the mat/);
  assert.equal((await call("memory_rethink", { label: "human", new_memory: "Ann has a dog." })).status, "OK");
  const { blocks } = await call("core_memory_read", {});
  assert.equal(blocks.find((b) => b.label === "human").value, "Ann has a dog.");
  assert.match((await call("memory_rethink", { label: "x", new_memory: "" })).error, /no block "x"/);
  assert.match((await call("archival_memory_insert", {})).error, /wants "content"/);

  await assert.rejects(client.callTool({ name: "rm", arguments: {} }), /no tool of this name/);
  await assert.rejects(client.listResources(), /does not support resources|not known/);
  const many = await Promise.all([...Array(50).keys()].map(() => call("graph_search", { query: "city", k: 1 })));
  assert.ok(many.every((m) => m.results.length === 1));
  await client.close();
}

main().then(() => console.log("the client is content"), (e) => { console.error(e); process.exit(1); });
