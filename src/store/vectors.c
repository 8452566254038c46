/* Vectors in the tables of a store. Each change of a space counts its version up, in a row that keeps writers in turn;
 * a vector bears the version that brought it, and one that was taken away stays as a row without data: so whoever holds
 * a copy (vectors_scan.c, or the server's in pgvector) fetches what is newer than it. */
#include "store/vectors_inside.h"

#include "base/checked.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DIMS = 16384, MAX_SPACE = 31, PAGE = 1024 };

static const mn_migration steps[] = {
    {.sql = "CREATE TABLE vector_space (name TEXT PRIMARY KEY, model TEXT, n_dims BIGINT, type TEXT, version BIGINT);"
            "CREATE TABLE vector_item (item TEXT, space TEXT, version BIGINT, data {blob}, PRIMARY KEY (space, item));"
            "CREATE INDEX vector_item_version ON vector_item (space, version)"},
};

mn_status mn_vectors_migrate(mn_store *store, mn_error *err) {
    return mn_store_migrate(store, "vectors", steps, sizeof steps / sizeof *steps, err);
}

static mn_status check_spec(const mn_vectors_spec *spec, mn_error *err) {
    size_t n = strspn(spec->space, "abcdefghijklmnopqrstuvwxyz_0123456789");
    if (n == 0 || n > MAX_SPACE || spec->space[n])
        return mn_fail(err, MN_ERR_ARGUMENT, "\"%.64s\" cannot name vectors: 1 to %d of a to z, 0 to 9 and _ can.",
                       spec->space, MAX_SPACE);
    if (spec->n_dims < 1 || spec->n_dims > MAX_DIMS)
        return mn_fail(err, MN_ERR_ARGUMENT, "Vectors of %d numbers cannot be kept: 1 to %d can.", spec->n_dims,
                       MAX_DIMS);
    if (spec->type != MN_F32 && spec->type != MN_Q8_0)
        return mn_fail(err, MN_ERR_ARGUMENT, "Vectors are kept as f32 or q8_0, not as %s.",
                       mn_dtype_get(spec->type)->name);
    return MN_OK;
}

/* Rows of an import may be newer than the space's own count. */
static mn_status catch_up(mn_vectors *v, mn_error *err) {
    int64_t newest, version;
    MN_TRY(mn_store_number(v->store, 0, &newest, err, "SELECT max(version) FROM vector_item WHERE space = $1", "t",
                           v->space));
    MN_TRY(
        mn_store_number(v->store, 0, &version, err, "SELECT version FROM vector_space WHERE name = $1", "t", v->space));
    if (version >= newest) return MN_OK;
    return mn_store_run(v->store, err, "UPDATE vector_space SET version = $1 WHERE name = $2 AND version < $1", "it",
                        newest, v->space);
}

mn_status mn_vectors_type(mn_store *store, const char *space, mn_dtype *type, mn_error *err) {
    mn_rows *rows;
    MN_TRY(mn_vectors_migrate(store, err));
    MN_TRY(mn_store_query(store, &rows, err, "SELECT type FROM vector_space WHERE name = $1", "t", space));
    mn_status status = mn_rows_next(rows, err);
    if (status == MN_OK && mn_rows_has(rows))
        *type = strcmp(mn_rows_text(rows, 0, NULL), mn_dtype_get(MN_F32)->name) ? MN_Q8_0 : MN_F32;
    mn_rows_done(rows);
    return status;
}

/* Whether the space is what the caller takes it for. */
static mn_status compare_space(mn_vectors *v, const char *model, bool *found, mn_error *err) {
    const char *type = mn_dtype_get(v->type)->name;
    mn_rows *rows;
    MN_TRY(mn_store_query(v->store, &rows, err, "SELECT model, n_dims, type FROM vector_space WHERE name = $1", "t",
                          v->space));
    mn_status status = mn_rows_next(rows, err);
    *found = status == MN_OK && mn_rows_has(rows);
    bool same = *found && !strcmp(mn_rows_text(rows, 0, NULL), model) && mn_rows_int(rows, 1) == v->n_dims &&
                !strcmp(mn_rows_text(rows, 2, NULL), type);
    if (*found && !same)
        status =
            mn_fail(err, MN_ERR_ARGUMENT,
                    "The store %s has vectors of %lld numbers (%.16s) by the model %.64s for \"%s\"; vectors of %d "
                    "(%s) by %.64s do not go with them: use that model, or another store.",
                    mn_store_name(v->store), (long long)mn_rows_int(rows, 1), mn_rows_text(rows, 2, NULL),
                    mn_rows_text(rows, 0, NULL), v->space, v->n_dims, type, model);
    mn_rows_done(rows);
    return status;
}

/* The space, begun where there is none. */
static mn_status find_space(mn_vectors *v, const char *model, mn_error *err) {
    bool found;
    MN_TRY(compare_space(v, model, &found, err));
    if (found) return catch_up(v, err);
    MN_TRY(mn_store_run(v->store, err,
                        "INSERT INTO vector_space (name, model, n_dims, type, version) VALUES ($1, $2, $3, $4, 0) "
                        "ON CONFLICT DO NOTHING",
                        "ttit", v->space, model, (int64_t)v->n_dims, mn_dtype_get(v->type)->name));
    return compare_space(v, model, &found, err);
}

mn_status mn_vectors_open(mn_store *store, const mn_vectors_spec *spec, mn_vectors **out, mn_error *err) {
    *out = NULL;
    MN_TRY(check_spec(spec, err));
    mn_vectors *v = calloc(1, sizeof *v);
    if (!v) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for vectors.");
    *v = (mn_vectors){.store = store, .n_dims = spec->n_dims, .type = spec->type, .n_threads = spec->n_threads};
    v->padded = spec->type == MN_Q8_0 ? (spec->n_dims + 31) / 32 * 32 : spec->n_dims;
    v->row_bytes = mn_dtype_row_bytes(spec->type, v->padded);
    snprintf(v->space, sizeof v->space, "%s", spec->space);
    mn_status status = mn_vectors_migrate(store, err);
    if (status == MN_OK) status = find_space(v, spec->model, err);
    if (status == MN_OK && !spec->here) status = mn_pgvector_find(v, err);
    if (status == MN_OK)
        *out = v;
    else
        mn_vectors_close(v);
    return status;
}

void mn_vectors_close(mn_vectors *v) {
    if (!v) return;
    mn_vectors_release_scan(v);
    free(v);
}

bool mn_vectors_is_remote(const mn_vectors *v) { return *v->remote != '\0'; }

/* ---- writing ---- */

static mn_status check_numbers(const mn_vectors *v, const char *item, const float *x, mn_error *err) {
    for (int d = 0; d < v->n_dims; d++)
        if (!isfinite(x[d]))
            return mn_fail(err, MN_ERR_ARGUMENT, "Number %d of the vector of %.64s is not finite.", d, item);
    return MN_OK;
}

static mn_status next_version(mn_vectors *v, int64_t *out, mn_error *err) {
    return mn_store_number(v->store, 0, out, err,
                           "UPDATE vector_space SET version = version + 1 WHERE name = $1 RETURNING version", "t",
                           v->space);
}

/* data NULL: the item's vector is taken away. */
static mn_status write_row(mn_vectors *v, const char *item, const void *data, mn_error *err) {
    int64_t version;
    MN_TRY(next_version(v, &version, err));
    if (!data)
        return mn_store_run(v->store, err,
                            "UPDATE vector_item SET version = $1, data = NULL WHERE space = $2 AND item = $3", "itt",
                            version, v->space, item);
    return mn_store_run(v->store, err,
                        "INSERT INTO vector_item (space, item, version, data) VALUES ($1, $2, $3, $4) ON CONFLICT "
                        "(space, item) DO UPDATE SET version = excluded.version, data = excluded.data",
                        "ttib", v->space, item, version, data, v->row_bytes);
}

static mn_status write_all(mn_vectors *v, const char *const *items, int64_t n, const float *numbers, float *padded,
                           void *row, mn_error *err) {
    for (int64_t i = 0; i < n; i++) {
        const float *x = numbers + i * v->n_dims;
        MN_TRY(check_numbers(v, items[i], x, err));
        memcpy(padded, x, (size_t)v->n_dims * sizeof *x);
        mn_from_f32(v->type, padded, row, v->padded);
        MN_TRY(write_row(v, items[i], row, err));
    }
    return MN_OK;
}

mn_status mn_vectors_put(mn_vectors *v, const char *const *items, int64_t n, const float *numbers, mn_error *err) {
    float *padded = calloc((size_t)v->padded, sizeof *padded);
    void *row = calloc(1, v->row_bytes);
    mn_status status =
        padded && row ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "There is no memory for a vector of %d.", v->n_dims);
    bool own;
    if (status == MN_OK) status = mn_store_join(v->store, &own, err);
    if (status == MN_OK) status = mn_store_leave(v->store, own, write_all(v, items, n, numbers, padded, row, err), err);
    free(padded);
    free(row);
    return status;
}

mn_status mn_vectors_remove(mn_vectors *v, const char *item, mn_error *err) {
    bool own;
    MN_TRY(mn_store_join(v->store, &own, err));
    return mn_store_leave(v->store, own, write_row(v, item, NULL, err), err);
}

mn_status mn_vectors_has(mn_vectors *v, const char *item, bool *has, mn_error *err) {
    int64_t n;
    MN_TRY(mn_store_number(v->store, 0, &n, err,
                           "SELECT count(*) FROM vector_item WHERE space = $1 AND item = $2 AND data IS NOT NULL", "tt",
                           v->space, item));
    *has = n > 0;
    return MN_OK;
}

mn_status mn_vectors_count(mn_vectors *v, int64_t *n, mn_error *err) {
    return mn_store_number(v->store, 0, n, err,
                           "SELECT count(*) FROM vector_item WHERE space = $1 AND data IS NOT NULL", "t", v->space);
}

/* ---- what is new ---- */

static mn_status take_page(mn_vectors *v, mn_rows *rows, mn_vector_news_fn *fn, int64_t *version, int *n,
                           mn_error *err) {
    mn_status status;
    while ((status = mn_rows_next(rows, err)) == MN_OK && mn_rows_has(rows)) {
        size_t bytes;
        const char *item = mn_rows_text(rows, 0, NULL);
        const void *data = mn_rows_is_null(rows, 1) ? NULL : mn_rows_blob(rows, 1, &bytes);
        if (data && bytes != v->row_bytes)
            return mn_fail(err, MN_ERR_FORMAT, "The vector of %.64s in the store %s is %zu bytes, not %zu.", item,
                           mn_store_name(v->store), bytes, v->row_bytes);
        *version = mn_rows_int(rows, 2);
        MN_TRY(fn(v, item, data, *version, err));
        ++*n;
    }
    return status;
}

mn_status mn_vectors_news_page(mn_vectors *v, int64_t known, mn_vector_news_fn *fn, int64_t *version, bool *more,
                               mn_error *err) {
    mn_rows *rows;
    char sql[160];
    int n = 0;
    *version = known;
    snprintf(sql, sizeof sql,
             "SELECT item, data, version FROM vector_item WHERE space = $1 AND version > $2 ORDER BY version LIMIT %d",
             PAGE);
    MN_TRY(mn_store_query(v->store, &rows, err, sql, "ti", v->space, known));
    mn_status status = take_page(v, rows, fn, version, &n, err);
    mn_rows_done(rows);
    *more = n == PAGE; /* each change has a version of its own */
    return status;
}

mn_status mn_vectors_news(mn_vectors *v, int64_t known, mn_vector_news_fn *fn, int64_t *version, mn_error *err) {
    *version = known;
    for (bool more = true; more;) MN_TRY(mn_vectors_news_page(v, *version, fn, version, &more, err));
    return MN_OK;
}

mn_status mn_vectors_search(mn_vectors *v, const float *question, uint32_t k, mn_vector_hit *hits, uint32_t *n_hits,
                            mn_error *err) {
    *n_hits = 0;
    MN_TRY(check_numbers(v, "the question", question, err));
    return *v->remote ? mn_pgvector_search(v, question, k, hits, n_hits, err)
                      : mn_vectors_scan(v, question, k, hits, n_hits, err);
}
