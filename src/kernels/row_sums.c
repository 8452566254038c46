#include "kernels/row_sums.h"

#include "base/checked.h"
#include "kernels/kernels.h"

#include <string.h>

enum { MIN_PIECE_ROWS = 16, MAX_PIECES = 64, SUMS_GRAIN = 256 };

typedef struct pieces {
    const mn_compute *c;
    mn_row_sums_fn *fn;
    const void *job;
    int64_t n, n_rows, piece_rows, n_pieces;
    float *sums; /* [n_pieces, n] */
    float *out;
} pieces;

static void sum_pieces(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const pieces *p = arg;
    for (int64_t i = begin; i < end; i++) {
        float *sums = p->sums + i * p->n;
        memset(sums, 0, (size_t)p->n * sizeof *sums);
        p->fn(p->job, i * p->piece_rows, MN_MIN((i + 1) * p->piece_rows, p->n_rows), sums);
    }
}

static void add_pieces(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const pieces *p = arg;
    for (int64_t i = 0; i < p->n_pieces; i++)
        p->c->kernels->vec.add(p->out + begin, p->out + begin, p->sums + i * p->n + begin, end - begin);
}

mn_status mn_row_sums(const mn_compute *c, float *out, int64_t n, int64_t n_rows, mn_row_sums_fn *fn, const void *job,
                      mn_error *err) {
    if (n_rows == 0) return MN_OK;
    pieces p = {.c = c, .fn = fn, .job = job, .n = n, .n_rows = n_rows, .out = out};
    p.piece_rows = MN_MAX((n_rows + MAX_PIECES - 1) / MAX_PIECES, (int64_t)MIN_PIECE_ROWS);
    p.n_pieces = (n_rows + p.piece_rows - 1) / p.piece_rows;
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    p.sums = mn_arena_alloc(c->scratch, (size_t)(p.n_pieces * n), sizeof *p.sums);
    if (!p.sums)
        return mn_fail(err, MN_ERR_MEMORY, "no memory for the sums of %lld gradients over %lld tokens.", (long long)n,
                       (long long)n_rows);
    mn_pool_run(c->pool, p.n_pieces, 1, sum_pieces, &p);
    mn_pool_run(c->pool, n, SUMS_GRAIN, add_pieces, &p);
    mn_arena_rewind(c->scratch, mark);
    return MN_OK;
}
