/* Vectors in a PostgreSQL that has the extension pgvector: the server scans a copy of its own, which whoever searches
 * brings up to date. Exact, without an index: an approximate one (HNSW) is the owner's to create. */
#include "store/vectors_inside.h"

#include <stdlib.h>
#include <string.h>

/* Creating the extension may need rights that this user lacks, and one that stands in a schema out of sight is none:
 * then the scan is made here. */
static mn_status has_extension(mn_vectors *v, bool *has, mn_error *err) {
    int64_t n;
    mn_error ignored;
    MN_TRY(mn_store_number(v->store, 0, &n, err, "SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'",
                           ""));
    *has = n > 0;
    if (!*has) return MN_OK;
    mn_store_exec(v->store, "CREATE EXTENSION IF NOT EXISTS vector", &ignored);
    MN_TRY(mn_store_number(v->store, 0, &n, err,
                           "SELECT count(*) FROM pg_type WHERE typname = 'vector' AND pg_type_is_visible(oid)", ""));
    *has = n > 0;
    return MN_OK;
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

mn_status mn_pgvector_find(mn_vectors *v, mn_error *err) {
    char sql[512];
    if (!mn_store_driver(v->store)->is_postgres) return MN_OK;
    MN_TRY(has_extension(v, &v->is_remote, err));
    if (!v->is_remote) return MN_OK;
    snprintf(sql, sizeof sql,
             "CREATE TABLE IF NOT EXISTS derived_near_%s (item TEXT PRIMARY KEY, version BIGINT, v vector(%d));"
             "CREATE INDEX IF NOT EXISTS derived_near_%s_version ON derived_near_%s (version)",
             v->space, v->n_dims, v->space, v->space);
    MN_TRY(mn_store_exec(v->store, sql, err));
    return drop_stale(v, err);
}

/* "[0.25,-1,...]" */
static mn_status put_numbers(const mn_vectors *v, const float *x, mn_strbuf *out, mn_error *err) {
    mn_strbuf_reset(out);
    for (int d = 0; d < v->n_dims; d++) mn_strbuf_printf(out, "%c%.9g", d ? ',' : '[', (double)x[d]);
    mn_strbuf_putc(out, ']');
    return out->failed ? mn_fail(err, MN_ERR_MEMORY, "There is no memory for a vector of %d.", v->n_dims) : MN_OK;
}

static mn_status write_copy(mn_vectors *v, const char *item, const char *numbers, int64_t version, mn_error *err) {
    char sql[512];
    snprintf(sql, sizeof sql,
             "INSERT INTO derived_near_%s (item, version, v) VALUES ($1, $2, $3::vector) ON CONFLICT (item) "
             "DO UPDATE SET version = excluded.version, v = excluded.v",
             v->space);
    return mn_store_run(v->store, err, sql, "tit", item, version, numbers);
}

/* The rows that tell of it lie in this process by then, so that others may be written meanwhile. */
static mn_status take(mn_vectors *v, const char *item, const void *data, int64_t version, mn_error *err) {
    if (!data) return write_copy(v, item, NULL, version, err);
    float *numbers = calloc((size_t)v->padded, sizeof *numbers);
    if (!numbers) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for a vector of %d.", v->n_dims);
    mn_to_f32(v->type, data, numbers, v->padded);
    mn_status status = put_numbers(v, numbers, &v->names, err);
    free(numbers);
    return status == MN_OK ? write_copy(v, item, v->names.data, version, err) : status;
}

static mn_status refresh(mn_vectors *v, mn_error *err) {
    char sql[256];
    int64_t known, newest, version;
    snprintf(sql, sizeof sql, "SELECT max(version) FROM derived_near_%s", v->space);
    MN_TRY(mn_store_number(v->store, 0, &known, err, sql, ""));
    MN_TRY(
        mn_store_number(v->store, 0, &newest, err, "SELECT version FROM vector_space WHERE name = $1", "t", v->space));
    if (newest <= known) return MN_OK;
    MN_TRY(mn_store_begin(v->store, err));
    return mn_store_end(v->store, mn_vectors_news(v, known, take, &version, err), err);
}

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

mn_status mn_pgvector_search(mn_vectors *v, const float *question, uint32_t k, mn_vector_hit *hits, uint32_t *n_hits,
                             mn_error *err) {
    char sql[512];
    mn_strbuf text = MN_STRBUF_INIT;
    mn_rows *rows;
    MN_TRY(refresh(v, err));
    snprintf(sql, sizeof sql,
             "SELECT item, -(v <#> $1::vector) FROM derived_near_%s WHERE v IS NOT NULL "
             "ORDER BY v <#> $1::vector, item COLLATE \"C\" LIMIT $2",
             v->space);
    mn_status status = put_numbers(v, question, &text, err);
    if (status == MN_OK) status = mn_store_query(v->store, &rows, err, sql, "ti", text.data, (int64_t)k);
    mn_strbuf_release(&text);
    MN_TRY(status);
    status = read_hits(v, rows, hits, n_hits, err);
    mn_rows_done(rows);
    return status;
}
