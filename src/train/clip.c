#include "train/clip.h"

#include "base/checked.h"
#include "kernels/kernels.h"

#include <math.h>

enum { PIECE = 8192, SUM = 256 };

typedef struct squares_job {
    const mn_vec_kernels *vec;
    const float *x;
    int64_t n;
    double *sums;
} squares_job;

/* A piece goes through sums of f32 too short to lose anything. */
static void sum_pieces(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const squares_job *job = arg;
    for (int64_t i = begin; i < end; i++) {
        double sum = 0;
        int64_t last = MN_MIN((i + 1) * PIECE, job->n);
        for (int64_t at = i * PIECE; at < last; at += SUM)
            sum += (double)job->vec->dot(job->x + at, job->x + at, MN_MIN((int64_t)SUM, last - at));
        job->sums[i] = sum;
    }
}

mn_status mn_sum_squares(const mn_compute *c, const float *x, int64_t n, double *sum, mn_error *err) {
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    int64_t n_pieces = (n + PIECE - 1) / PIECE;
    squares_job job = {&c->kernels->vec, x, n, mn_arena_alloc(c->scratch, (size_t)n_pieces, sizeof *job.sums)};
    if (!job.sums) return mn_fail(err, MN_ERR_MEMORY, "no memory for the norm of %lld numbers.", (long long)n);
    mn_pool_run(c->pool, n_pieces, 1, sum_pieces, &job);
    for (int64_t i = 0; i < n_pieces; i++) *sum += job.sums[i];
    mn_arena_rewind(c->scratch, mark);
    return MN_OK;
}

double mn_clip_factor(double norm, double limit) {
    if (!isfinite(norm)) return NAN;
    return limit > 0 && norm > limit ? limit / norm : 1;
}
