#include "recurrent/rwkv7_backward.h"

#include "kernels/kernels.h"
#include "recurrent/state_backward.h"

#include <math.h>
#include <string.h>

typedef struct job {
    const mn_kernels *kernels;
    const mn_rwkv7 *layer;
    const mn_rwkv7_rows *rows;
    const mn_rwkv7_grad *g;
    int chunk;
    float *work; /* of each thread */
    size_t work_floats;
} job;

/* One head, and the memory of its thread: vectors of dim. d: the gradients of what t holds. */
typedef struct head_run {
    const job *j;
    int head;
    float *g; /* [dim, dim] */
    mn_rwkv7_vectors t, d;
    float *u, *d_u, *d_r, *o, *d_o;
} head_run;

enum { N_VECTORS = 17 };

/* Where the head of a row of one of the operands, or of its gradient, lies. */
#define AT(p, stride) ((p) + row * (stride) + (int64_t)r->head * r->j->layer->dim)

static void forward(void *arg, int64_t row, float *m) {
    const head_run *r = arg;
    const job *j = r->j;
    int dim = j->layer->dim;
    mn_rwkv7_make_vectors(j->kernels, j->layer, j->rows, row, r->head, &r->t);
    j->kernels->recurrent.token(&(mn_state_token){m, dim, dim, r->t.decay, r->t.k, AT(j->rows->r, j->rows->r_stride),
                                                  r->t.kk, r->t.back, r->t.v, 1, r->o});
}

/* A weight's gradient for this head, or NULL. */
static float *of_head(const head_run *r, float *d_weight) {
    return d_weight ? d_weight + (int64_t)r->head * r->j->layer->dim : NULL;
}

/* The norm of what the state gave. */
static void back_norm(const head_run *r, int64_t row, const float *after) {
    const job *j = r->j;
    const mn_rwkv7 *l = j->layer;
    mn_state_read(j->kernels, r->o, after, AT(j->rows->r, j->rows->r_stride), l->dim, l->dim);
    j->kernels->vec_backward.layer_norm(r->d_o, false, of_head(r, j->g->d_norm_w), of_head(r, j->g->d_norm_b), r->o,
                                        AT(j->g->d_out, j->g->d_out_stride), l->norm_w + (int64_t)r->head * l->dim,
                                        l->norm_eps, l->dim);
}

/* (sum k r r_k) v, which passes the state by: added to what the state gave k, r and v. */
static void back_beside(const head_run *r, int64_t row) {
    const job *j = r->j;
    const mn_vec_kernels *vec = &j->kernels->vec;
    int64_t dim = j->layer->dim;
    const float *d_out = AT(j->g->d_out, j->g->d_out_stride), *in = AT(j->rows->r, j->rows->r_stride);
    const float *share = j->layer->r_k + r->head * dim;
    float *d_r_k = of_head(r, j->g->d_r_k), sum = 0, d_sum = vec->dot(d_out, r->t.v, dim);
    for (int64_t i = 0; i < dim; i++) {
        sum += r->t.k[i] * in[i] * share[i];
        r->d.k[i] += d_sum * in[i] * share[i];
        r->d_r[i] += d_sum * r->t.k[i] * share[i];
        if (d_r_k) d_r_k[i] += d_sum * r->t.k[i] * in[i];
    }
    vec->axpy(r->d.v, d_out, sum, dim);
}

static void back_state(const head_run *r, int64_t row, const float *before, const float *after) {
    const job *j = r->j;
    int dim = j->layer->dim;
    mn_state_read(j->kernels, r->u, before, r->t.kk, dim, dim);
    mn_state_token_backward(j->kernels, &(mn_state_token_grad){.n_k = dim,
                                                               .n_v = dim,
                                                               .before = before,
                                                               .after = after,
                                                               .decay = r->t.decay,
                                                               .k = r->t.k,
                                                               .q = AT(j->rows->r, j->rows->r_stride),
                                                               .read = r->t.kk,
                                                               .back = r->t.back,
                                                               .w = r->t.v,
                                                               .u = r->u,
                                                               .d_out = r->d_o,
                                                               .g = r->g,
                                                               .d_decay = r->d.decay,
                                                               .d_k = r->d.k,
                                                               .d_q = r->d_r,
                                                               .d_read = r->d.kk,
                                                               .d_back = r->d.back,
                                                               .d_w = r->d.v,
                                                               .d_u = r->d_u});
}

/* back = kk a,  k' = k (1 + (a - 1) k_a),  kk = k k_k / |k k_k| */
static void back_keys(const head_run *r, int64_t row) {
    const job *j = r->j;
    const mn_rwkv7 *l = j->layer;
    int64_t dim = l->dim, at = r->head * dim;
    const float *k = AT(j->rows->k, j->rows->k_stride), *k_k = l->k_k + at, *k_a = l->k_a + at;
    float *d_k = AT(j->g->d_k, j->rows->k_stride), *d_k_k = of_head(r, j->g->d_k_k), *d_k_a = of_head(r, j->g->d_k_a);
    float square = 0, along = 0;
    for (int64_t i = 0; i < dim; i++) {
        r->d.a[i] = r->d.back[i] * r->t.kk[i] + r->d.k[i] * k[i] * k_a[i];
        r->d.kk[i] += r->d.back[i] * r->t.a[i];
        square += k[i] * k_k[i] * k[i] * k_k[i];
        along += r->d.kk[i] * r->t.kk[i];
        d_k[i] += r->d.k[i] * (1 + (r->t.a[i] - 1) * k_a[i]);
        if (d_k_a) d_k_a[i] += r->d.k[i] * k[i] * (r->t.a[i] - 1);
    }
    float inverse = 1 / fmaxf(sqrtf(square), 1e-12f);
    for (int64_t i = 0; i < dim; i++) {
        float d = (r->d.kk[i] - r->t.kk[i] * along) * inverse;
        d_k[i] += d * k_k[i];
        if (d_k_k) d_k_k[i] += d * k[i];
    }
}

static void back_gates(const head_run *r, int64_t row) {
    const job *j = r->j;
    const float *decay = AT(j->rows->decay, j->rows->decay_stride);
    float *d_decay = AT(j->g->d_decay, j->rows->decay_stride), *d_a = AT(j->g->d_a, j->rows->a_stride);
    for (int64_t i = 0; i < j->layer->dim; i++) {
        float s = 1 / (1 + expf(-decay[i]));
        d_decay[i] += r->d.decay[i] * r->t.decay[i] * -0.606530659712633f * s * (1 - s);
        d_a[i] += r->d.a[i] * r->t.a[i] * (1 - r->t.a[i]);
    }
}

/* v' = v + (v_first - v) sigmoid(v_mix) */
static void back_v(const head_run *r, int64_t row) {
    const job *j = r->j;
    const mn_rwkv7_rows *x = j->rows;
    const float *v = AT(x->v, x->v_stride);
    float *d_v = AT(j->g->d_v, x->v_stride);
    int64_t dim = j->layer->dim;
    if (!x->v_mix) {
        j->kernels->vec.add(d_v, d_v, r->d.v, dim);
        return;
    }
    const float *mix = AT(x->v_mix, x->v_mix_stride), *first = AT(x->v_first, x->v_first_stride);
    float *d_mix = AT(j->g->d_v_mix, x->v_mix_stride), *d_first = AT(j->g->d_v_first, x->v_first_stride);
    for (int64_t i = 0; i < dim; i++) {
        float s = 1 / (1 + expf(-mix[i]));
        d_v[i] += r->d.v[i] * (1 - s);
        d_first[i] += r->d.v[i] * s;
        d_mix[i] += r->d.v[i] * (first[i] - v[i]) * s * (1 - s);
    }
}

static void back(void *arg, int64_t row, const float *before, const float *after) {
    const head_run *r = arg;
    const job *j = r->j;
    float *d_r = AT(j->g->d_r, j->rows->r_stride);
    mn_rwkv7_make_vectors(j->kernels, j->layer, j->rows, row, r->head, &r->t);
    back_norm(r, row, after);
    back_state(r, row, before, after);
    back_beside(r, row);
    back_keys(r, row);
    back_gates(r, row);
    back_v(r, row);
    j->kernels->vec.add(d_r, d_r, r->d_r, j->layer->dim);
}

static size_t state_floats(const mn_rwkv7 *l) { return (size_t)l->dim * (size_t)l->dim; }

static void run_heads(void *arg, int64_t begin, int64_t end, int thread_index) {
    const job *j = arg;
    int64_t dim = j->layer->dim;
    float *at = j->work + (size_t)thread_index * j->work_floats;
    head_run r = {.j = j, .g = at};
    float **const vectors[N_VECTORS] = {&r.t.decay, &r.t.a, &r.t.kk, &r.t.k, &r.t.v, &r.t.back,
                                        &r.d.decay, &r.d.a, &r.d.kk, &r.d.k, &r.d.v, &r.d.back,
                                        &r.u,       &r.d_u, &r.d_r,  &r.o,   &r.d_o};
    at += state_floats(j->layer);
    for (int i = 0; i < N_VECTORS; i++, at += dim) *vectors[i] = at;
    for (int64_t head = begin; head < end; head++) {
        r.head = (int)head;
        memset(r.g, 0, state_floats(j->layer) * sizeof *r.g);
        mn_state_walk_back(&(mn_state_walk){j->rows->n_rows, j->chunk, state_floats(j->layer), at, &r, forward, back});
    }
}

mn_status mn_rwkv7_backward(const mn_compute *c, const mn_rwkv7 *layer, const mn_rwkv7_rows *rows,
                            const mn_rwkv7_grad *g, int chunk, mn_error *err) {
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    job j = {.kernels = c->kernels, .layer = layer, .rows = rows, .g = g, .chunk = chunk};
    j.work_floats = state_floats(layer) + N_VECTORS * (size_t)layer->dim +
                    mn_state_walk_floats(rows->n_rows, chunk, state_floats(layer));
    j.work = mn_arena_alloc(c->scratch, (size_t)mn_pool_threads(c->pool), j.work_floats * sizeof *j.work);
    if (!j.work) return mn_fail(err, MN_ERR_MEMORY, "no memory for the backward of heads of %d.", layer->dim);
    mn_pool_run(c->pool, layer->n_heads, 1, run_heads, &j);
    mn_arena_rewind(c->scratch, mark);
    return MN_OK;
}
