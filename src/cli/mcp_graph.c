/* The tools of mnemo mcp that explore a graph: GraphReader's functions for an agent outside. */
#include "cli/mcp.h"

#ifdef MNEMO_HAVE_GRAPH
#include "cli/read.h"

#include <stdlib.h>
#include <string.h>

enum { PAGE = 50, MAX_RESULTS = 100, MAX_CHUNKS = 20 };

static mn_status search(mcp_context *context, const json_t *arguments, json_t **result, mn_error *err) {
    mn_graph *graph = context->graph;
    const char *query = mcp_text(arguments, "query");
    mn_hit hits[MAX_RESULTS];
    uint32_t n;
    if (!query) return mcp_wants("query", err);
    MN_TRY(mn_graph_search(graph, query, mcp_number(arguments, "k", 1, MAX_RESULTS, 10), hits, &n, err));
    json_t *rows = json_array();
    *result = json_pack("{s:o}", "results", rows);
    for (uint32_t i = 0; i < n; i++) {
        mn_passage passage;
        MN_TRY(mn_graph_passage(graph, hits[i].number, &passage, err));
        json_t *row = read_passage_json(&passage, (double)hits[i].score);
        json_object_set_new(row, "chunk", json_integer(passage.number));
        json_array_append_new(rows, row);
        mn_passage_release(&passage);
    }
    return MN_OK;
}

static mn_status search_nodes(mcp_context *context, const json_t *arguments, json_t **result, mn_error *err) {
    mn_graph *graph = context->graph;
    const char *query = mcp_text(arguments, "query");
    mn_hit hits[MAX_RESULTS];
    uint32_t n;
    if (!query) return mcp_wants("query", err);
    MN_TRY(mn_graph_search_keys(graph, query, mcp_number(arguments, "limit", 1, MAX_RESULTS, PAGE), hits, &n, err));
    json_t *rows = json_array();
    *result = json_pack("{s:o}", "nodes", rows);
    for (uint32_t i = 0; i < n; i++) {
        mn_key key;
        MN_TRY(mn_graph_key(graph, hits[i].number, &key, err));
        json_array_append_new(rows, json_pack("{s:s, s:i}", "key", key.text, "facts", (int)key.n_facts));
        mn_key_release(&key);
    }
    return MN_OK;
}

static mn_status find_key(mn_graph *graph, const json_t *arguments, mn_key *key, mn_error *err) {
    const char *text = mcp_text(arguments, "key");
    bool found;
    if (!text) return mcp_wants("key", err);
    MN_TRY(mn_graph_find_key(graph, text, key, &found, err));
    return found ? MN_OK
                 : mn_fail(err, MN_ERR_ARGUMENT, "There is no key \"%.100s\"; graph_search_nodes finds keys.", text);
}

static mn_status read_facts(mcp_context *context, const json_t *arguments, json_t **result, mn_error *err) {
    mn_graph *graph = context->graph;
    mn_key key;
    MN_TRY(find_key(graph, arguments, &key, err));
    uint32_t page = mcp_number(arguments, "page", 0, 1U << 20, 0);
    json_t *rows = json_array();
    *result = json_pack("{s:s, s:i, s:o}", "key", key.text, "facts_in_all", (int)key.n_facts, "facts", rows);
    mn_status status = MN_OK;
    for (uint32_t i = page * PAGE; status == MN_OK && i < key.n_facts && i < (page + 1) * PAGE; i++) {
        mn_fact fact;
        status = mn_graph_fact(graph, key.facts[i], &fact, err);
        if (status == MN_OK)
            json_array_append_new(rows, json_pack("{s:i, s:s}", "chunk", (int)fact.passage, "text", fact.text));
        mn_fact_release(&fact);
    }
    mn_key_release(&key);
    return status;
}

static mn_status neighbours(mcp_context *context, const json_t *arguments, json_t **result, mn_error *err) {
    mn_graph *graph = context->graph;
    mn_key key;
    uint32_t n = 0, n_all = 0, page = mcp_number(arguments, "page", 0, 1000, 0), max = (page + 1) * PAGE;
    MN_TRY(find_key(graph, arguments, &key, err));
    mn_neighbour *all = malloc(max * sizeof *all);
    mn_status status = all ? mn_graph_neighbours(graph, &key, max, all, &n, &n_all, err)
                           : mn_fail(err, MN_ERR_MEMORY, "There is no memory for %u neighbours.", max);
    json_t *rows = json_array();
    *result = json_pack("{s:s, s:i, s:o}", "key", key.text, "neighbours_in_all", (int)n_all, "neighbours", rows);
    for (uint32_t i = page * PAGE; status == MN_OK && i < n; i++) {
        mn_key other;
        status = mn_graph_key(graph, all[i].key, &other, err);
        if (status == MN_OK)
            json_array_append_new(rows, json_pack("{s:s, s:i}", "key", other.text, "shared", (int)all[i].n_shared));
        mn_key_release(&other);
    }
    free(all);
    mn_key_release(&key);
    return status;
}

static mn_status add_chunk(mn_graph *graph, uint32_t number, json_t *rows, mn_error *err) {
    mn_passage passage;
    uint32_t before, after;
    MN_TRY(mn_graph_beside(graph, number, &before, &after, err));
    MN_TRY(mn_graph_passage(graph, number, &passage, err));
    json_t *row = read_passage_json(&passage, 0.0);
    json_object_del(row, "score");
    json_object_set_new(row, "chunk", json_integer(number));
    if (before != UINT32_MAX) json_object_set_new(row, "previous", json_integer(before));
    if (after != UINT32_MAX) json_object_set_new(row, "next", json_integer(after));
    json_array_append_new(rows, row);
    mn_passage_release(&passage);
    return MN_OK;
}

static mn_status read_chunks(mcp_context *context, const json_t *arguments, json_t **result, mn_error *err) {
    mn_graph *graph = context->graph;
    const json_t *ids = json_object_get(arguments, "ids");
    size_t n = json_array_size(ids);
    if (n == 0 || n > MAX_CHUNKS)
        return mn_fail(err, MN_ERR_ARGUMENT, "This tool wants \"ids\", numbers of 1 to %d chunks.", MAX_CHUNKS);
    json_t *rows = json_array();
    *result = json_pack("{s:o}", "chunks", rows);
    for (size_t i = 0; i < n; i++) {
        const json_t *id = json_array_get(ids, i);
        json_int_t number = json_is_integer(id) ? json_integer_value(id) : -1;
        if (number < 0 || number >= (json_int_t)mn_graph_n_passages(graph))
            return mn_fail(err, MN_ERR_ARGUMENT, "There is no chunk %lld; the last is %lld.", (long long)number,
                           (long long)mn_graph_n_passages(graph) - 1);
        MN_TRY(add_chunk(graph, (uint32_t)number, rows, err));
    }
    return MN_OK;
}

const mcp_tool mcp_graph_tools[] = {
    {"graph_search", "Finds the passages that answer a question, over several texts at once, with their places.",
     "{" MCP_TEXT("query", "a question or words") ", " MCP_NUMBER("k", "results, 10 by default") "}", "[\"query\"]",
     search},
    {"graph_search_nodes", "Finds the keys (names, terms) to begin at for a question.",
     "{" MCP_TEXT("query", "a question") ", " MCP_NUMBER("limit", "keys, 50 by default") "}", "[\"query\"]",
     search_nodes},
    {"graph_read_facts", "Lists facts of the texts that mention a key, each with the number of its chunk; 50 a page.",
     "{" MCP_TEXT("key", "the key as it is written") ", " MCP_NUMBER("page", "from 0") "}", "[\"key\"]", read_facts},
    {"graph_neighbors", "Lists keys that share facts with a key, most shared first; 50 a page.",
     "{" MCP_TEXT("key", "the key as it is written") ", " MCP_NUMBER("page", "from 0") "}", "[\"key\"]", neighbours},
    {"graph_read_chunk", "Reads chunks of the texts in full, with the numbers of the chunks before and behind.",
     "{\"ids\": {\"type\": \"array\", \"items\": {\"type\": \"integer\"}, \"description\": \"numbers of chunks\"}}",
     "[\"ids\"]", read_chunks},
    {NULL, NULL, NULL, NULL, NULL},
};
#endif
