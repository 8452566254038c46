#include "recurrent/mamba2.h"

#include "kernels/kernels.h"

enum { ROWS_GRAIN = 16 };

typedef struct job {
    const mn_kernels *kernels;
    const mn_mamba2 *layer;
    const mn_matrix_rows *rows;
    const float *dt;
    int64_t dt_stride;
    float *decay, *beta;
} job;

static void make_gates(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const job *j = arg;
    int64_t n = j->layer->shape.n_heads;
    for (int64_t r = begin; r < end; r++) {
        float *decay = j->decay + r * n, *dt = j->beta + r * n;
        j->kernels->recurrent.softplus(dt, j->dt + r * j->dt_stride, j->layer->dt_bias, n);
        j->kernels->vec.mul(decay, dt, j->layer->a, n);
        j->kernels->recurrent.exp(decay, decay, n);
    }
}

/* out += d x */
static void skip_state(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const job *j = arg;
    int64_t dim = j->layer->shape.v_dim;
    for (int64_t r = begin; r < end; r++)
        for (int head = 0; head < j->layer->shape.n_heads; head++)
            j->kernels->vec.axpy(j->rows->out + r * j->rows->out_stride + head * dim,
                                 j->rows->v + r * j->rows->v_stride + head * dim, j->layer->d[head], dim);
}

void mn_mamba2_make_gates(const mn_compute *c, const mn_mamba2 *layer, const float *dt, int64_t dt_stride,
                          int64_t n_rows, float *decay, float *step) {
    job j = {.kernels = c->kernels, .layer = layer, .dt = dt, .dt_stride = dt_stride, .decay = decay, .beta = step};
    mn_pool_run(c->pool, n_rows, ROWS_GRAIN, make_gates, &j);
}

mn_status mn_mamba2_step(const mn_compute *c, const mn_mamba2 *layer, float *states, const mn_matrix_rows *rows,
                         const float *dt, int64_t dt_stride, mn_error *err) {
    size_t n = (size_t)rows->n_rows * (size_t)layer->shape.n_heads;
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    job j = {.kernels = c->kernels, .layer = layer, .rows = rows};
    float *decay = mn_arena_alloc(c->scratch, n, 2 * sizeof *decay);
    if (!decay) return mn_fail(err, MN_ERR_MEMORY, "no memory for the gates of %zu rows.", (size_t)rows->n_rows);
    mn_mamba2_make_gates(c, layer, dt, dt_stride, rows->n_rows, decay, decay + n);
    mn_matrix_rows gated = *rows;
    gated.decay = decay;
    gated.beta = decay + n;
    MN_TRY(mn_matrix_state_step(c, &layer->shape, states, &gated, err));
    mn_pool_run(c->pool, rows->n_rows, ROWS_GRAIN, skip_state, &j);
    mn_arena_rewind(c->scratch, mark);
    return MN_OK;
}

const mn_technique mn_mamba2_about = {
    .name = "Mamba-2 (state space duality)",
    .paper = "Dao and Gu 2024 (arXiv:2405.21060)",
    .file = "src/recurrent/mamba2.c",
    .test = "tests/recurrent/matrix_state_test.c",
    .exact = true,
    .training = MN_TRAINING_DONE,
};
