/* The tools of mnemo mcp that remember: recall, archival and core memory of an agent, under MemGPT's names. */
#include "cli/mcp.h"

#ifdef MNEMO_HAVE_GRAPH
#include "memory/archival.h"
#include "memory/core.h"
#include "memory/import.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_RESULTS = 50, MAX_TAGS = 16 };

static mn_status need_agent(const mcp_context *c, mn_error *err) {
    if (c->agent) return MN_OK;
    return mn_fail(err, MN_ERR_ARGUMENT, "The store holds no memory of \"%.100s\" yet.", c->agent_name);
}

/* The agent, made where something is to be kept. */
static mn_status make_agent(mcp_context *c, mn_error *err) {
    return c->agent ? MN_OK : mn_agent_find_or_add(c->store, c->agent_name, &c->agent, err);
}

static mn_status put_message(mcp_context *c, const mn_recall_hit *hit, json_t *rows, mn_error *err) {
    mn_message_copy m;
    mn_memory_date date;
    bool found;
    MN_TRY(mn_recall_get(c->store, c->agent, hit->message, &m, &found, err));
    if (found)
        json_array_append_new(rows, json_pack("{s:I, s:s, s:s, s:s, s:f, s:s%}", "message", (json_int_t)m.at.id, "time",
                                              mn_memory_date_text(date, m.at.time), "role", m.at.role, "name",
                                              m.at.name, "score", hit->score, "text", m.at.text, m.at.bytes));
    mn_message_release(&m);
    return MN_OK;
}

static mn_status search_recall(mcp_context *c, const json_t *arguments, json_t **result, mn_error *err) {
    const char *query = mcp_text(arguments, "query");
    mn_recall_hit hits[MAX_RESULTS];
    uint32_t n;
    if (!query) return mcp_wants("query", err);
    MN_TRY(need_agent(c, err));
    if (!c->index) MN_TRY(mn_recall_index_open(c->store, c->agent, &c->index, err));
    MN_TRY(mn_recall_index_search(c->index, query, mcp_number(arguments, "limit", 1, MAX_RESULTS, 5), hits, &n, err));
    json_t *rows = json_array();
    *result = json_pack("{s:o}", "results", rows);
    for (uint32_t i = 0; i < n; i++) MN_TRY(put_message(c, &hits[i], rows, err));
    return MN_OK;
}

/* The archive that the agent's texts stand in; the caller frees it. */
static mn_status archive_of(const mcp_context *c, char **out, mn_error *err) {
    mn_agent_row row;
    bool found;
    MN_TRY(mn_agent_find(c->store, c->agent_name, &row, &found, err));
    *out = strdup(row.archive ? row.archive : "");
    mn_agent_row_release(&row);
    return *out ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "There is no memory for a name.");
}

static mn_status search_archival(mcp_context *c, const json_t *arguments, json_t **result, mn_error *err) {
    const char *query = mcp_text(arguments, "query");
    mn_archival_hit hits[MAX_RESULTS];
    uint32_t n = 0;
    char *archive;
    if (!query) return mcp_wants("query", err);
    MN_TRY(need_agent(c, err));
    MN_TRY(archive_of(c, &archive, err));
    const mn_archival_query asked = {.words = query, .limit = mcp_number(arguments, "top_k", 1, MAX_RESULTS, 10)};
    mn_status status = mn_archival_search(c->store, archive, &asked, hits, &n, NULL, err);
    json_t *rows = json_array();
    *result = json_pack("{s:o}", "results", rows);
    for (uint32_t i = 0; i < n; i++) {
        mn_memory_date date;
        json_array_append_new(rows, json_pack("{s:s, s:s, s:s, s:s}", "time", mn_memory_date_text(date, hits[i].time),
                                              "tags", hits[i].tags, "source", hits[i].source, "text", hits[i].text));
        mn_archival_hit_release(&hits[i]);
    }
    free(archive);
    return status;
}

static mn_status insert_archival(mcp_context *c, const json_t *arguments, json_t **result, mn_error *err) {
    const char *content = mcp_text(arguments, "content"), *tags[MAX_TAGS];
    const json_t *given = json_object_get(arguments, "tags");
    size_t n_tags = 0;
    int64_t id = 0;
    char *archive;
    if (!content || !*content) return mcp_wants("content", err);
    for (size_t i = 0; i < json_array_size(given) && n_tags < MAX_TAGS; i++)
        if (json_is_string(json_array_get(given, i))) tags[n_tags++] = json_string_value(json_array_get(given, i));
    MN_TRY(make_agent(c, err));
    MN_TRY(archive_of(c, &archive, err));
    const mn_archival_text text = {.text = content,
                                   .bytes = strlen(content),
                                   .source = "mcp",
                                   .time = mn_memory_now(),
                                   .tags = tags,
                                   .n_tags = n_tags};
    mn_status status = mn_archival_add(c->store, archive, &text, &id, err);
    free(archive);
    *result = json_pack("{s:s, s:I}", "status", "OK", "id", (json_int_t)id);
    return status;
}

static mn_status read_core(mcp_context *c, const json_t *arguments, json_t **result, mn_error *err) {
    mn_block_list blocks;
    (void)arguments;
    MN_TRY(need_agent(c, err));
    MN_TRY(mn_core_list(c->store, c->agent, &blocks, err));
    json_t *rows = json_array();
    *result = json_pack("{s:o}", "blocks", rows);
    for (size_t i = 0; i < blocks.n; i++)
        json_array_append_new(rows, json_pack("{s:s, s:s, s:s, s:I}", "label", blocks.items[i].label, "description",
                                              blocks.items[i].description, "value", blocks.items[i].value,
                                              "limit_chars", (json_int_t)blocks.items[i].limit_chars));
    mn_block_list_release(&blocks);
    return MN_OK;
}

static mn_status set_block(mcp_context *c, const char *label, const char *value, mn_error *err) {
    mn_block_list blocks;
    MN_TRY(mn_core_list(c->store, c->agent, &blocks, err));
    mn_block *block = mn_block_find(&blocks, label);
    mn_status status =
        block ? mn_core_set(c->store, c->agent, block, value, "mcp", err)
              : mn_fail(err, MN_ERR_ARGUMENT, "There is no block \"%.100s\"; core_memory_read lists them.", label);
    mn_block_list_release(&blocks);
    return status;
}

static mn_status write_core(mcp_context *c, const json_t *arguments, json_t **result, mn_error *err) {
    const char *label = mcp_text(arguments, "label"), *value = mcp_text(arguments, "new_memory");
    if (!label) return mcp_wants("label", err);
    if (!value) return mcp_wants("new_memory", err);
    MN_TRY(make_agent(c, err));
    MN_TRY(set_block(c, label, value, err));
    *result = json_pack("{s:s}", "status", "OK");
    return MN_OK;
}

const mcp_tool mcp_memory_tools[] = {
    {"conversation_search", "Finds messages of earlier conversations that answer a question, with their dates.",
     "{" MCP_TEXT("query", "a question or words") ", " MCP_NUMBER("limit", "messages, 5 by default") "}", "[\"query\"]",
     search_recall},
    {"archival_memory_search", "Finds texts that were put away, by their words.",
     "{" MCP_TEXT("query", "words") ", " MCP_NUMBER("top_k", "texts, 10 by default") "}", "[\"query\"]",
     search_archival},
    {"archival_memory_insert", "Puts a text away for later; the same text is kept once.",
     "{" MCP_TEXT("content", "the text") ", \"tags\": {\"type\": \"array\", \"items\": {\"type\": \"string\"}, "
                                         "\"description\": \"words to find it by\"}}",
     "[\"content\"]", insert_archival},
    {"core_memory_read", "Lists the blocks of core memory: what is always in sight.", "{}", "[]", read_core},
    {"memory_rethink", "Writes a block of core memory anew; its old values are kept.",
     "{" MCP_TEXT("label", "the block") ", " MCP_TEXT("new_memory", "its whole new text") "}",
     "[\"label\", \"new_memory\"]", write_core},
    {NULL, NULL, NULL, NULL, NULL},
};
#endif
