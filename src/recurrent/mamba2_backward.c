#include "recurrent/mamba2_backward.h"

#include "kernels/kernels.h"
#include "kernels/row_sums.h"

#include <math.h>

typedef struct job {
    const mn_kernels *kernels;
    const mn_mamba2 *layer;
    const mn_matrix_rows *rows;
    const float *dt;
    int64_t dt_stride;
    const mn_mamba2_grad *g;
    float *decay, *step, *d_log_decay, *d_step; /* [n_rows, n_heads]; step: dt's softplus */
} job;

/* What passes the state by; returns d_out . v. */
static float back_skip(const job *j, int64_t row, int head) {
    int64_t n = j->layer->shape.v_dim, at = head * n;
    const float *d_out = j->g->d_out + row * j->g->d_out_stride + at, *v = j->rows->v + row * j->rows->v_stride + at;
    j->kernels->vec.axpy(j->g->d_v + row * j->rows->v_stride + at, d_out, j->layer->d[head], n);
    return j->kernels->vec.dot(d_out, v, n);
}

/* sums: those of dt_bias, of a and of d. */
static void back_rows(const void *arg, int64_t begin, int64_t end, float *sums) {
    const job *j = arg;
    int n = j->layer->shape.n_heads;
    for (int64_t row = begin; row < end; row++)
        for (int h = 0; h < n; h++) {
            int64_t at = row * n + h;
            float z = j->dt[row * j->dt_stride + h] + j->layer->dt_bias[h];
            float d_log = j->d_log_decay[at];
            float d_x = (j->d_step[at] + d_log * j->layer->a[h]) / (1 + expf(-z));
            j->g->d_dt[row * j->dt_stride + h] += d_x;
            sums[h] += d_x;
            sums[n + h] += d_log * j->step[at];
            sums[2 * n + h] += back_skip(j, row, h);
        }
}

static mn_status sum_rows(const mn_compute *c, const job *j, mn_error *err) {
    int64_t n = j->layer->shape.n_heads;
    float *sums = mn_arena_zalloc(c->scratch, (size_t)(3 * n), sizeof *sums);
    float *const to[] = {j->g->d_dt_bias, j->g->d_a, j->g->d_d};
    if (!sums) return mn_fail(err, MN_ERR_MEMORY, "no memory for the gradients of %lld heads.", (long long)n);
    MN_TRY(mn_row_sums(c, sums, 3 * n, j->rows->n_rows, back_rows, j, err));
    for (int i = 0; i < 3; i++)
        if (to[i]) c->kernels->vec.add(to[i], to[i], sums + i * n, n);
    return MN_OK;
}

mn_status mn_mamba2_backward(const mn_compute *c, const mn_mamba2 *layer, const mn_matrix_rows *rows, const float *dt,
                             int64_t dt_stride, const mn_mamba2_grad *g, int chunk, mn_error *err) {
    size_t n = (size_t)rows->n_rows * (size_t)layer->shape.n_heads;
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    job j = {.kernels = c->kernels, .layer = layer, .rows = rows, .dt = dt, .dt_stride = dt_stride, .g = g};
    j.decay = mn_arena_alloc(c->scratch, n, 4 * sizeof *j.decay);
    if (!j.decay) return mn_fail(err, MN_ERR_MEMORY, "no memory for the gates of %zu rows.", (size_t)rows->n_rows);
    j.step = j.decay + n;
    j.d_log_decay = j.step + n;
    j.d_step = j.d_log_decay + n;
    mn_mamba2_make_gates(c, layer, dt, dt_stride, rows->n_rows, j.decay, j.step);
    mn_matrix_rows gated = *rows;
    gated.decay = j.decay;
    gated.beta = j.step;
    mn_matrix_grad state = {g->d_out, g->d_q, g->d_k, g->d_v, j.d_log_decay, j.d_step, g->d_out_stride};
    MN_TRY(mn_matrix_state_backward(c, &layer->shape, &gated, &state, chunk, err));
    MN_TRY(sum_rows(c, &j, err));
    mn_arena_rewind(c->scratch, mark);
    return MN_OK;
}
