#include "recurrent/rwkv7.h"

#include "kernels/kernels.h"

#include <math.h>

enum { N_VECTORS = 6 };

typedef struct step {
    const mn_kernels *kernels;
    const mn_rwkv7 *layer;
    const mn_rwkv7_rows *rows;
    float *states, *scratch; /* scratch: N_VECTORS of dim for each thread */
} step;

/* One head of one row, ready for the state. */
typedef struct vectors {
    float *decay, *a, *kk, *k, *v, *back;
} vectors;

static void make_decay(const mn_kernels *k, float *out, const float *x, int64_t n) {
    const float minus_e_half = -0.606530659712633f;
    k->recurrent.sigmoid_mul(out, x, NULL, n);
    k->vec.scale(out, out, minus_e_half, n);
    k->recurrent.exp(out, out, n);
}

/* v and its share of the first layer's. */
static void make_v(const step *s, float *out, int64_t row, int64_t at) {
    const mn_rwkv7_rows *x = s->rows;
    const float *v = x->v + row * x->v_stride + at;
    int64_t n = s->layer->dim;
    s->kernels->vec.scale(out, v, 1, n);
    if (!x->v_mix) return;
    const float *mix = x->v_mix + row * x->v_mix_stride + at, *first = x->v_first + row * x->v_first_stride + at;
    for (int64_t i = 0; i < n; i++) out[i] += (first[i] - v[i]) / (1 + expf(-mix[i]));
}

static void make_keys(const step *s, const vectors *t, int64_t row, int64_t at) {
    const mn_rwkv7 *l = s->layer;
    const mn_vec_kernels *vec = &s->kernels->vec;
    const float *k = s->rows->k + row * s->rows->k_stride + at;
    int64_t n = l->dim;
    vec->mul(t->kk, k, l->k_k + at, n);
    float length = sqrtf(vec->dot(t->kk, t->kk, n));
    vec->scale(t->kk, t->kk, 1 / fmaxf(length, 1e-12f), n);
    vec->mul(t->back, t->kk, t->a, n);
    for (int64_t i = 0; i < n; i++) t->k[i] = k[i] * (1 + (t->a[i] - 1) * l->k_a[at + i]);
}

static void take_row(const step *s, const vectors *t, float *m, int64_t row, int64_t at) {
    const mn_rwkv7 *l = s->layer;
    const mn_rwkv7_rows *x = s->rows;
    const float *r = x->r + row * x->r_stride + at;
    float *out = x->out + row * x->out_stride + at, bonus = 0;
    int64_t n = l->dim;
    make_decay(s->kernels, t->decay, x->decay + row * x->decay_stride + at, n);
    s->kernels->recurrent.sigmoid_mul(t->a, x->a + row * x->a_stride + at, NULL, n);
    make_v(s, t->v, row, at);
    make_keys(s, t, row, at);
    s->kernels->recurrent.token(&(mn_state_token){m, l->dim, l->dim, t->decay, t->k, r, t->kk, t->back, t->v, 1, out});
    s->kernels->vec.layer_norm(out, out, l->norm_w + at, l->norm_b ? l->norm_b + at : NULL, l->norm_eps, n);
    for (int64_t i = 0; i < n; i++) bonus += t->k[i] * r[i] * l->r_k[at + i];
    s->kernels->vec.axpy(out, t->v, bonus, n);
}

static void take_heads(void *arg, int64_t begin, int64_t end, int thread_index) {
    const step *s = arg;
    int64_t n = s->layer->dim;
    float *scratch = s->scratch + thread_index * N_VECTORS * n;
    vectors t = {scratch, scratch + n, scratch + 2 * n, scratch + 3 * n, scratch + 4 * n, scratch + 5 * n};
    for (int64_t head = begin; head < end; head++)
        for (int64_t row = 0; row < s->rows->n_rows; row++) take_row(s, &t, s->states + head * n * n, row, head * n);
}

mn_status mn_rwkv7_step(const mn_compute *c, const mn_rwkv7 *layer, float *states, const mn_rwkv7_rows *rows,
                        mn_error *err) {
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    step s = {c->kernels, layer, rows, states, NULL};
    s.scratch =
        mn_arena_alloc(c->scratch, (size_t)mn_pool_threads(c->pool) * N_VECTORS, (size_t)layer->dim * sizeof(float));
    if (!s.scratch) return mn_fail(err, MN_ERR_MEMORY, "no memory for heads of %d dimensions.", layer->dim);
    mn_pool_run(c->pool, layer->n_heads, 1, take_heads, &s);
    mn_arena_rewind(c->scratch, mark);
    return MN_OK;
}

const mn_technique mn_rwkv7_about = {
    .name = "RWKV-7 (generalised delta rule)",
    .paper = "Peng et al. 2025 (arXiv:2503.14456)",
    .file = "src/recurrent/rwkv7.c",
    .test = "tests/session/golden_recurrent_test.c",
    .exact = true,
    .training = MN_TRAINING_DONE,
};
