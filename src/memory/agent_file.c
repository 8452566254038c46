/* Writing agent files. */
#include "memory/agent_file_inside.h"

#include "memory/archival.h"
#include "memory/core.h"
#include "memory/prompts.h"
#include "memory/recall.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- secrets ---- */

/* Fields whose value opens something, or holds what does. */
static bool is_secret(const char *key) {
    static const char *const names[] = {"token",  "secret",  "password",   "api_key",
                                        "apikey", "headers", "access_key", "authorization"};
    if (strcasestr(key, "tokens") || strcasestr(key, "token_limit")) return false; /* of text */
    if (!strcmp(key, "env") || strcasestr(key, "environment_variables")) return true;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcasestr(key, names[i])) return true;
    return false;
}

/* Empties all texts in a value but those that name its entries, as Letta does. */
static json_t *emptied(json_t *value) {
    const char *key;
    json_t *child;
    size_t i;
    if (json_is_string(value)) return json_string("");
    json_array_foreach(value, i, child) { json_array_set_new(value, i, emptied(child)); }
    json_object_foreach(value, key, child) {
        if (strcmp(key, "key") != 0 && strcmp(key, "id") != 0) json_object_set_new(value, key, emptied(child));
    }
    return json_incref(value);
}

void mn_af_strip_secrets(json_t *value) {
    const char *key;
    json_t *child;
    size_t i;
    json_array_foreach(value, i, child) { mn_af_strip_secrets(child); }
    json_object_foreach(value, key, child) {
        if (is_secret(key))
            json_object_set_new(value, key, emptied(child));
        else
            mn_af_strip_secrets(child);
    }
}

/* ---- parts ---- */

/* The one text that a statement gives, as JSON; an empty object where there is none. */
static mn_status kept_json(mn_store *store, const char *sql, int64_t id, json_t **out, mn_error *err) {
    mn_rows *rows;
    *out = NULL;
    MN_TRY(mn_store_query(store, &rows, err, sql, "i", id));
    mn_status status = mn_rows_next(rows, err);
    if (status == MN_OK && mn_rows_has(rows)) *out = json_loads(mn_rows_text(rows, 0, NULL), 0, NULL);
    mn_rows_done(rows);
    if (!*out) *out = json_object();
    return status;
}

static void set_default(json_t *object, const char *key, json_t *value) {
    if (json_object_get(object, key))
        json_decref(value);
    else
        json_object_set_new(object, key, value);
}

static void set_numbered(json_t *object, const char *key, const char *kind, size_t number) {
    char id[40];
    snprintf(id, sizeof id, "%s-%zu", kind, number);
    json_object_set_new(object, key, json_string(id));
}

static json_t *time_json(int64_t seconds) {
    char text[40];
    time_t t = (time_t)seconds;
    struct tm date;
    if (seconds < 0 || !gmtime_r(&t, &date)) return json_null();
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S+00:00", &date);
    return json_string(text);
}

static void add_version(void *arg, int64_t version, const char *value, const char *actor, int64_t at) {
    json_array_append_new(arg, json_pack("{s:I, s:s, s:s, s:I}", "version", (json_int_t)version, "value", value,
                                         "actor", actor, "at", (json_int_t)at));
}

static mn_status write_blocks(mn_store *store, int64_t agent, json_t *file, json_t *object, mn_error *err) {
    mn_block_list blocks;
    json_t *list = json_array(), *ids = json_array();
    json_object_set_new(file, "blocks", list);
    json_object_set_new(object, "block_ids", ids);
    MN_TRY(mn_core_list(store, agent, &blocks, err));
    mn_status status = MN_OK;
    for (size_t i = 0; i < blocks.n && status == MN_OK; i++) {
        const mn_block *b = &blocks.items[i];
        json_t *block, *history = json_array();
        status = kept_json(store, "SELECT extra FROM af_block WHERE block = $1", b->id, &block, err);
        set_numbered(block, "id", "block", i);
        json_object_set_new(block, "label", json_string(b->label));
        json_object_set_new(block, "value", json_string(b->value));
        json_object_set_new(block, "limit", json_integer(b->limit_chars));
        if (*b->description || !json_object_get(block, "description"))
            json_object_set_new(block, "description", json_string(b->description));
        json_object_set_new(block, "read_only", json_boolean(b->read_only));
        if (status == MN_OK) status = mn_core_history(store, b->id, add_version, history, err);
        json_object_set_new(block, "mnemo_history", history);
        json_array_append(ids, json_object_get(block, "id"));
        json_array_append_new(list, block);
    }
    mn_block_list_release(&blocks);
    return status;
}

/* A message as Letta writes it; what Letta has no field for stands under "mnemo". */
static json_t *message_json(const mn_message *m) {
    json_t *object =
        json_pack("{s:s, s:s, s:[{s:s, s:s%}]}", "type", "message", "role",
                  !strcmp(m->role, "event") ? "user" : m->role, "content", "type", "text", "text", m->text, m->bytes);
    json_t *calls = *m->calls ? json_loads(m->calls, 0, NULL) : NULL;
    if (!object) return NULL;
    json_object_set_new(object, "created_at", time_json(m->time));
    if (*m->name) json_object_set_new(object, "name", json_string(m->name));
    if (*m->call_id) json_object_set_new(object, "tool_call_id", json_string(m->call_id));
    if (calls) json_object_set_new(object, "tool_calls", calls);
    return object;
}

typedef struct writing {
    mn_store *store;
    json_t *messages, *in_context;
    mn_error *err;
    mn_status status;
} writing;

static mn_status write_message(writing *w, mn_rows *rows) {
    mn_message_copy copy;
    MN_TRY(mn_message_take(rows, &copy, w->err));
    const mn_message *m = &copy.at;
    size_t number = json_array_size(w->messages);
    const char *extra = mn_rows_text(rows, 11, NULL);
    json_t *object = *extra ? json_loads(extra, 0, NULL) : message_json(m);
    mn_status status = MN_OK;
    if (!object) status = mn_fail(w->err, MN_ERR_FORMAT, "Message %lld cannot be written as JSON.", (long long)m->id);
    if (object) {
        set_numbered(object, "id", "message", number);
        json_object_set_new(object, "mnemo",
                            json_pack("{s:s, s:s, s:s, s:s, s:I, s:b}", "uid", m->uid, "role", m->role, "name", m->name,
                                      "session", m->session, "time", (json_int_t)m->time, "goes_on", m->goes_on));
        if (mn_rows_int(rows, 10)) json_array_append(w->in_context, json_object_get(object, "id"));
        json_array_append_new(w->messages, object);
    }
    mn_message_release(&copy);
    return status;
}

static mn_status write_messages(mn_store *store, int64_t agent, json_t *object, mn_error *err) {
    mn_rows *rows;
    writing w = {.store = store, .messages = json_array(), .in_context = json_array(), .err = err};
    json_object_set_new(object, "messages", w.messages);
    json_object_set_new(object, "in_context_message_ids", w.in_context);
    MN_TRY(mn_store_query(store, &rows, err,
                          "SELECT " MN_MESSAGE_COLUMNS
                          ", CASE WHEN q.message IS NULL THEN coalesce(f.in_context, 0) ELSE 1 END, f.extra "
                          "FROM message m LEFT JOIN queue q ON q.agent = m.agent AND q.message = m.id "
                          "LEFT JOIN af_message f ON f.message = m.id WHERE m.agent = $1 ORDER BY m.id",
                          "i", agent));
    mn_status status;
    while ((status = mn_rows_next(rows, err)) == MN_OK && mn_rows_has(rows))
        if ((status = write_message(&w, rows)) != MN_OK) break;
    mn_rows_done(rows);
    return status;
}

static mn_status write_archival(mn_store *store, const char *archive, json_t *ours, mn_error *err) {
    mn_rows *rows;
    json_t *list = json_array();
    json_object_set_new(ours, "archival", list);
    MN_TRY(mn_store_query(store, &rows, err,
                          "SELECT t.text, t.source, t.time, g.tag, t.id FROM archival t LEFT JOIN archival_tag g "
                          "ON g.archival = t.id WHERE t.archive = $1 ORDER BY t.id, g.tag",
                          "t", archive));
    mn_status status;
    int64_t last = -1;
    json_t *tags = NULL;
    while ((status = mn_rows_next(rows, err)) == MN_OK && mn_rows_has(rows)) {
        if (mn_rows_int(rows, 4) != last) {
            tags = json_array();
            json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:o}", "text", mn_rows_text(rows, 0, NULL), "source",
                                                  mn_rows_text(rows, 1, NULL), "time", (json_int_t)mn_rows_int(rows, 2),
                                                  "tags", tags));
        }
        last = mn_rows_int(rows, 4);
        if (!mn_rows_is_null(rows, 3)) json_array_append_new(tags, json_string(mn_rows_text(rows, 3, NULL)));
    }
    mn_rows_done(rows);
    return status;
}

static mn_status write_summary(mn_store *store, int64_t agent, json_t *ours, mn_error *err) {
    mn_rows *rows;
    MN_TRY(mn_store_query(store, &rows, err,
                          "SELECT text, model, at FROM summary WHERE agent = $1 ORDER BY id DESC LIMIT 1", "i", agent));
    mn_status status = mn_rows_next(rows, err);
    if (status == MN_OK && mn_rows_has(rows))
        json_object_set_new(ours, "summary",
                            json_pack("{s:s, s:s, s:I}", "text", mn_rows_text(rows, 0, NULL), "model",
                                      mn_rows_text(rows, 1, NULL), "at", (json_int_t)mn_rows_int(rows, 2)));
    mn_rows_done(rows);
    return status;
}

/* ---- the file ---- */

static void complete(json_t *file, json_t *object, const mn_agent_row *row) {
    static const char *const lists[] = {"groups", "files", "sources", "tools", "mcp_servers"};
    json_object_set_new(object, "id", json_string("agent-0"));
    json_object_set_new(object, "name", json_string(row->name));
    /* Others cannot know what an agent of ours is told when it has no text of its own. */
    bool is_ours = !json_object_get(object, "agent_type");
    json_object_set_new(object, "system", json_string(*row->system || !is_ours ? row->system : mn_prompt_agent));
    set_default(object, "agent_type", json_string("memgpt_agent"));
    set_default(object, "tool_ids", json_array());
    set_default(object, "tags", json_array());
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) set_default(file, lists[i], json_array());
    set_default(file, "metadata", json_object());
    set_default(file, "created_at", time_json(0));
}

static mn_status make_file(mn_store *store, const mn_agent_row *row, json_t **out, mn_error *err) {
    json_t *extra;
    MN_TRY(kept_json(store, "SELECT extra FROM af_agent WHERE agent = $1", row->id, &extra, err));
    json_t *file = json_deep_copy(json_object_get(extra, "file")),
           *object = json_deep_copy(json_object_get(extra, "agent"));
    json_decref(extra);
    if (!file) file = json_object();
    if (!object) object = json_object();
    json_t *ours = json_object(), *agents = json_array();
    complete(file, object, row);
    mn_status status = write_blocks(store, row->id, file, object, err);
    if (status == MN_OK) status = write_messages(store, row->id, object, err);
    if (status == MN_OK) status = write_archival(store, row->archive, ours, err);
    if (status == MN_OK) status = write_summary(store, row->id, ours, err);
    json_array_append_new(agents, object);
    json_object_set_new(file, "agents", agents);
    json_object_set_new(file, "mnemo", ours);
    mn_af_strip_secrets(file);
    *out = file;
    return status;
}

mn_status mn_agent_file_write(mn_store *store, const char *name, FILE *out, mn_error *err) {
    mn_agent_row row;
    bool found;
    json_t *file = NULL;
    MN_TRY(mn_memory_migrate(store, err));
    MN_TRY(mn_agent_find(store, name, &row, &found, err));
    if (!found) return mn_fail(err, MN_ERR_ARGUMENT, "There is no agent \"%.100s\" in the store.", name);
    mn_status status = mn_store_begin(store, err); /* one view of it all */
    if (status == MN_OK) status = mn_store_end(store, make_file(store, &row, &file, err), err);
    if (status == MN_OK &&
        (json_dumpf(file, out, JSON_INDENT(1) | JSON_SORT_KEYS) || putc('\n', out) == EOF || fflush(out)))
        status = mn_fail(err, MN_ERR_IO, "The agent's file cannot be written whole; is the disk full?");
    json_decref(file);
    mn_agent_row_release(&row);
    return status;
}
