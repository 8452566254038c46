#include "kernels/rows_backward.h"

#include "base/checked.h"
#include "kernels/kernels.h"
#include "kernels/row_sums.h"

#include <math.h>

enum { FLOATS_PER_RANGE = 1 << 13, EMBED_COLUMNS = 32 };

/* Values of some operation on n of them. */
typedef struct values_job {
    float *dx;
    const float *x, *dy;
    float limit;
} values_job;

static void back_clamp(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const values_job *job = arg;
    for (int64_t i = begin; i < end; i++) job->dx[i] = fabsf(job->x[i]) < job->limit ? job->dy[i] : 0;
}

void mn_clamp_backward(const mn_compute *c, float *dx, const float *y, const float *dy, int64_t n, float limit) {
    values_job job = {.dx = dx, .x = y, .dy = dy, .limit = limit};
    mn_pool_run(c->pool, n, FLOATS_PER_RANGE, back_clamp, &job);
}

static void back_softcap(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const values_job *job = arg;
    float inverse = 1 / job->limit;
    for (int64_t i = begin; i < end; i++) {
        float t = job->x[i] * inverse;
        job->dx[i] = job->dy[i] * (1 - t) * (1 + t);
    }
}

void mn_softcap_backward(const mn_compute *c, float *dx, const float *y, const float *dy, int64_t n, float cap) {
    values_job job = {.dx = dx, .x = y, .dy = dy, .limit = cap};
    mn_pool_run(c->pool, n, FLOATS_PER_RANGE, back_softcap, &job);
}

typedef struct bias_job {
    const mn_vec_kernels *vec;
    const float *dy;
    int64_t n;
} bias_job;

static void sum_rows(const void *arg, int64_t begin, int64_t end, float *sums) {
    const bias_job *job = arg;
    for (int64_t r = begin; r < end; r++) job->vec->add(sums, sums, job->dy + r * job->n, job->n);
}

mn_status mn_bias_backward(const mn_compute *c, float *db, const float *dy, int64_t n, int64_t n_rows, mn_error *err) {
    bias_job job = {&c->kernels->vec, dy, n};
    return mn_row_sums(c, db, n, n_rows, sum_rows, &job, err);
}

typedef struct rotate_job {
    const mn_vec_backward *vec;
    mn_vectors dx;
    const float *cos, *sin;
    int64_t angle_stride;
    bool split;
} rotate_job;

static void rotate_back(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const rotate_job *job = arg;
    int64_t n_pairs = job->dx.n / 2;
    for (int64_t r = begin; r < end; r++)
        for (int h = 0; h < job->dx.n_heads; h++)
            (job->split ? job->vec->rotate_split
                        : job->vec->rotate_interleaved)(mn_vector_at(&job->dx, r, h), job->cos + r * job->angle_stride,
                                                        job->sin + r * job->angle_stride, n_pairs);
}

void mn_rotate_backward(const mn_compute *c, mn_vectors dx, const float *cos, const float *sin, int64_t angle_stride,
                        int64_t n_rows, bool split) {
    rotate_job job = {&c->kernels->vec_backward, dx, cos, sin, angle_stride, split};
    int64_t row_floats = MN_MAX((int64_t)dx.n_heads * dx.n, INT64_C(1));
    mn_pool_run(c->pool, n_rows, MN_MAX(FLOATS_PER_RANGE / row_floats, INT64_C(1)), rotate_back, &job);
}

typedef struct embed_job {
    const mn_vec_kernels *vec;
    float *d_table;
    const int32_t *ids;
    const float *dy;
    int64_t n, n_rows;
    float scale;
} embed_job;

/* Items are groups of columns: rows of the same token fall to one thread, in order. */
static void add_columns(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const embed_job *job = arg;
    int64_t first = begin * EMBED_COLUMNS, n = MN_MIN(end * EMBED_COLUMNS, job->n) - first;
    for (int64_t r = 0; r < job->n_rows; r++)
        job->vec->axpy(job->d_table + job->ids[r] * job->n + first, job->dy + r * job->n + first, job->scale, n);
}

void mn_embed_backward(const mn_compute *c, float *d_table, const int32_t *ids, const float *dy, int64_t n,
                       int64_t n_rows, float scale) {
    embed_job job = {&c->kernels->vec, d_table, ids, dy, n, n_rows, scale};
    mn_pool_run(c->pool, (n + EMBED_COLUMNS - 1) / EMBED_COLUMNS, 1, add_columns, &job);
}
