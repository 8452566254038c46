/* Recall memory: appending, looking up, searching by words, and the chain of hashes. */
#include "memory/recall.h"

#include "base/strbuf.h"

#include <stdlib.h>
#include <string.h>

enum { PAGE = 1024 };

static const char *or_empty(const char *text) { return text ? text : ""; }

/* ---- the chain ---- */

static void hash_of(char out[MN_ID_BYTES], const char *before, const mn_message *m) {
    const char *const parts[] = {m->role, or_empty(m->name), or_empty(m->session), or_empty(m->calls),
                                 or_empty(m->call_id)};
    mn_store_id(out, before, strlen(before), parts[0], strlen(parts[0]), parts[1], strlen(parts[1]), parts[2],
                strlen(parts[2]), parts[3], strlen(parts[3]), parts[4], strlen(parts[4]), &m->time, sizeof m->time,
                m->text, m->bytes, NULL);
}

static mn_status last_hash(mn_store *store, int64_t agent, char out[MN_ID_BYTES], mn_error *err) {
    mn_rows *rows;
    MN_TRY(mn_store_query(store, &rows, err, "SELECT hash FROM message WHERE agent = $1 ORDER BY id DESC LIMIT 1", "i",
                          agent));
    mn_status status = mn_rows_next(rows, err);
    snprintf(out, MN_ID_BYTES, "%s", status == MN_OK && mn_rows_has(rows) ? mn_rows_text(rows, 0, NULL) : "");
    mn_rows_done(rows);
    if (status == MN_OK && !*out) snprintf(out, MN_ID_BYTES, "%lld", (long long)agent);
    return status;
}

/* ---- appending ---- */

/* Writes a message behind the one whose hash is `hash`, which becomes its own; *id is 0 where its uid was there. */
static mn_status insert(mn_store *store, int64_t agent, char hash[MN_ID_BYTES], const mn_message *m, int64_t *id,
                        mn_error *err) {
    char own[MN_ID_BYTES];
    hash_of(own, hash, m);
    MN_TRY(mn_store_number(store, 0, id, err,
                           "INSERT INTO message (uid, agent, role, name, session, time, text, calls, call_id, goes_on, "
                           "hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING "
                           "RETURNING id",
                           "titttisttit", m->uid ? m->uid : own, agent, m->role, or_empty(m->name),
                           or_empty(m->session), m->time, m->text, m->bytes, or_empty(m->calls), or_empty(m->call_id),
                           (int64_t)m->goes_on, own));
    if (*id) memcpy(hash, own, sizeof own);
    return MN_OK;
}

static mn_status no_agent(int64_t agent, mn_error *err) {
    return mn_fail(err, MN_ERR_ARGUMENT, "There is no agent %lld in the store.", (long long)agent);
}

/* Counts the message first: that row is the lock which keeps two writers of one agent in turn. */
static mn_status add(mn_store *store, int64_t agent, int64_t expected, const mn_message *m, int64_t *id,
                     mn_error *err) {
    int64_t n;
    char hash[MN_ID_BYTES];
    *id = 0;
    MN_TRY(mn_store_number(store, -1, &n, err,
                           "UPDATE agent SET n_messages = n_messages + 1 WHERE id = $1 RETURNING n_messages", "i",
                           agent));
    if (n < 0) return no_agent(agent, err);
    if (expected >= 0 && n != expected + 1)
        return mn_fail(err, MN_ERR_IO,
                       "Another program spoke with this agent meanwhile (%lld messages, not %lld); open it again.",
                       (long long)n - 1, (long long)expected);
    MN_TRY(last_hash(store, agent, hash, err));
    MN_TRY(insert(store, agent, hash, m, id, err));
    if (*id) return MN_OK;
    return mn_store_run(store, err, "UPDATE agent SET n_messages = n_messages - 1 WHERE id = $1", "i", agent);
}

static mn_status add_whole(mn_store *store, int64_t agent, int64_t expected, const mn_message *m, int64_t *id,
                           mn_error *err) {
    bool own;
    MN_TRY(mn_store_join(store, &own, err));
    return mn_store_leave(store, own, add(store, agent, expected, m, id, err), err);
}

mn_status mn_recall_add(mn_store *store, int64_t agent, const mn_message *m, int64_t *id, mn_error *err) {
    return add_whole(store, agent, -1, m, id, err);
}

mn_status mn_recall_add_after(mn_store *store, int64_t agent, int64_t expected, const mn_message *m, int64_t *id,
                              mn_error *err) {
    return add_whole(store, agent, expected, m, id, err);
}

mn_status mn_recall_batch_begin(mn_recall_batch *b, mn_store *store, int64_t agent, mn_error *err) {
    int64_t n;
    *b = (mn_recall_batch){.store = store, .agent = agent};
    MN_TRY(mn_store_number(store, -1, &n, err,
                           "UPDATE agent SET n_messages = n_messages WHERE id = $1 RETURNING n_messages", "i", agent));
    return n < 0 ? no_agent(agent, err) : last_hash(store, agent, b->hash, err);
}

mn_status mn_recall_batch_add(mn_recall_batch *b, const mn_message *m, int64_t *id, mn_error *err) {
    MN_TRY(insert(b->store, b->agent, b->hash, m, id, err));
    b->n_new += *id != 0;
    return MN_OK;
}

mn_status mn_recall_batch_end(mn_recall_batch *b, mn_error *err) {
    return mn_store_run(b->store, err, "UPDATE agent SET n_messages = n_messages + $1 WHERE id = $2", "ii", b->n_new,
                        b->agent);
}

/* ---- looking up ---- */

static mn_message borrow(mn_rows *rows) {
    mn_message m = {.id = mn_rows_int(rows, 0), .time = mn_rows_int(rows, 5), .goes_on = mn_rows_int(rows, 9) != 0};
    m.uid = mn_rows_text(rows, 1, NULL);
    m.role = mn_rows_text(rows, 2, NULL);
    m.name = mn_rows_text(rows, 3, NULL);
    m.session = mn_rows_text(rows, 4, NULL);
    m.text = mn_rows_text(rows, 6, &m.bytes);
    m.calls = mn_rows_text(rows, 7, NULL);
    m.call_id = mn_rows_text(rows, 8, NULL);
    return m;
}

mn_status mn_message_take(mn_rows *rows, mn_message_copy *out, mn_error *err) {
    mn_message m = borrow(rows);
    const char **const fields[] = {&m.uid, &m.role, &m.name, &m.session, &m.text, &m.calls, &m.call_id};
    mn_strbuf all = MN_STRBUF_INIT;
    size_t begins[7];
    for (int i = 0; i < 7; i++) {
        begins[i] = all.bytes;
        mn_strbuf_put(&all, *fields[i], strlen(*fields[i]) + 1);
    }
    out->memory = mn_strbuf_detach(&all, NULL);
    if (!out->memory) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for a message of %zu bytes.", m.bytes);
    for (int i = 0; i < 7; i++) *fields[i] = out->memory + begins[i];
    out->at = m;
    return MN_OK;
}

void mn_message_release(mn_message_copy *message) {
    free(message->memory);
    *message = (mn_message_copy){0};
}

mn_status mn_recall_get(mn_store *store, int64_t agent, int64_t id, mn_message_copy *out, bool *found, mn_error *err) {
    mn_rows *rows;
    *found = false;
    *out = (mn_message_copy){0};
    MN_TRY(mn_store_query(store, &rows, err,
                          "SELECT " MN_MESSAGE_COLUMNS " FROM message m WHERE m.id = $1 AND m.agent = $2", "ii", id,
                          agent));
    mn_status status = mn_rows_next(rows, err);
    *found = status == MN_OK && mn_rows_has(rows);
    if (*found) status = mn_message_take(rows, out, err);
    mn_rows_done(rows);
    return status;
}

/* Rows of an agent's messages after one, oldest first, with their hashes behind the columns, until fn says false; read
 * in pages, so that their number does not matter. */
typedef bool row_fn(void *arg, mn_rows *rows, const mn_message *m);

static mn_status each_row(mn_store *store, int64_t agent, int64_t after, row_fn *fn, void *arg, mn_error *err) {
    bool goes_on = true;
    for (int n = PAGE; goes_on && n == PAGE;) {
        mn_rows *rows;
        mn_status status;
        MN_TRY(mn_store_query(store, &rows, err,
                              "SELECT " MN_MESSAGE_COLUMNS ", m.hash FROM message m WHERE m.agent = $1 AND m.id > $2 "
                              "ORDER BY m.id LIMIT $3",
                              "iii", agent, after, (int64_t)PAGE));
        for (n = 0; (status = mn_rows_next(rows, err)) == MN_OK && mn_rows_has(rows) && goes_on; n++) {
            mn_message m = borrow(rows);
            after = m.id;
            goes_on = fn(arg, rows, &m);
        }
        mn_rows_done(rows);
        MN_TRY(status);
    }
    return MN_OK;
}

typedef struct visitor {
    mn_message_fn *fn;
    void *arg;
} visitor;

static bool visit(void *arg, mn_rows *rows, const mn_message *m) {
    const visitor *v = arg;
    (void)rows;
    return v->fn(v->arg, m);
}

mn_status mn_recall_each(mn_store *store, int64_t agent, int64_t after, mn_message_fn *fn, void *arg, mn_error *err) {
    visitor v = {fn, arg};
    return each_row(store, agent, after, visit, &v, err);
}

/* ---- search ---- */

enum { COUNTED = 1000 };

/* The roles asked for as a list of SQL texts: letters alone, whatever stands in the query. */
static void put_roles(mn_strbuf *sql, const char *roles) {
    mn_strbuf_puts(sql, " AND t.role IN (''");
    for (const char *p = roles && *roles ? roles : "user,assistant"; *p;) {
        size_t n = strspn(p, "abcdefghijklmnopqrstuvwxyz");
        if (n) mn_strbuf_printf(sql, ", '%.*s'", (int)n, p);
        p += n + strcspn(p + n, "abcdefghijklmnopqrstuvwxyz");
    }
    mn_strbuf_putc(sql, ')');
}

static mn_status open_match(mn_store *store, int64_t agent, const mn_recall_query *q, mn_rows **rows, mn_error *err) {
    mn_strbuf rest = MN_STRBUF_INIT;
    bool by_words = q->words && *q->words;
    int64_t since = q->since ? q->since : INT64_MIN, until = q->until ? q->until : INT64_MAX;
    int64_t before = q->before_id ? q->before_id : INT64_MAX;
    mn_strbuf_puts(&rest, "AND t.agent = $2 AND t.time >= $3 AND t.time <= $4 AND t.id < $5");
    put_roles(&rest, q->roles);
    mn_status status;
    if (rest.failed) {
        status = mn_fail(err, MN_ERR_MEMORY, "There is no memory for a search.");
    } else if (by_words) {
        status = mn_store_match(store, rows, err, "message", q->words, rest.data, COUNTED, "iiii", agent, since, until,
                                before);
    } else {
        mn_strbuf sql = MN_STRBUF_INIT;
        mn_strbuf_printf(&sql,
                         "SELECT t.id AS id, 0.0 AS score FROM message t WHERE t.agent = $1 %s ORDER BY id DESC "
                         "LIMIT %d",
                         rest.data, COUNTED);
        status = sql.failed ? mn_fail(err, MN_ERR_MEMORY, "There is no memory for a search.")
                            : mn_store_query(store, rows, err, sql.data, "iiiii", agent, agent, since, until, before);
        mn_strbuf_release(&sql);
    }
    mn_strbuf_release(&rest);
    return status;
}

mn_status mn_recall_match(mn_store *store, int64_t agent, const mn_recall_query *q, mn_recall_hit *hits,
                          uint32_t *n_hits, int64_t *n_all, mn_error *err) {
    mn_rows *rows = NULL;
    int64_t at = 0, limit = q->limit ? q->limit : 5, first = (int64_t)q->page * limit;
    *n_hits = 0;
    mn_status status = open_match(store, agent, q, &rows, err);
    while (status == MN_OK && (status = mn_rows_next(rows, err)) == MN_OK && mn_rows_has(rows)) {
        if (at >= first && at < first + limit)
            hits[(*n_hits)++] = (mn_recall_hit){mn_rows_int(rows, 0), mn_rows_real(rows, 1)};
        at++;
        if (!n_all && at == first + limit) break;
    }
    mn_rows_done(rows);
    if (n_all) *n_all = at;
    return status;
}

/* ---- checking ---- */

typedef struct chain {
    char before[MN_ID_BYTES];
    int64_t n, broken; /* the first message that is not what was written; 0 = none */
} chain;

static bool check_link(void *arg, mn_rows *rows, const mn_message *m) {
    chain *c = arg;
    char hash[MN_ID_BYTES];
    hash_of(hash, c->before, m);
    if (strcmp(hash, mn_rows_text(rows, 10, NULL)) != 0) {
        c->broken = m->id;
        return false;
    }
    memcpy(c->before, hash, sizeof hash);
    c->n++;
    return true;
}

mn_status mn_recall_check(mn_store *store, int64_t agent, int64_t *n, mn_error *err) {
    chain c = {0};
    snprintf(c.before, sizeof c.before, "%lld", (long long)agent);
    mn_status status = each_row(store, agent, 0, check_link, &c, err);
    *n = c.n;
    if (status != MN_OK || !c.broken) return status;
    return mn_fail(err, MN_ERR_FORMAT,
                   "Message %lld of the store is not what was written, or one before it is gone; restore a copy of the "
                   "store.",
                   (long long)c.broken);
}
