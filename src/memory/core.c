/* Core memory: blocks, their limits, versions and history. */
#include "memory/core.h"

#include <stdlib.h>
#include <string.h>

int64_t mn_text_chars(const char *text) {
    int64_t n = 0;
    for (const char *p = text; *p; p++) n += ((unsigned char)*p & 0xc0) != 0x80;
    return n;
}

/* ---- looking ---- */

static void release(mn_block *block) {
    free(block->label);
    free(block->description);
    free(block->value);
}

void mn_block_list_release(mn_block_list *list) {
    for (size_t i = 0; i < list->n; i++) release(&list->items[i]);
    free(list->items);
    *list = (mn_block_list){0};
}

mn_block *mn_block_find(const mn_block_list *list, const char *label) {
    for (size_t i = 0; i < list->n; i++)
        if (!strcmp(list->items[i].label, label)) return &list->items[i];
    return NULL;
}

static bool take(mn_block_list *list, mn_rows *rows) {
    mn_block *items = realloc(list->items, (list->n + 1) * sizeof *items);
    if (!items) return false;
    list->items = items;
    mn_block *b = &items[list->n++];
    *b = (mn_block){.id = mn_rows_int(rows, 0),
                    .label = strdup(mn_rows_text(rows, 1, NULL)),
                    .description = strdup(mn_rows_text(rows, 2, NULL)),
                    .value = strdup(mn_rows_text(rows, 3, NULL)),
                    .limit_chars = mn_rows_int(rows, 4),
                    .read_only = mn_rows_int(rows, 5) != 0,
                    .version = mn_rows_int(rows, 6)};
    return b->label && b->description && b->value;
}

mn_status mn_core_list(mn_store *store, int64_t agent, mn_block_list *out, mn_error *err) {
    mn_rows *rows;
    *out = (mn_block_list){0};
    MN_TRY(mn_store_query(store, &rows, err,
                          "SELECT b.id, b.label, b.description, b.value, b.limit_chars, b.read_only, b.version "
                          "FROM agent_block a JOIN block b ON b.id = a.block WHERE a.agent = $1 ORDER BY b.id",
                          "i", agent));
    mn_status status;
    while ((status = mn_rows_next(rows, err)) == MN_OK && mn_rows_has(rows))
        if (!take(out, rows)) {
            status = mn_fail(err, MN_ERR_MEMORY, "There is no memory for the blocks of an agent.");
            break;
        }
    mn_rows_done(rows);
    if (status != MN_OK) mn_block_list_release(out);
    return status;
}

mn_status mn_core_history(mn_store *store, int64_t block, mn_version_fn *fn, void *arg, mn_error *err) {
    mn_rows *rows;
    MN_TRY(mn_store_query(store, &rows, err,
                          "SELECT version, value, actor, at FROM block_version WHERE block = $1 ORDER BY version", "i",
                          block));
    mn_status status;
    while ((status = mn_rows_next(rows, err)) == MN_OK && mn_rows_has(rows))
        fn(arg, mn_rows_int(rows, 0), mn_rows_text(rows, 1, NULL), mn_rows_text(rows, 2, NULL), mn_rows_int(rows, 3));
    mn_rows_done(rows);
    return status;
}

/* ---- writing ---- */

static mn_status check_limit(const mn_block *block, const char *value, mn_error *err) {
    int64_t n = mn_text_chars(value);
    if (n <= block->limit_chars) return MN_OK;
    return mn_fail(err, MN_ERR_LIMIT,
                   "The block \"%.60s\" would have %lld characters, its limit is %lld; shorten it, or put something "
                   "into archival memory. Nothing was changed.",
                   block->label, (long long)n, (long long)block->limit_chars);
}

static mn_status keep_version(mn_store *store, const mn_block *block, int64_t version, const char *value,
                              const char *actor, mn_error *err) {
    return mn_store_run(store, err,
                        "INSERT INTO block_version (block, version, value, actor, at) VALUES ($1, $2, $3, $4, $5) "
                        "ON CONFLICT DO NOTHING",
                        "iitti", block->id, version, value, actor, mn_memory_now());
}

static mn_status give(mn_store *store, int64_t agent, int64_t block, mn_error *err) {
    return mn_store_run(store, err, "INSERT INTO agent_block (agent, block) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                        "ii", agent, block);
}

static mn_status add(mn_store *store, int64_t agent, mn_block *block, mn_error *err) {
    int64_t n;
    if (!block->limit_chars) block->limit_chars = MN_BLOCK_CHARS;
    MN_TRY(check_limit(block, block->value, err));
    MN_TRY(mn_store_number(store, 0, &n, err,
                           "SELECT count(*) FROM agent_block a JOIN block b ON b.id = a.block WHERE a.agent = $1 AND "
                           "b.label = $2",
                           "it", agent, block->label));
    if (n) return mn_fail(err, MN_ERR_ARGUMENT, "The agent has a block \"%.60s\" already.", block->label);
    block->version = 1;
    MN_TRY(mn_store_number(store, 0, &block->id, err,
                           "INSERT INTO block (label, description, value, limit_chars, read_only, version) "
                           "VALUES ($1, $2, $3, $4, $5, 1) RETURNING id",
                           "tttii", block->label, block->description ? block->description : "", block->value,
                           block->limit_chars, (int64_t)block->read_only));
    MN_TRY(keep_version(store, block, 1, block->value, "made", err));
    return give(store, agent, block->id, err);
}

mn_status mn_core_add(mn_store *store, int64_t agent, mn_block *block, mn_error *err) {
    bool own;
    MN_TRY(mn_store_join(store, &own, err));
    return mn_store_leave(store, own, add(store, agent, block, err), err);
}

mn_status mn_core_share(mn_store *store, int64_t agent, int64_t block, mn_error *err) {
    return give(store, agent, block, err);
}

static mn_status check_value(const mn_block *block, const char *value, mn_error *err) {
    if (block->read_only)
        return mn_fail(err, MN_ERR_ARGUMENT, "The block \"%.60s\" may only be read. Nothing was changed.",
                       block->label);
    return check_limit(block, value, err);
}

mn_status mn_block_rehearse(mn_block *block, const char *value, mn_error *err) {
    MN_TRY(check_value(block, value, err));
    char *copy = strdup(value);
    if (!copy) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for a block of %zu bytes.", strlen(value));
    free(block->value);
    block->value = copy;
    return MN_OK;
}

static mn_status set(mn_store *store, int64_t agent, const mn_block *block, const char *value, const char *actor,
                     mn_error *err) {
    int64_t version;
    MN_TRY(check_value(block, value, err));
    MN_TRY(mn_store_number(store, 0, &version, err,
                           "UPDATE block SET value = $1, version = version + 1 WHERE id = $2 AND version = $3 "
                           "RETURNING version",
                           "tii", value, block->id, block->version));
    if (!version)
        return mn_fail(err, MN_ERR_ARGUMENT,
                       "The block \"%.60s\" was changed by someone else meanwhile; look at it again.", block->label);
    MN_TRY(keep_version(store, block, version, value, actor, err));
    return mn_store_run(store, err, "UPDATE agent SET edited = $1 WHERE id = $2", "ii", mn_memory_now(), agent);
}

mn_status mn_core_set(mn_store *store, int64_t agent, mn_block *block, const char *value, const char *actor,
                      mn_error *err) {
    bool own;
    MN_TRY(mn_store_join(store, &own, err));
    MN_TRY(mn_store_leave(store, own, set(store, agent, block, value, actor, err), err));
    block->version++;
    return block->value == value ? MN_OK : mn_block_rehearse(block, value, err);
}

mn_status mn_core_undo(mn_store *store, int64_t agent, mn_block *block, mn_error *err) {
    mn_rows *rows;
    char *value = NULL;
    MN_TRY(mn_store_query(store, &rows, err,
                          "SELECT value FROM block_version WHERE block = $1 AND version < $2 ORDER BY version DESC "
                          "LIMIT 1",
                          "ii", block->id, block->version));
    mn_status status = mn_rows_next(rows, err);
    if (status == MN_OK && mn_rows_has(rows)) value = strdup(mn_rows_text(rows, 0, NULL));
    mn_rows_done(rows);
    MN_TRY(status);
    if (!value) return mn_fail(err, MN_ERR_ARGUMENT, "The block \"%.60s\" has no earlier value.", block->label);
    status = mn_core_set(store, agent, block, value, "undo", err);
    free(value);
    return status;
}
