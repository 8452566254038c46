#include "recurrent/rwkv7.h"

#include "base/checked.h"
#include "kernels/kernels.h"
#include "recurrent/rwkv7_chunk.h"

#include <math.h>
#include <string.h>

enum { MIN_CHUNK = 16 /* rows, for which the chunked form pays */ };

typedef struct step {
    const mn_kernels *kernels;
    const mn_rwkv7 *layer;
    const mn_rwkv7_rows *rows;
    float *states, *scratch; /* scratch: of each thread */
    int chunk;
} step;

enum { N_VECTORS = 6 };

static void make_decay(const mn_kernels *k, float *out, const float *x, int64_t n) {
    const float minus_e_half = -0.606530659712633f;
    k->recurrent.sigmoid_mul(out, x, NULL, n);
    k->vec.scale(out, out, minus_e_half, n);
    k->recurrent.exp(out, out, n);
}

/* v and its share of the first layer's. */
static void make_v(const mn_kernels *kernels, const mn_rwkv7_rows *x, float *out, int64_t row, int64_t at, int64_t n) {
    const float *v = x->v + row * x->v_stride + at;
    if (!x->v_mix) {
        memcpy(out, v, (size_t)n * sizeof *out);
        return;
    }
    kernels->recurrent.sigmoid_mul(out, x->v_mix + row * x->v_mix_stride + at, NULL, n);
    kernels->recurrent.mix(out, v, x->v_first + row * x->v_first_stride + at, out, n);
}

static void make_keys(const mn_kernels *kernels, const mn_rwkv7 *l, const mn_rwkv7_vectors *t, const float *k,
                      int64_t at) {
    const mn_vec_kernels *vec = &kernels->vec;
    int64_t n = l->dim;
    vec->mul(t->kk, k, l->k_k + at, n);
    float length = sqrtf(vec->dot(t->kk, t->kk, n));
    vec->scale(t->kk, t->kk, 1 / fmaxf(length, 1e-12f), n);
    vec->mul(t->back, t->kk, t->a, n);
    for (int64_t i = 0; i < n; i++) t->k[i] = k[i] * (1 + (t->a[i] - 1) * l->k_a[at + i]);
}

void mn_rwkv7_make_vectors(const mn_kernels *kernels, const mn_rwkv7 *l, const mn_rwkv7_rows *x, int64_t row, int head,
                           const mn_rwkv7_vectors *out) {
    int64_t n = l->dim, at = head * n;
    make_decay(kernels, out->decay, x->decay + row * x->decay_stride + at, n);
    kernels->recurrent.sigmoid_mul(out->a, x->a + row * x->a_stride + at, NULL, n);
    make_v(kernels, x, out->v, row, at, n);
    make_keys(kernels, l, out, x->k + row * x->k_stride + at, at);
}

static const float *r_at(const step *s, int64_t row, int64_t at) { return s->rows->r + row * s->rows->r_stride + at; }
static float *out_at(const step *s, int64_t row, int64_t at) { return s->rows->out + row * s->rows->out_stride + at; }

/* What the state gave, normalised, and beside the state v itself. */
static void finish_row(const step *s, const mn_rwkv7_vectors *t, int64_t row, int64_t at) {
    const mn_rwkv7 *l = s->layer;
    const float *r = r_at(s, row, at);
    float *out = out_at(s, row, at), bonus = 0;
    s->kernels->vec.layer_norm(out, out, l->norm_w + at, l->norm_b ? l->norm_b + at : NULL, l->norm_eps, l->dim);
    for (int64_t i = 0; i < l->dim; i++) bonus += t->k[i] * r[i] * l->r_k[at + i];
    s->kernels->vec.axpy(out, t->v, bonus, l->dim);
}

static mn_rwkv7_vectors row_of(const mn_rwkv7_vectors *t, int64_t at) {
    return (mn_rwkv7_vectors){t->decay + at, t->a + at, t->kk + at, t->k + at, t->v + at, t->back + at};
}

/* Rows [first, first + n) of a head, whose vectors t holds. */
static void take_state(const step *s, const mn_rwkv7_vectors *t, float *scratch, float *m, int64_t first, int n,
                       int64_t at) {
    int dim = s->layer->dim;
    if (n > 1) {
        mn_rwkv7_chunk chunk = {m,     dim,     n,    t->decay, r_at(s, first, at),   s->rows->r_stride,
                                t->kk, t->back, t->k, t->v,     out_at(s, first, at), s->rows->out_stride};
        mn_rwkv7_take_chunk(s->kernels, &chunk, scratch);
        return;
    }
    s->kernels->recurrent.token(&(mn_state_token){m, dim, dim, t->decay, t->k, r_at(s, first, at), t->kk, t->back, t->v,
                                                  1, out_at(s, first, at)});
}

static size_t scratch_floats(const step *s) {
    return (size_t)s->chunk * N_VECTORS * (size_t)s->layer->dim + mn_rwkv7_chunk_floats(s->layer->dim, s->chunk);
}

static void take_heads(void *arg, int64_t begin, int64_t end, int thread_index) {
    const step *s = arg;
    int64_t dim = s->layer->dim, n = s->chunk * dim, n_rows = s->rows->n_rows;
    float *own = s->scratch + (size_t)thread_index * scratch_floats(s);
    mn_rwkv7_vectors t = {own, own + n, own + 2 * n, own + 3 * n, own + 4 * n, own + 5 * n};
    for (int64_t head = begin; head < end; head++)
        for (int64_t first = 0; first < n_rows; first += s->chunk) {
            int here = (int)MN_MIN(s->chunk, n_rows - first);
            for (int i = 0; i < here; i++) {
                mn_rwkv7_vectors row = row_of(&t, i * dim);
                mn_rwkv7_make_vectors(s->kernels, s->layer, s->rows, first + i, (int)head, &row);
            }
            take_state(s, &t, own + N_VECTORS * n, s->states + head * dim * dim, first, here, head * dim);
            for (int i = 0; i < here; i++) {
                mn_rwkv7_vectors row = row_of(&t, i * dim);
                finish_row(s, &row, first + i, head * dim);
            }
        }
}

mn_status mn_rwkv7_chunks(const mn_compute *c, const mn_rwkv7 *layer, float *states, const mn_rwkv7_rows *rows,
                          int chunk, mn_error *err) {
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    step s = {c->kernels, layer, rows, states, NULL, chunk};
    s.scratch = mn_arena_alloc(c->scratch, (size_t)mn_pool_threads(c->pool), scratch_floats(&s) * sizeof(float));
    if (!s.scratch) return mn_fail(err, MN_ERR_MEMORY, "no memory for heads of %d dimensions.", layer->dim);
    mn_pool_run(c->pool, layer->n_heads, 1, take_heads, &s);
    mn_arena_rewind(c->scratch, mark);
    return MN_OK;
}

mn_status mn_rwkv7_step(const mn_compute *c, const mn_rwkv7 *layer, float *states, const mn_rwkv7_rows *rows,
                        mn_error *err) {
    return mn_rwkv7_chunks(c, layer, states, rows, c->exact || rows->n_rows < MIN_CHUNK ? 1 : MN_RWKV7_CHUNK, err);
}

const mn_technique mn_rwkv7_about = {
    .name = "RWKV-7 (generalised delta rule)",
    .paper = "Peng et al. 2025 (arXiv:2503.14456)",
    .file = "src/recurrent/rwkv7.c",
    .test = "tests/recurrent/rwkv7_test.c",
    .exact = true,
    .training = MN_TRAINING_DONE,
};
