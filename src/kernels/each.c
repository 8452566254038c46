#include "kernels/each.h"

#include <stdlib.h>

/* What went wrong first among the pieces of one thread. */
typedef struct failure {
    int64_t piece;
    mn_status status;
    mn_error error;
} failure;

typedef struct each {
    const mn_compute *c;
    mn_arena *arenas; /* [n_threads] */
    mn_each_fn *fn;
    void *arg;
    failure *failures; /* [n_threads] */
} each;

static void run_pieces(void *arg, int64_t begin, int64_t end, int thread_index) {
    const each *e = arg;
    failure *failed = &e->failures[thread_index];
    mn_compute alone = *e->c;
    alone.pool = NULL;
    alone.scratch = &e->arenas[thread_index];
    for (int64_t i = begin; i < end && failed->status == MN_OK; i++) {
        mn_arena_mark mark = mn_arena_get_mark(alone.scratch);
        failed->status = e->fn(&alone, e->arg, i, &failed->error);
        failed->piece = i;
        mn_arena_rewind(alone.scratch, mark);
    }
}

static mn_status run_together(const mn_compute *c, int64_t n, mn_each_fn *fn, void *arg, mn_error *err) {
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    mn_status status = MN_OK;
    for (int64_t i = 0; i < n && status == MN_OK; i++) {
        status = fn(c, arg, i, err);
        mn_arena_rewind(c->scratch, mark);
    }
    return status;
}

mn_status mn_each(const mn_compute *c, mn_arena *alone, int64_t n, mn_each_fn *fn, void *arg, mn_error *err) {
    int n_threads = mn_pool_threads(c->pool);
    if (!alone || n_threads == 1) return run_together(c, n, fn, arg, err);
    each e = {c, alone, fn, arg, calloc((size_t)n_threads, sizeof *e.failures)};
    if (!e.failures) return mn_fail(err, MN_ERR_MEMORY, "no memory for the errors of %d threads.", n_threads);
    mn_pool_run(c->pool, n, 1, run_pieces, &e);
    const failure *first = NULL;
    for (const failure *f = e.failures; f < e.failures + n_threads; f++)
        if (f->status != MN_OK && (!first || f->piece < first->piece)) first = f;
    mn_status status = first ? first->status : MN_OK;
    if (first && err) *err = first->error;
    free(e.failures);
    return status;
}
