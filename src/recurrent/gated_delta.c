#include "recurrent/gated_delta.h"

#include "kernels/kernels.h"

enum { ROWS_GRAIN = 16 };

typedef struct gating {
    const mn_kernels *kernels;
    const mn_gated_delta *layer;
    const mn_delta_gates *gates;
    float *decay, *beta;
} gating;

/* The numbers of all heads of a row, side by side. */
static const float *gather(const gating *g, float *out, const float *x) {
    if (g->gates->group == 0) return x;
    for (int head = 0; head < g->layer->shape.n_heads; head++) out[head] = x[mn_delta_gate_at(g->gates, head)];
    return out;
}

/* Factors e^g of a row; n for each head. */
static void make_decay(const gating *g, float *out, const float *x) {
    const mn_matrix_state *s = &g->layer->shape;
    int64_t n = s->decays_channels ? s->k_dim : 1, all = s->n_heads * n;
    g->kernels->recurrent.softplus(out, n == 1 ? gather(g, out, x) : x, g->layer->dt_bias, all);
    if (n == 1) g->kernels->vec.mul(out, out, g->layer->a, all);
    for (int head = 0; n > 1 && head < s->n_heads; head++)
        g->kernels->vec.scale(out + head * n, out + head * n, g->layer->a[head], n);
    g->kernels->recurrent.exp(out, out, all);
}

static void make_gates(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const gating *g = arg;
    const mn_matrix_state *s = &g->layer->shape;
    int64_t n = (int64_t)s->n_heads * (s->decays_channels ? s->k_dim : 1);
    for (int64_t r = begin; r < end; r++) {
        make_decay(g, g->decay + r * n, g->gates->decay + r * g->gates->decay_stride);
        float *beta = g->beta + r * s->n_heads;
        g->kernels->recurrent.sigmoid_mul(beta, gather(g, beta, g->gates->beta + r * g->gates->beta_stride), NULL,
                                          s->n_heads);
    }
}

void mn_delta_make_gates(const mn_compute *c, const mn_gated_delta *layer, const mn_delta_gates *gates, int64_t n_rows,
                         float *decay, float *beta) {
    gating g = {c->kernels, layer, gates, decay, beta};
    mn_pool_run(c->pool, n_rows, ROWS_GRAIN, make_gates, &g);
}

mn_status mn_gated_delta_step(const mn_compute *c, const mn_gated_delta *layer, float *states,
                              const mn_matrix_rows *rows, const mn_delta_gates *gates, mn_error *err) {
    const mn_matrix_state *s = &layer->shape;
    size_t per_row = (size_t)s->n_heads * (s->decays_channels ? (size_t)s->k_dim : 1), n = (size_t)rows->n_rows;
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    float *decay = mn_arena_alloc(c->scratch, n, per_row * sizeof *decay);
    float *beta = mn_arena_alloc(c->scratch, n, (size_t)s->n_heads * sizeof *beta);
    if (!decay || !beta) return mn_fail(err, MN_ERR_MEMORY, "no memory for the gates of %zu rows.", n);
    mn_delta_make_gates(c, layer, gates, rows->n_rows, decay, beta);
    mn_matrix_rows gated = *rows;
    gated.decay = decay;
    gated.beta = beta;
    MN_TRY(mn_matrix_state_step(c, s, states, &gated, err));
    mn_arena_rewind(c->scratch, mark);
    return MN_OK;
}

const mn_technique mn_gated_delta_about = {
    .name = "gated delta rule",
    .paper = "Yang et al. 2024 (arXiv:2412.06464)",
    .file = "src/recurrent/gated_delta.c",
    .test = "tests/recurrent/matrix_state_test.c",
    .exact = true,
    .training = MN_TRAINING_DONE,
};

const mn_technique mn_kda_about = {
    .name = "Kimi delta attention (a decay for each channel)",
    .paper = "Kimi Team 2025 (arXiv:2510.26692)",
    .file = "src/recurrent/gated_delta.c",
    .test = "tests/recurrent/matrix_state_test.c",
    .exact = true,
    .training = MN_TRAINING_DONE,
};
