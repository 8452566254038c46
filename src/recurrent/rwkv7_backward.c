#include "recurrent/rwkv7_backward.h"

#include "base/checked.h"
#include "kernels/kernels.h"
#include "recurrent/rwkv7_chunk_backward.h"

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

/* One head, and the memory of its thread. t, d and d_r are of the row under way; d: the gradients of what t holds, of
 * which decay is that of the logarithm. */
typedef struct head_run {
    const job *j;
    int head;
    float *states, *m, *d_m;         /* before each chunk; [dim, dim] twice */
    mn_rwkv7_vectors rows_t, rows_d; /* [chunk, dim] each */
    float *rows_d_r, *rows_o, *rows_d_o;
    float *d_w; /* [2 chunk, dim] */
    float *chunk, *chunk_back;
    mn_rwkv7_vectors t, d;
    float *d_r;
} head_run;

enum { N_ROW_VECTORS = 14 }; /* d_w counts twice, and its first half is d.v */

/* Where the head of a row of one of the operands, or of its gradient, lies. */
#define AT(p, stride) ((p) + row * (stride) + (int64_t)r->head * r->j->layer->dim)

/* A weight's gradient for this head, or NULL. */
static float *of_head(const head_run *r, float *d_weight) {
    return d_weight ? d_weight + (int64_t)r->head * r->j->layer->dim : NULL;
}

/* The norm of what the state gave a row of the chunk. */
static void back_norm(const head_run *r, int64_t row, int64_t at) {
    const job *j = r->j;
    const mn_rwkv7 *l = j->layer;
    j->kernels->vec_backward.layer_norm(r->rows_d_o + at, false, of_head(r, j->g->d_norm_w), of_head(r, j->g->d_norm_b),
                                        r->rows_o + at, AT(j->g->d_out, j->g->d_out_stride),
                                        l->norm_w + (int64_t)r->head * l->dim, l->norm_eps, l->dim);
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
        d_decay[i] += r->d.decay[i] * -0.606530659712633f * s * (1 - s);
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

static mn_rwkv7_vectors row_of(const mn_rwkv7_vectors *t, int64_t at) {
    return (mn_rwkv7_vectors){t->decay + at, t->a + at, t->kk + at, t->k + at, t->v + at, t->back + at};
}

static mn_rwkv7_chunk chunk_of(const head_run *r, int64_t first, int n) {
    const mn_rwkv7_vectors *t = &r->rows_t;
    const mn_rwkv7_rows *x = r->j->rows;
    int dim = r->j->layer->dim;
    return (mn_rwkv7_chunk){r->m,        dim,   n,       t->decay, x->r + first * x->r_stride + (int64_t)r->head * dim,
                            x->r_stride, t->kk, t->back, t->k,     t->v,
                            r->rows_o,   dim};
}

/* A chunk's vectors and what its state gave; m moves on. */
static mn_rwkv7_chunk take_chunk(const head_run *r, int64_t first, int n) {
    const job *j = r->j;
    for (int i = 0; i < n; i++) {
        mn_rwkv7_vectors row = row_of(&r->rows_t, (int64_t)i * j->layer->dim);
        mn_rwkv7_make_vectors(j->kernels, j->layer, j->rows, first + i, r->head, &row);
    }
    mn_rwkv7_chunk chunk = chunk_of(r, first, n);
    mn_rwkv7_take_chunk(j->kernels, &chunk, r->chunk);
    return chunk;
}

/* What the state took from a row, on to its projections. */
static void back_row(head_run *r, int64_t row, int64_t at) {
    const job *j = r->j;
    float *d_r = AT(j->g->d_r, j->rows->r_stride);
    r->t = row_of(&r->rows_t, at);
    r->d = row_of(&r->rows_d, at);
    r->d_r = r->rows_d_r + at;
    back_beside(r, row);
    back_keys(r, row);
    back_gates(r, row);
    back_v(r, row);
    j->kernels->vec.add(d_r, d_r, r->d_r, j->layer->dim);
}

static size_t state_floats(const mn_rwkv7 *l) { return (size_t)l->dim * (size_t)l->dim; }

static void back_chunk(head_run *r, int64_t first, int n) {
    const job *j = r->j;
    int64_t dim = j->layer->dim;
    const float *before = r->states + first / j->chunk * dim * dim;
    memcpy(r->m, before, state_floats(j->layer) * sizeof *r->m);
    mn_rwkv7_chunk chunk = take_chunk(r, first, n);
    mn_rwkv7_parts parts = mn_rwkv7_parts_of(&chunk, r->chunk);
    for (int i = 0; i < n; i++) back_norm(r, first + i, i * dim);
    mn_rwkv7_chunk_grad g = {.chunk = &chunk,
                             .parts = &parts,
                             .before = before,
                             .d_out = r->rows_d_o,
                             .d_m = r->d_m,
                             .d_log_decay = r->rows_d.decay,
                             .d_r = r->rows_d_r,
                             .d_kk = r->rows_d.kk,
                             .d_back = r->rows_d.back,
                             .d_w = r->d_w,
                             .d_k = r->rows_d.k};
    mn_rwkv7_chunk_backward(j->kernels, &g, r->chunk_back);
    r->rows_d.v = r->d_w;
    for (int i = n - 1; i >= 0; i--) back_row(r, first + i, i * dim);
}

static int64_t n_chunks(const job *j) { return (j->rows->n_rows + j->chunk - 1) / j->chunk; }

static size_t work_floats(const job *j) {
    size_t states = (size_t)n_chunks(j) + 2, n = (size_t)j->chunk;
    int dim = j->layer->dim;
    return states * state_floats(j->layer) + (N_ROW_VECTORS + 2) * n * (size_t)dim +
           mn_rwkv7_chunk_floats(dim, j->chunk) + mn_rwkv7_chunk_backward_floats(dim, j->chunk);
}

static void share_out(head_run *r, float *at) {
    int64_t n = r->j->chunk, dim = r->j->layer->dim;
    float **const rows[N_ROW_VECTORS] = {&r->rows_t.decay, &r->rows_t.a,     &r->rows_t.kk, &r->rows_t.k,  &r->rows_t.v,
                                         &r->rows_t.back,  &r->rows_d.decay, &r->rows_d.a,  &r->rows_d.kk, &r->rows_d.k,
                                         &r->rows_d.back,  &r->rows_d_r,     &r->rows_o,    &r->rows_d_o};
    r->states = at;
    r->m = at + n_chunks(r->j) * dim * dim;
    r->d_m = r->m + dim * dim;
    at = r->d_m + dim * dim;
    for (int i = 0; i < N_ROW_VECTORS; i++, at += n * dim) *rows[i] = at;
    r->d_w = at;
    r->chunk = at + 2 * n * dim;
    r->chunk_back = r->chunk + mn_rwkv7_chunk_floats((int)dim, (int)n);
}

static void back_head(head_run *r) {
    const job *j = r->j;
    size_t n_m = state_floats(j->layer), bytes = n_m * sizeof *r->m;
    int64_t n_rows = j->rows->n_rows;
    memset(r->m, 0, bytes);
    for (int64_t first = 0; first < n_rows; first += j->chunk) {
        memcpy(r->states + (size_t)(first / j->chunk) * n_m, r->m, bytes);
        take_chunk(r, first, (int)MN_MIN(j->chunk, n_rows - first));
    }
    memset(r->d_m, 0, bytes);
    for (int64_t i = n_chunks(j) - 1; i >= 0; i--)
        back_chunk(r, i * j->chunk, (int)MN_MIN(j->chunk, n_rows - i * j->chunk));
}

static void run_heads(void *arg, int64_t begin, int64_t end, int thread_index) {
    const job *j = arg;
    head_run r = {.j = j};
    share_out(&r, j->work + (size_t)thread_index * j->work_floats);
    for (int64_t head = begin; head < end; head++) {
        r.head = (int)head;
        back_head(&r);
    }
}

mn_status mn_rwkv7_backward(const mn_compute *c, const mn_rwkv7 *layer, const mn_rwkv7_rows *rows,
                            const mn_rwkv7_grad *g, int chunk, mn_error *err) {
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    job j = {.kernels = c->kernels, .layer = layer, .rows = rows, .g = g, .chunk = chunk};
    j.work_floats = work_floats(&j);
    j.work = mn_arena_alloc(c->scratch, (size_t)mn_pool_threads(c->pool), j.work_floats * sizeof *j.work);
    if (!j.work) return mn_fail(err, MN_ERR_MEMORY, "no memory for the backward of heads of %d.", layer->dim);
    mn_pool_run(c->pool, layer->n_heads, 1, run_heads, &j);
    mn_arena_rewind(c->scratch, mark);
    return MN_OK;
}
