/* The exact scan: all vectors of a space as the rows of one matrix, times the question. */
#include "store/vectors_inside.h"

#include "base/checked.h"
#include "kernels/kernels.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 64, FIRST_CAPACITY = 256 };

static mn_status no_memory(const mn_vectors *v, mn_error *err) {
    return mn_fail(err, MN_ERR_MEMORY, "There is no memory for %u vectors of %zu bytes.", v->n + 1, v->row_bytes);
}

static bool grow(mn_vectors *v) {
    uint32_t capacity = MN_MAX(2 * v->capacity, (uint32_t)FIRST_CAPACITY);
    size_t bytes;
    if (capacity < v->capacity || !mn_mul_size(capacity, v->row_bytes, &bytes)) return false;
    char *rows = aligned_alloc(ALIGNMENT, (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
    bool *is_live = realloc(v->is_live, capacity);
    if (is_live) v->is_live = is_live;
    float *scores = realloc(v->scores, capacity * sizeof *scores);
    if (scores) v->scores = scores;
    if (!rows || !is_live || !scores) {
        free(rows);
        return false;
    }
    if (v->n) memcpy(rows, v->rows, v->n * v->row_bytes);
    free(v->rows);
    v->rows = rows;
    v->capacity = capacity;
    return true;
}

static mn_status take(mn_vectors *v, const char *item, const void *data, int64_t version, mn_error *err) {
    uint32_t at = mn_intern_put(&v->items, item, strlen(item));
    if (at == MN_INTERN_NONE || (at == v->capacity && !grow(v))) return no_memory(v, err);
    v->n = MN_MAX(v->n, at + 1);
    v->version = version;
    v->is_live[at] = data != NULL;
    if (data)
        memcpy(v->rows + at * v->row_bytes, data, v->row_bytes);
    else
        memset(v->rows + at * v->row_bytes, 0, v->row_bytes);
    return MN_OK;
}

static mn_status prepare(mn_vectors *v, mn_error *err) {
    mn_cpu_level level;
    if (v->compute.kernels) return MN_OK;
    MN_TRY(mn_cpu_choose(&level, err));
    MN_TRY(mn_pool_create(v->n_threads, &v->compute.pool, err));
    v->compute.kernels = mn_kernels_get(level);
    v->compute.scratch = &v->scratch;
    return MN_OK;
}

static mn_status multiply(mn_vectors *v, const float *question, mn_error *err) {
    float *padded = calloc((size_t)v->padded, sizeof *padded);
    if (!padded) return no_memory(v, err);
    memcpy(padded, question, (size_t)v->n_dims * sizeof *padded);
    const mn_tensor all = {.name = v->space,
                           .type = v->type,
                           .n_dims = 2,
                           .ne = {v->padded, v->n, 1, 1},
                           .bytes = v->n * v->row_bytes,
                           .data = v->rows};
    mn_status status = mn_matmul(&v->compute, v->scores, v->n, padded, v->padded, 1, &all, err);
    free(padded);
    return status;
}

static bool is_better(const mn_vector_hit *a, const mn_vector_hit *b) {
    return a->score > b->score || (a->score == b->score && strcmp(a->item, b->item) < 0);
}

static void insert(mn_vector_hit *hits, uint32_t *n, uint32_t k, mn_vector_hit hit) {
    if (*n == k && !is_better(&hit, &hits[k - 1])) return;
    uint32_t at = *n < k ? (*n)++ : k - 1;
    for (; at > 0 && is_better(&hit, &hits[at - 1]); at--) hits[at] = hits[at - 1];
    hits[at] = hit;
}

mn_status mn_vectors_scan(mn_vectors *v, const float *question, uint32_t k, mn_vector_hit *hits, uint32_t *n_hits,
                          mn_error *err) {
    int64_t version;
    MN_TRY(prepare(v, err));
    MN_TRY(mn_vectors_news(v, v->version, take, &version, err));
    if (v->n == 0 || k == 0) return MN_OK;
    MN_TRY(multiply(v, question, err));
    for (uint32_t i = 0; i < v->n; i++) {
        if (!v->is_live[i] || (*n_hits == k && v->scores[i] < hits[k - 1].score)) continue;
        insert(hits, n_hits, k, (mn_vector_hit){mn_intern_text(&v->items, i, NULL), v->scores[i]});
    }
    return MN_OK;
}

void mn_vectors_release_scan(mn_vectors *v) {
    mn_pool_destroy(v->compute.pool);
    mn_arena_release(&v->scratch);
    mn_intern_release(&v->items);
    mn_strbuf_release(&v->names);
    mn_strbuf_release(&v->items_sent);
    mn_strbuf_release(&v->versions_sent);
    mn_strbuf_release(&v->numbers_sent);
    free(v->rows);
    free(v->is_live);
    free(v->scores);
}
