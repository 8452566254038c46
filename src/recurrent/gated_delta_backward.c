#include "recurrent/gated_delta_backward.h"

#include "kernels/kernels.h"
#include "kernels/row_sums.h"

#include <math.h>

/* Gates and their gradients, without gaps. */
typedef struct job {
    const mn_kernels *kernels;
    const mn_gated_delta *layer;
    const mn_delta_gates *gates;
    const mn_delta_grad *g;
    int64_t n_decays; /* of a row */
    float *decay, *beta, *d_log_decay, *d_beta;
} job;

static void back_betas(const job *j, int64_t row) {
    const float *beta = j->beta + row * j->layer->shape.n_heads;
    const float *d_beta = j->d_beta + row * j->layer->shape.n_heads;
    float *to = j->g->d_gate_beta + row * j->gates->beta_stride;
    for (int h = 0; h < j->layer->shape.n_heads; h++)
        to[mn_delta_gate_at(j->gates, h)] += d_beta[h] * beta[h] * (1 - beta[h]);
}

/* sums: those of dt_bias, then those of a. */
static void back_gates(const void *arg, int64_t begin, int64_t end, float *sums) {
    const job *j = arg;
    int64_t n = j->n_decays, per_head = n / j->layer->shape.n_heads;
    for (int64_t row = begin; row < end; row++) {
        const float *x = j->gates->decay + row * j->gates->decay_stride;
        float *to = j->g->d_gate_decay + row * j->gates->decay_stride;
        for (int64_t i = 0; i < n; i++) {
            int64_t at = per_head == 1 ? mn_delta_gate_at(j->gates, i) : i;
            float z = x[at] + j->layer->dt_bias[i], a = j->layer->a[i / per_head];
            float d_g = j->d_log_decay[row * n + i], d_x = d_g * a / (1 + expf(-z));
            to[at] += d_x;
            sums[i] += d_x;
            sums[n + i / per_head] += d_g * (z > 30 ? z : log1pf(expf(z)));
        }
        back_betas(j, row);
    }
}

static mn_status sum_gates(const mn_compute *c, job *j, int64_t n_rows, mn_error *err) {
    int64_t n_heads = j->layer->shape.n_heads, n = j->n_decays;
    float *sums = mn_arena_zalloc(c->scratch, (size_t)(n + n_heads), sizeof *sums);
    if (!sums) return mn_fail(err, MN_ERR_MEMORY, "no memory for the gradients of %lld gates.", (long long)n);
    MN_TRY(mn_row_sums(c, sums, n + n_heads, n_rows, back_gates, j, err));
    if (j->g->d_dt_bias) c->kernels->vec.add(j->g->d_dt_bias, j->g->d_dt_bias, sums, n);
    if (j->g->d_a) c->kernels->vec.add(j->g->d_a, j->g->d_a, sums + n, n_heads);
    return MN_OK;
}

mn_status mn_gated_delta_backward(const mn_compute *c, const mn_gated_delta *layer, const mn_matrix_rows *rows,
                                  const mn_delta_gates *gates, const mn_delta_grad *g, int chunk, mn_error *err) {
    const mn_matrix_state *s = &layer->shape;
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    job j = {.kernels = c->kernels, .layer = layer, .gates = gates, .g = g};
    j.n_decays = (int64_t)s->n_heads * (s->decays_channels ? s->k_dim : 1);
    size_t n = (size_t)rows->n_rows, decay_bytes = (size_t)j.n_decays * sizeof(float);
    j.decay = mn_arena_alloc(c->scratch, n, decay_bytes);
    j.d_log_decay = mn_arena_alloc(c->scratch, n, decay_bytes);
    j.beta = mn_arena_alloc(c->scratch, n, (size_t)s->n_heads * sizeof(float));
    j.d_beta = mn_arena_alloc(c->scratch, n, (size_t)s->n_heads * sizeof(float));
    if (!j.decay || !j.d_log_decay || !j.beta || !j.d_beta)
        return mn_fail(err, MN_ERR_MEMORY, "no memory for the gates of %zu rows.", n);
    mn_delta_make_gates(c, layer, gates, rows->n_rows, j.decay, j.beta);
    mn_matrix_rows gated = *rows;
    gated.decay = j.decay;
    gated.beta = j.beta;
    mn_matrix_grad state = {g->d_out, g->d_q, g->d_k, g->d_v, j.d_log_decay, j.d_beta, g->d_out_stride};
    MN_TRY(mn_matrix_state_backward(c, s, &gated, &state, chunk, err));
    MN_TRY(sum_gates(c, &j, rows->n_rows, err));
    mn_arena_rewind(c->scratch, mark);
    return MN_OK;
}
