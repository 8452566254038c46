/* Reading agent files: another program's, or ours. Everything in them is hostile. */
#include "memory/agent_file_inside.h"

#include "base/strbuf.h"
#include "graph/turns.h"
#include "memory/archival.h"
#include "memory/core.h"
#include "memory/recall.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_AGENTS = 64, MAX_TAGS = 64, AGENT_NAME_BYTES = 200 };

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static char *dumped(const json_t *value) { return json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS); }

static mn_status no_memory(mn_error *err) { return mn_fail(err, MN_ERR_MEMORY, "There is no memory for the file."); }

/* Without the keys that have a place of their own. */
static json_t *without(const json_t *object, const char *const *keys) {
    json_t *copy = json_deep_copy(object);
    for (; copy && *keys; keys++) json_object_del(copy, *keys);
    return copy;
}

static const json_t *by_id(const json_t *list, const char *id) {
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item) {
        if (!strcmp(text_of(item, "id"), id)) return item;
    }
    return NULL;
}

/* ---- blocks ---- */

static mn_status keep(mn_store *store, const char *sql, int64_t id, const json_t *extra, mn_error *err) {
    char *text = dumped(extra);
    mn_status status = text ? mn_store_run(store, err, sql, "it", id, text) : no_memory(err);
    free(text);
    return status;
}

/* Versions beyond the first, which mn_core_add makes of the value. */
static mn_status read_history(mn_store *store, int64_t block, const json_t *history, mn_error *err) {
    size_t i;
    json_t *item;
    int64_t last = 1;
    if (!json_array_size(history)) return MN_OK;
    MN_TRY(mn_store_run(store, err, "DELETE FROM block_version WHERE block = $1", "i", block));
    json_array_foreach(history, i, item) {
        int64_t version = json_integer_value(json_object_get(item, "version"));
        MN_TRY(mn_store_run(store, err,
                            "INSERT INTO block_version (block, version, value, actor, at) VALUES ($1, $2, $3, $4, $5) "
                            "ON CONFLICT DO NOTHING",
                            "iitti", block, version, text_of(item, "value"), text_of(item, "actor"),
                            (int64_t)json_integer_value(json_object_get(item, "at"))));
        if (version > last) last = version;
    }
    return mn_store_run(store, err, "UPDATE block SET version = $1 WHERE id = $2", "ii", last, block);
}

static mn_status read_block(mn_store *store, int64_t agent, const json_t *object, mn_error *err) {
    static const char *const own[] = {"id", "label", "value", "limit", "read_only", "mnemo_history", NULL};
    mn_block block = {.label = (char *)text_of(object, "label"),
                      .value = (char *)text_of(object, "value"),
                      .description = (char *)text_of(object, "description"),
                      .limit_chars = json_integer_value(json_object_get(object, "limit")),
                      .read_only = json_is_true(json_object_get(object, "read_only"))};
    int64_t chars = mn_text_chars(block.value);
    if (!*block.label) return mn_fail(err, MN_ERR_FORMAT, "A block of the file has no label.");
    if (block.limit_chars <= 0) block.limit_chars = MN_BLOCK_CHARS;
    if (block.limit_chars < chars) block.limit_chars = chars; /* it happens: what is there stays whole */
    MN_TRY(mn_core_add(store, agent, &block, err));
    json_t *extra = without(object, own);
    mn_status status = keep(store, "INSERT INTO af_block (block, extra) VALUES ($1, $2)", block.id, extra, err);
    json_decref(extra);
    return status == MN_OK ? read_history(store, block.id, json_object_get(object, "mnemo_history"), err) : status;
}

static mn_status read_blocks(mn_store *store, int64_t agent, const json_t *file, const json_t *object,
                             mn_agent_file_figures *figures, mn_error *err) {
    const json_t *ids = json_object_get(object, "block_ids"), *list = json_object_get(file, "blocks");
    size_t i;
    json_t *id;
    json_array_foreach(ids, i, id) {
        const json_t *block = json_is_string(id) ? by_id(list, json_string_value(id)) : NULL;
        if (!block) return mn_fail(err, MN_ERR_FORMAT, "The file has no block of the id that an agent names.");
        MN_TRY(read_block(store, agent, block, err));
        figures->n_blocks++;
    }
    return MN_OK;
}

/* ---- messages ---- */

/* The texts of a message's content: a text, or a list of parts. */
static void put_content(mn_strbuf *out, const json_t *content) {
    size_t i;
    json_t *part;
    if (json_is_string(content)) mn_strbuf_puts(out, json_string_value(content));
    json_array_foreach(content, i, part) {
        const char *text = text_of(part, "text");
        if (!strcmp(text_of(part, "type"), "text") && *text)
            mn_strbuf_printf(out, "%s%s", out->bytes ? "\n" : "", text);
    }
}

/* Results that stand in tool_returns alone. */
static void put_returns(mn_strbuf *out, const json_t *returns) {
    size_t i;
    json_t *item;
    if (out->bytes) return;
    json_array_foreach(returns, i, item) { mn_strbuf_puts(out, text_of(item, "func_response")); }
}

static const char *role_of(const json_t *object, const json_t *ours) {
    static const char *const roles[] = {"user", "assistant", "tool", "system", "event"};
    const char *role = *text_of(ours, "role") ? text_of(ours, "role") : text_of(object, "role");
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (!strcmp(roles[i], role)) return roles[i];
    return "event"; /* approvals and summaries of other programs */
}

static int64_t time_of(const json_t *object, const json_t *ours) {
    const json_t *time = json_object_get(ours, "time");
    const char *text = text_of(object, "created_at");
    if (json_is_integer(time)) return json_integer_value(time);
    return *text ? mn_turn_time(text) : MN_RECALL_NO_TIME;
}

static bool holds(const json_t *list, const char *text) {
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item) {
        if (json_is_string(item) && !strcmp(json_string_value(item), text)) return true;
    }
    return false;
}

/* Calls as OpenAI writes them; what is none is left out. */
static char *calls_of(const json_t *object) {
    const json_t *calls = json_object_get(object, "tool_calls");
    return json_array_size(calls) ? dumped(calls) : NULL;
}

/* Ours come back by uid; those of others are known by agent and id. */
static mn_status uid_of(mn_store *store, const char *name, const json_t *object, const json_t *ours,
                        char out[MN_ID_BYTES], mn_error *err) {
    int64_t n = 0;
    const char *uid = text_of(ours, "uid"), *id = text_of(object, "id");
    if (*uid) MN_TRY(mn_store_number(store, 0, &n, err, "SELECT count(*) FROM message WHERE uid = $1", "t", uid));
    if (*uid && strlen(uid) < MN_ID_BYTES && !n)
        snprintf(out, MN_ID_BYTES, "%s", uid);
    else
        mn_store_id(out, name, strlen(name), "af", (size_t)2, *uid ? uid : id, strlen(*uid ? uid : id), NULL);
    return MN_OK;
}

static mn_status keep_original(mn_store *store, int64_t id, const json_t *object, bool in_context, mn_error *err) {
    static const char *const own[] = {"id", "mnemo", NULL};
    json_t *extra = without(object, own);
    mn_af_strip_secrets(extra);
    char *text = extra ? dumped(extra) : NULL;
    json_decref(extra);
    mn_status status =
        text ? mn_store_run(store, err, "INSERT INTO af_message (message, in_context, extra) VALUES ($1, $2, $3)",
                            "iit", id, (int64_t)in_context, text)
             : no_memory(err);
    free(text);
    return status;
}

static mn_status read_message(mn_store *store, int64_t agent, const char *name, const json_t *object, bool in_context,
                              mn_agent_file_figures *figures, mn_error *err) {
    const json_t *ours = json_object_get(object, "mnemo");
    mn_strbuf text = MN_STRBUF_INIT;
    char uid[MN_ID_BYTES], *calls = calls_of(object);
    int64_t id = 0;
    put_content(&text, json_object_get(object, "content"));
    put_returns(&text, json_object_get(object, "tool_returns"));
    const char *speaker = ours ? text_of(ours, "name") : text_of(object, "name");
    const mn_message m = {.uid = uid,
                          .role = role_of(object, ours),
                          .name = speaker,
                          .session = text_of(ours, "session"),
                          .time = time_of(object, ours),
                          .text = text.data,
                          .bytes = text.bytes,
                          .calls = calls,
                          .call_id = text_of(object, "tool_call_id"),
                          .goes_on = json_is_true(json_object_get(ours, "goes_on"))};
    mn_status status = text.failed ? no_memory(err) : uid_of(store, name, object, ours, uid, err);
    if (status == MN_OK) status = mn_recall_add(store, agent, &m, &id, err);
    bool is_system = !strcmp(m.role, "system");
    /* Our own messages are written anew from their columns. */
    if (status == MN_OK && id && (!ours || is_system))
        status = keep_original(store, id, object, is_system && in_context, err);
    if (status == MN_OK && id && in_context && !is_system)
        status = mn_store_run(store, err, "INSERT INTO queue (agent, message) VALUES ($1, $2)", "ii", agent, id);
    if (status == MN_OK && id) figures->n_messages++;
    mn_strbuf_release(&text);
    free(calls);
    return status;
}

static mn_status read_messages(mn_store *store, int64_t agent, const char *name, const json_t *object,
                               mn_agent_file_figures *figures, mn_error *err) {
    const json_t *in_context = json_object_get(object, "in_context_message_ids");
    size_t i;
    json_t *message;
    json_array_foreach(json_object_get(object, "messages"), i, message) {
        if (!json_is_object(message)) return mn_fail(err, MN_ERR_FORMAT, "Message %zu of the file is no object.", i);
        MN_TRY(read_message(store, agent, name, message, holds(in_context, text_of(message, "id")), figures, err));
    }
    return MN_OK;
}

/* ---- ours ---- */

static mn_status read_archival(mn_store *store, const char *archive, const json_t *list, mn_agent_file_figures *figures,
                               mn_error *err) {
    size_t i, k;
    json_t *item, *tag;
    json_array_foreach(list, i, item) {
        const char *tags[MAX_TAGS], *text = text_of(item, "text");
        size_t n = 0;
        int64_t id;
        json_array_foreach(json_object_get(item, "tags"), k, tag) {
            if (n < MAX_TAGS && json_is_string(tag)) tags[n++] = json_string_value(tag);
        }
        if (!*text) continue;
        const mn_archival_text put = {.text = text,
                                      .bytes = strlen(text),
                                      .source = text_of(item, "source"),
                                      .time = json_integer_value(json_object_get(item, "time")),
                                      .tags = tags,
                                      .n_tags = n};
        MN_TRY(mn_archival_add(store, archive, &put, &id, err));
        figures->n_archival++;
    }
    return MN_OK;
}

static mn_status read_ours(mn_store *store, int64_t agent, const char *name, const json_t *ours,
                           mn_agent_file_figures *figures, mn_error *err) {
    const json_t *summary = json_object_get(ours, "summary");
    MN_TRY(read_archival(store, name, json_object_get(ours, "archival"), figures, err));
    if (!json_is_object(summary)) return MN_OK;
    return mn_store_run(store, err,
                        "INSERT INTO summary (agent, parent, from_message, to_message, text, model, at) "
                        "VALUES ($1, 0, 0, 0, $2, $3, $4)",
                        "itti", agent, text_of(summary, "text"), text_of(summary, "model"),
                        (int64_t)json_integer_value(json_object_get(summary, "at")));
}

/* ---- agents ---- */

/* What has no place here: the file without agents and blocks, the agent without messages. */
static mn_status keep_rest(mn_store *store, int64_t agent, const char *hash, const json_t *file, const json_t *object,
                           mn_error *err) {
    static const char *const of_file[] = {"agents", "blocks", "mnemo", NULL};
    static const char *const of_agent[] = {"id",        "name", "system", "messages", "in_context_message_ids",
                                           "block_ids", NULL};
    json_t *extra = json_pack("{s:o, s:o}", "file", without(file, of_file), "agent", without(object, of_agent));
    mn_af_strip_secrets(extra);
    char *text = extra ? dumped(extra) : NULL;
    json_decref(extra);
    mn_status status = text ? mn_store_run(store, err, "INSERT INTO af_agent (agent, hash, extra) VALUES ($1, $2, $3)",
                                           "itt", agent, hash, text)
                            : no_memory(err);
    free(text);
    return status;
}

/* Whether the agent came from this very file before; an agent of this name from elsewhere is an error. */
static mn_status is_there(mn_store *store, const char *name, const char *hash, bool *there, mn_error *err) {
    mn_agent_row row;
    bool found;
    int64_t n = 0;
    *there = false;
    MN_TRY(mn_agent_find(store, name, &row, &found, err));
    if (!found) return MN_OK;
    mn_status status = mn_store_number(
        store, 0, &n, err, "SELECT count(*) FROM af_agent WHERE agent = $1 AND hash = $2", "it", row.id, hash);
    mn_agent_row_release(&row);
    MN_TRY(status);
    *there = n > 0;
    return n ? MN_OK
             : mn_fail(err, MN_ERR_ARGUMENT,
                       "The store has an agent \"%.100s\" already, which is not from this file; give the new one "
                       "another name.",
                       name);
}

static mn_status read_agent(mn_store *store, const json_t *file, const json_t *object, const char *name,
                            const char *hash, bool is_first, mn_agent_file_figures *figures, mn_error *err) {
    int64_t agent;
    bool there;
    const char *system = text_of(object, "system");
    MN_TRY(is_there(store, name, hash, &there, err));
    if (there) return MN_OK;
    MN_TRY(mn_agent_add(store, name, system, &agent, err));
    MN_TRY(read_blocks(store, agent, file, object, figures, err));
    MN_TRY(read_messages(store, agent, name, object, figures, err));
    if (is_first) MN_TRY(read_ours(store, agent, name, json_object_get(file, "mnemo"), figures, err));
    figures->n_agents++;
    return keep_rest(store, agent, hash, file, object, err);
}

/* The name that agent number n takes in the store: its own, with a number where one before it has that. */
static mn_status name_agent(char (*names)[AGENT_NAME_BYTES], size_t n, const char *own, mn_agent_file_figures *figures,
                            mn_error *err) {
    int times = 1, bytes = snprintf(names[n], AGENT_NAME_BYTES, "%s", own);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(names[i], names[n])) continue;
        bytes = snprintf(names[n], AGENT_NAME_BYTES, "%s (%d)", own, ++times);
        i = SIZE_MAX; /* may be the name of another */
    }
    figures->n_renamed += times > 1;
    return *own && bytes < AGENT_NAME_BYTES
               ? MN_OK
               : mn_fail(err, MN_ERR_FORMAT, "An agent of the file has no name of 1 to %d bytes.",
                         AGENT_NAME_BYTES - 1);
}

static mn_status read_agents(mn_store *store, const json_t *file, const char *name, const char *hash,
                             mn_agent_file_figures *figures, mn_error *err) {
    const json_t *agents = json_object_get(file, "agents");
    char names[MAX_AGENTS][AGENT_NAME_BYTES];
    size_t i;
    json_t *object;
    if (!json_array_size(agents) || json_array_size(agents) > MAX_AGENTS)
        return mn_fail(err, MN_ERR_FORMAT, "The file is no agent file: it has no list of 1 to %d agents.", MAX_AGENTS);
    json_array_foreach(agents, i, object) {
        MN_TRY(name_agent(names, i, i || !name ? text_of(object, "name") : name, figures, err));
        MN_TRY(read_agent(store, file, object, names[i], hash, i == 0, figures, err));
    }
    return MN_OK;
}

mn_status mn_agent_file_read(mn_store *store, const char *text, size_t bytes, const char *name,
                             mn_agent_file_figures *out, mn_error *err) {
    json_error_t error;
    char hash[MN_ID_BYTES];
    *out = (mn_agent_file_figures){0};
    json_t *file = json_loadb(text, bytes, JSON_DECODE_ANY, &error);
    if (json_is_string(file)) { /* some are written as a text of JSON */
        json_t *inner = json_loadb(json_string_value(file), json_string_length(file), 0, &error);
        json_decref(file);
        file = inner;
    }
    if (!json_is_object(file)) {
        json_decref(file);
        return mn_fail(err, MN_ERR_FORMAT, "The file is no agent file: line %d of it is no JSON (%.100s).", error.line,
                       error.text);
    }
    mn_store_id(hash, text, bytes, NULL);
    mn_status status = mn_memory_migrate(store, err);
    if (status == MN_OK) status = mn_store_begin(store, err);
    if (status == MN_OK) status = mn_store_end(store, read_agents(store, file, name, hash, out, err), err);
    if (status != MN_OK) *out = (mn_agent_file_figures){0};
    json_decref(file);
    return status;
}
