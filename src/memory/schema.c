/* The tables of memory, and agents. */
#include "memory/memory.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static const mn_migration steps[] = {
    {.sql = "CREATE TABLE agent (id {serial}, name TEXT UNIQUE, system TEXT, archive TEXT, n_messages BIGINT, "
            "  edited BIGINT, slept_to BIGINT, paused_to BIGINT, warned BIGINT, created BIGINT)"},
    /* Recall. uid is the message's place in the chain of hashes, or what an import knows it by. */
    {.sql = "CREATE TABLE message (id {serial}, uid TEXT UNIQUE, agent BIGINT, role TEXT, name TEXT, session TEXT, "
            "  time BIGINT, text TEXT, calls TEXT, call_id TEXT, goes_on BIGINT, hash TEXT);"
            "CREATE INDEX message_agent ON message (agent, id);"
            "CREATE INDEX message_time ON message (agent, time, id)",
     .text_table = "message",
     .text_column = "text"},
    /* The messages that the prompt shows, and what stands for those it no longer shows. */
    {.sql = "CREATE TABLE queue (agent BIGINT, message BIGINT, PRIMARY KEY (agent, message));"
            "CREATE TABLE summary (id {serial}, agent BIGINT, parent BIGINT, from_message BIGINT, to_message BIGINT, "
            "  text TEXT, model TEXT, at BIGINT);"
            "CREATE INDEX summary_agent ON summary (agent, id)"},
    /* Core memory. Blocks may be shared; every value a block had is kept. */
    {.sql = "CREATE TABLE block (id {serial}, label TEXT, description TEXT, value TEXT, limit_chars BIGINT, "
            "  read_only BIGINT, version BIGINT);"
            "CREATE TABLE agent_block (agent BIGINT, block BIGINT, PRIMARY KEY (agent, block));"
            "CREATE TABLE block_version (block BIGINT, version BIGINT, value TEXT, actor TEXT, at BIGINT, "
            "  PRIMARY KEY (block, version))"},
    {.sql = "CREATE TABLE archival (id {serial}, uid TEXT UNIQUE, archive TEXT, text TEXT, source TEXT, time BIGINT);"
            "CREATE INDEX archival_archive ON archival (archive, id);"
            "CREATE TABLE archival_tag (archival BIGINT, tag TEXT, PRIMARY KEY (archival, tag));"
            "CREATE INDEX archival_tag_tag ON archival_tag (tag, archival)",
     .text_table = "archival",
     .text_column = "text"},
    /* The journal: a row for each call of a model, and each run of consolidation. */
    {.sql = "CREATE TABLE step (id {serial}, agent BIGINT, message BIGINT, kind TEXT, prompt_tokens BIGINT, "
            "  completion_tokens BIGINT, outcome TEXT, at BIGINT);"
            "CREATE INDEX step_agent ON step (agent, id)"},
    /* What was said to the user and may not have been handed over yet. */
    {.sql = "CREATE TABLE outbox (id {serial}, agent BIGINT, message BIGINT, text TEXT)"},
    /* What an agent file (.af) said beyond what has a column here, to be written into the next one. */
    {.sql = "CREATE TABLE af_agent (agent BIGINT PRIMARY KEY, hash TEXT, extra TEXT);"
            "CREATE TABLE af_block (block BIGINT PRIMARY KEY, extra TEXT);"
            "CREATE TABLE af_message (message BIGINT PRIMARY KEY, in_context BIGINT, extra TEXT)"},
};

mn_status mn_memory_migrate(mn_store *store, mn_error *err) {
    return mn_store_migrate(store, "memory", steps, sizeof steps / sizeof *steps, err);
}

/* ---- agents ---- */

void mn_agent_row_release(mn_agent_row *row) {
    free(row->name);
    free(row->system);
    free(row->archive);
    *row = (mn_agent_row){0};
}

static mn_status take_agent(mn_rows *rows, mn_agent_row *out, mn_error *err) {
    *out = (mn_agent_row){.id = mn_rows_int(rows, 0),
                          .name = strdup(mn_rows_text(rows, 1, NULL)),
                          .system = strdup(mn_rows_text(rows, 2, NULL)),
                          .archive = strdup(mn_rows_text(rows, 3, NULL)),
                          .n_messages = mn_rows_int(rows, 4),
                          .edited = mn_rows_int(rows, 5),
                          .slept_to = mn_rows_int(rows, 6),
                          .paused_to = mn_rows_int(rows, 7),
                          .warned = mn_rows_int(rows, 8) != 0};
    if (out->name && out->system && out->archive) return MN_OK;
    mn_agent_row_release(out);
    return mn_fail(err, MN_ERR_MEMORY, "There is no memory for an agent's row.");
}

mn_status mn_agent_find(mn_store *store, const char *name, mn_agent_row *out, bool *found, mn_error *err) {
    mn_rows *rows;
    *found = false;
    *out = (mn_agent_row){0};
    MN_TRY(mn_store_query(store, &rows, err,
                          "SELECT id, name, system, archive, n_messages, edited, slept_to, paused_to, warned "
                          "FROM agent WHERE name = $1",
                          "t", name));
    mn_status status = mn_rows_next(rows, err);
    *found = status == MN_OK && mn_rows_has(rows);
    if (*found) status = take_agent(rows, out, err);
    mn_rows_done(rows);
    return status;
}

mn_status mn_agent_add(mn_store *store, const char *name, const char *system, int64_t *id, mn_error *err) {
    MN_TRY(mn_store_number(store, 0, id, err,
                           "INSERT INTO agent (name, system, archive, n_messages, edited, slept_to, paused_to, warned, "
                           "created) VALUES ($1, $2, $1, 0, 0, 0, 0, 0, $3) ON CONFLICT DO NOTHING RETURNING id",
                           "tti", name, system, mn_memory_now()));
    if (*id == 0)
        return mn_fail(err, MN_ERR_ARGUMENT, "The store %s has an agent \"%.100s\" already.", mn_store_name(store),
                       name);
    return MN_OK;
}

mn_status mn_agent_list(mn_store *store, void (*fn)(void *arg, const char *name), void *arg, mn_error *err) {
    mn_rows *rows;
    MN_TRY(mn_store_query(store, &rows, err, "SELECT name FROM agent ORDER BY id", ""));
    mn_status status;
    while ((status = mn_rows_next(rows, err)) == MN_OK && mn_rows_has(rows)) fn(arg, mn_rows_text(rows, 0, NULL));
    mn_rows_done(rows);
    return status;
}

/* ---- time ---- */

static int64_t set_now;

int64_t mn_memory_now(void) { return set_now ? set_now : (int64_t)time(NULL); }
void mn_memory_set_now(int64_t now) { set_now = now; }

const char *mn_memory_date_text(mn_memory_date buf, int64_t seconds) {
    time_t t = (time_t)seconds;
    struct tm date;
    buf[0] = '\0';
    if (seconds >= 0 && gmtime_r(&t, &date) && date.tm_year < 8100)
        strftime(buf, sizeof(mn_memory_date), "%Y-%m-%d %H:%M", &date);
    return buf;
}
