/* Vectors in a PostgreSQL that has the extension pgvector: the server scans a copy of its own, which whoever searches
 * brings up to date. Exact, without an index: an approximate one (HNSW) is the owner's to create. */
#include "store/vectors_inside.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_DIMS = 16000, SENT_BYTES = 1 << 20 }; /* of pgvector's type; of a statement that copies */

/* The schema that holds the extension, as SQL names it; empty = the database has none that this user may see. */
static mn_status find_schema(mn_vectors *v, mn_error *err) {
    mn_rows *rows;
    v->remote[0] = '\0';
    MN_TRY(
        mn_store_query(v->store, &rows, err,
                       "SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n "
                       "ON n.oid = e.extnamespace WHERE e.extname = 'vector' AND has_schema_privilege(n.oid, 'USAGE')",
                       ""));
    mn_status status = mn_rows_next(rows, err);
    if (status == MN_OK && mn_rows_has(rows)) snprintf(v->remote, sizeof v->remote, "%s", mn_rows_text(rows, 0, NULL));
    mn_rows_done(rows);
    return status;
}

/* Creating the extension may need rights that this user lacks: then the scan is made here. It belongs to the whole
 * database, not to the schema of one store, which may be dropped with all that it holds. */
static mn_status find_extension(mn_vectors *v, mn_error *err) {
    int64_t n;
    mn_error ignored;
    MN_TRY(find_schema(v, err));
    if (*v->remote) return MN_OK;
    MN_TRY(mn_store_number(v->store, 0, &n, err, "SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'",
                           ""));
    if (n == 0) return MN_OK;
    if (mn_store_exec(v->store, "CREATE EXTENSION IF NOT EXISTS vector SCHEMA public", &ignored) != MN_OK)
        mn_store_exec(v->store, "CREATE EXTENSION IF NOT EXISTS vector", &ignored);
    return find_schema(v, err);
}

/* A copy that an import went past is made anew. */
static mn_status drop_stale(mn_vectors *v, mn_error *err) {
    char sql[512];
    int64_t n_rows, n_copied;
    snprintf(sql, sizeof sql,
             "SELECT count(*) FROM derived_near_%s WHERE version <= (SELECT version FROM vector_space WHERE name = $1)",
             v->space);
    MN_TRY(mn_store_number(v->store, 0, &n_copied, err, sql, "t", v->space));
    snprintf(sql, sizeof sql,
             "SELECT count(*) FROM vector_item WHERE space = $1 AND version <= (SELECT max(version) FROM "
             "derived_near_%s)",
             v->space);
    MN_TRY(mn_store_number(v->store, 0, &n_rows, err, sql, "t", v->space));
    if (n_rows == n_copied) return MN_OK;
    snprintf(sql, sizeof sql, "DELETE FROM derived_near_%s", v->space);
    return mn_store_exec(v->store, sql, err);
}

/* The table; one that lost its vectors, as an extension that is dropped takes its columns with it, is made anew. One
 * that is there is left alone: to ask for its index would wait for who writes. */
static mn_status make_table(mn_vectors *v, mn_error *err) {
    char sql[512];
    int64_t is_there;
    snprintf(sql, sizeof sql,
             "SELECT count(*) FROM pg_attribute a WHERE a.attrelid = to_regclass('derived_near_%s') AND a.atttypid = "
             "to_regtype('%s.vector')",
             v->space, v->remote);
    MN_TRY(mn_store_number(v->store, 0, &is_there, err, sql, ""));
    if (is_there) return MN_OK;
    snprintf(sql, sizeof sql,
             "DROP TABLE IF EXISTS derived_near_%1$s;"
             "CREATE TABLE derived_near_%1$s (item TEXT PRIMARY KEY, version BIGINT, v %2$s.vector(%3$d));"
             "CREATE INDEX derived_near_%1$s_version ON derived_near_%1$s (version)",
             v->space, v->remote, v->n_dims);
    return mn_store_exec(v->store, sql, err);
}

mn_status mn_pgvector_find(mn_vectors *v, mn_error *err) {
    if (!mn_store_driver(v->store)->is_postgres || v->n_dims > MOST_DIMS) return MN_OK;
    MN_TRY(find_extension(v, err));
    if (!*v->remote) return MN_OK;
    /* An owner's HNSW index gives at most 40 rows unless its scan goes on; versions before 0.8 cannot. */
    mn_store_exec(v->store, "SET hnsw.iterative_scan = strict_order", NULL);
    MN_TRY(mn_store_begin(v->store, err));
    mn_status status = make_table(v, err);
    if (status == MN_OK) status = drop_stale(v, err);
    return mn_store_end(v->store, status, err);
}

/* "[0.25,-1,...]" */
static void put_numbers(const mn_vectors *v, const float *x, mn_strbuf *out) {
    for (int d = 0; d < v->n_dims; d++) {
        char text[32];
        int n = snprintf(text, sizeof text, "%c%.9g", d ? ',' : '[', (double)x[d]);
        mn_strbuf_put(out, text, (size_t)n);
    }
    mn_strbuf_putc(out, ']');
}

static mn_status no_memory(const mn_vectors *v, mn_error *err) {
    return mn_fail(err, MN_ERR_MEMORY, "There is no memory for vectors of %d.", v->n_dims);
}

/* ---- the copy ---- */

static void put_quoted(const char *text, mn_strbuf *out) {
    mn_strbuf_putc(out, '"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') mn_strbuf_putc(out, '\\');
        mn_strbuf_putc(out, *text);
    }
    mn_strbuf_putc(out, '"');
}

/* Writes what take has gathered. */
static mn_status send(mn_vectors *v, mn_error *err) {
    char sql[512];
    mn_strbuf *const lists[] = {&v->items_sent, &v->versions_sent, &v->numbers_sent};
    if (v->items_sent.bytes == 0) return MN_OK;
    for (int i = 0; i < 3; i++) mn_strbuf_putc(lists[i], '}');
    snprintf(sql, sizeof sql,
             "INSERT INTO derived_near_%s (item, version, v) SELECT n.i, n.version, n.x::%s.vector FROM "
             "unnest($1::text[], $2::bigint[], $3::text[]) AS n (i, version, x) ON CONFLICT (item) "
             "DO UPDATE SET version = excluded.version, v = excluded.v",
             v->space, v->remote);
    mn_status status = lists[0]->failed || lists[1]->failed || lists[2]->failed
                           ? no_memory(v, err)
                           : mn_store_run(v->store, err, sql, "ttt", lists[0]->data, lists[1]->data, lists[2]->data);
    for (int i = 0; i < 3; i++) mn_strbuf_reset(lists[i]);
    return status;
}

/* The rows that tell of it lie in this process by then, so that others may be written meanwhile. */
static mn_status take(mn_vectors *v, const char *item, const void *data, int64_t version, mn_error *err) {
    char first = v->items_sent.bytes ? ',' : '{';
    float *numbers = calloc((size_t)v->padded, sizeof *numbers);
    if (!numbers) return no_memory(v, err);
    mn_strbuf_putc(&v->items_sent, first);
    put_quoted(item, &v->items_sent);
    mn_strbuf_printf(&v->versions_sent, "%c%lld", first, (long long)version);
    mn_strbuf_printf(&v->numbers_sent, data ? "%c\"" : "%cNULL", first);
    if (data) {
        mn_to_f32(v->type, data, numbers, v->padded);
        put_numbers(v, numbers, &v->numbers_sent);
        mn_strbuf_putc(&v->numbers_sent, '"');
    }
    free(numbers);
    return v->numbers_sent.bytes > SENT_BYTES ? send(v, err) : MN_OK;
}

/* One page; another process may have written some of it since. */
static mn_status copy_page(mn_vectors *v, bool *more, mn_error *err) {
    char sql[256];
    int64_t known, version;
    snprintf(sql, sizeof sql, "SELECT max(version) FROM derived_near_%s", v->space);
    MN_TRY(mn_store_number(v->store, 0, &known, err, sql, ""));
    mn_strbuf_reset(&v->items_sent);
    mn_strbuf_reset(&v->versions_sent);
    mn_strbuf_reset(&v->numbers_sent);
    MN_TRY(mn_vectors_news_page(v, known, take, &version, more, err));
    return send(v, err);
}

/* A page in a transaction, as others wait for it to write. */
static mn_status refresh(mn_vectors *v, mn_error *err) {
    char sql[256];
    int64_t known, newest;
    snprintf(sql, sizeof sql, "SELECT max(version) FROM derived_near_%s", v->space);
    MN_TRY(mn_store_number(v->store, 0, &known, err, sql, ""));
    MN_TRY(
        mn_store_number(v->store, 0, &newest, err, "SELECT version FROM vector_space WHERE name = $1", "t", v->space));
    for (bool more = newest > known; more;) {
        MN_TRY(mn_store_begin(v->store, err));
        MN_TRY(mn_store_end(v->store, copy_page(v, &more, err), err));
    }
    return MN_OK;
}

/* ---- searching ---- */

static mn_status read_hits(mn_vectors *v, mn_rows *rows, mn_vector_hit *hits, uint32_t *n_hits, mn_error *err) {
    mn_status status;
    size_t at = 0;
    mn_strbuf_reset(&v->names);
    while ((status = mn_rows_next(rows, err)) == MN_OK && mn_rows_has(rows)) {
        const char *item = mn_rows_text(rows, 0, NULL);
        mn_strbuf_put(&v->names, item, strlen(item) + 1);
        hits[(*n_hits)++].score = (float)mn_rows_real(rows, 1);
    }
    if (v->names.failed) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for %u hits.", *n_hits);
    for (uint32_t i = 0; i < *n_hits; i++) {
        hits[i].item = v->names.data + at;
        at += strlen(hits[i].item) + 1;
    }
    return status;
}

/* Of equal ones those come first that do by their names; written so that an index of the owner's can serve. */
static void put_search(const mn_vectors *v, char *sql, size_t bytes) {
    snprintf(sql, bytes,
             "SELECT item, -far FROM (SELECT item, v OPERATOR(%1$s.<#>) $1::%1$s.vector AS far FROM derived_near_%2$s "
             "WHERE v IS NOT NULL ORDER BY v OPERATOR(%1$s.<#>) $1::%1$s.vector FETCH FIRST ($2) ROWS WITH TIES) AS n "
             "ORDER BY far, item COLLATE \"C\" LIMIT $2",
             v->remote, v->space);
}

mn_status mn_pgvector_search(mn_vectors *v, const float *question, uint32_t k, mn_vector_hit *hits, uint32_t *n_hits,
                             mn_error *err) {
    char sql[1024];
    mn_strbuf text = MN_STRBUF_INIT;
    mn_rows *rows;
    MN_TRY(refresh(v, err));
    put_search(v, sql, sizeof sql);
    put_numbers(v, question, &text);
    mn_status status = text.failed ? no_memory(v, err) : MN_OK;
    if (status == MN_OK) status = mn_store_query(v->store, &rows, err, sql, "ti", text.data, (int64_t)k);
    mn_strbuf_release(&text);
    MN_TRY(status);
    status = read_hits(v, rows, hits, n_hits, err);
    mn_rows_done(rows);
    return status;
}
