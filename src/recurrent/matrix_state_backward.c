#include "recurrent/matrix_state_backward.h"

#include "base/checked.h"
#include "recurrent/matrix_chunk_backward.h"
#include "recurrent/state_backward.h"

#include <string.h>

typedef struct job {
    const mn_kernels *kernels;
    const mn_matrix_state *shape;
    const mn_matrix_rows *rows;
    const mn_matrix_grad *g;
    int chunk;
    float *d_q, *d_k; /* [n_rows, n_heads, k_dim] */
    float *work;      /* of each thread */
    size_t work_floats;
} job;

/* One head, and the memory of its thread. */
typedef struct head_run {
    const job *j;
    int head;
    float *g;                                     /* [k_dim, v_dim] */
    float *decay, *read, *d_decay, *d_read, *d_k; /* [k_dim] */
    float *u, *w, *d_w, *d_u, *known;             /* [v_dim] */
} head_run;

static int k_head_of(const mn_matrix_state *s, int head) {
    return s->tiled ? head % s->n_k_heads : head / (s->n_heads / s->n_k_heads);
}

static const float *k_at(const head_run *r, int64_t row) {
    const mn_matrix_state *s = r->j->shape;
    return r->j->rows->k + row * r->j->rows->k_stride + (int64_t)k_head_of(s, r->head) * s->k_dim;
}
static const float *q_at(const head_run *r, int64_t row) {
    const mn_matrix_state *s = r->j->shape;
    return r->j->rows->q + row * r->j->rows->q_stride + (int64_t)k_head_of(s, r->head) * s->k_dim;
}
static const float *v_at(const head_run *r, int64_t row) {
    return r->j->rows->v + row * r->j->rows->v_stride + (int64_t)r->head * r->j->shape->v_dim;
}
static int64_t gate_at(const head_run *r, int64_t row) { return row * r->j->shape->n_heads + r->head; }

/* decay of every channel, and read = decay k. */
static void make_vectors(const head_run *r, int64_t row) {
    const mn_matrix_state *s = r->j->shape;
    const float *decay = r->j->rows->decay;
    int64_t at = gate_at(r, row);
    if (s->decays_channels)
        memcpy(r->decay, decay + at * s->k_dim, (size_t)s->k_dim * sizeof *decay);
    else
        for (int i = 0; i < s->k_dim; i++) r->decay[i] = decay[at];
    r->j->kernels->vec.mul(r->read, r->decay, k_at(r, row), s->k_dim);
}

static void forward(void *arg, int64_t row, float *m) {
    const head_run *r = arg;
    const mn_matrix_state *s = r->j->shape;
    make_vectors(r, row);
    r->j->kernels->recurrent.token(&(mn_state_token){m, s->k_dim, s->v_dim, r->decay, k_at(r, row), q_at(r, row),
                                                     s->corrects ? r->read : NULL, NULL, v_at(r, row),
                                                     r->j->rows->beta[gate_at(r, row)], r->w});
}

/* w = beta (v - u), as the forward wrote it; known: what beta multiplies. */
static void make_write(const head_run *r, int64_t row, const float *before, float beta) {
    const mn_matrix_state *s = r->j->shape;
    const mn_vec_kernels *vec = &r->j->kernels->vec;
    vec->scale(r->known, v_at(r, row), 1, s->v_dim);
    if (s->corrects) {
        mn_state_read(r->j->kernels, r->u, before, r->read, s->k_dim, s->v_dim);
        vec->axpy(r->known, r->u, -1, s->v_dim);
    }
    vec->scale(r->w, r->known, beta, s->v_dim);
}

/* read = decay k passes its gradient on to both. */
static void back_read(const head_run *r, int64_t row) {
    const mn_matrix_state *s = r->j->shape;
    const float *k = k_at(r, row);
    for (int i = 0; s->corrects && i < s->k_dim; i++) {
        r->d_k[i] += r->decay[i] * r->d_read[i];
        r->d_decay[i] += k[i] * r->d_read[i];
    }
}

static void give_decay(const head_run *r, int64_t row) {
    const mn_matrix_state *s = r->j->shape;
    const mn_vec_kernels *vec = &r->j->kernels->vec;
    float *to = r->j->g->d_log_decay;
    int64_t at = gate_at(r, row);
    if (s->decays_channels)
        vec->mul(to + at * s->k_dim, r->d_decay, r->decay, s->k_dim);
    else
        to[at] = vec->dot(r->d_decay, r->decay, s->k_dim);
}

static void back(void *arg, int64_t row, const float *before, const float *after) {
    const head_run *r = arg;
    const job *j = r->j;
    const mn_matrix_state *s = j->shape;
    const mn_vec_kernels *vec = &j->kernels->vec;
    float beta = j->rows->beta[gate_at(r, row)];
    make_vectors(r, row);
    make_write(r, row, before, beta);
    float *d_q = j->d_q + gate_at(r, row) * s->k_dim;
    mn_state_token_backward(j->kernels, &(mn_state_token_grad){.n_k = s->k_dim,
                                                               .n_v = s->v_dim,
                                                               .before = before,
                                                               .after = after,
                                                               .decay = r->decay,
                                                               .k = k_at(r, row),
                                                               .q = q_at(r, row),
                                                               .read = s->corrects ? r->read : NULL,
                                                               .w = r->w,
                                                               .u = r->u,
                                                               .d_out = j->g->d_out + row * j->g->d_out_stride +
                                                                        (int64_t)r->head * s->v_dim,
                                                               .g = r->g,
                                                               .d_decay = r->d_decay,
                                                               .d_k = r->d_k,
                                                               .d_q = d_q,
                                                               .d_read = r->d_read,
                                                               .d_w = r->d_w,
                                                               .d_u = r->d_u,
                                                               .u_share = beta});
    back_read(r, row);
    memcpy(j->d_k + gate_at(r, row) * s->k_dim, r->d_k, (size_t)s->k_dim * sizeof *r->d_k);
    vec->axpy(j->g->d_v + row * j->rows->v_stride + (int64_t)r->head * s->v_dim, r->d_w, beta, s->v_dim);
    j->g->d_beta[gate_at(r, row)] = vec->dot(r->d_w, r->known, s->v_dim);
    give_decay(r, row);
}

static size_t walk_floats(const mn_matrix_state *s, int64_t n_rows, int chunk) {
    size_t n_m = (size_t)s->k_dim * (size_t)s->v_dim;
    return n_m + 5 * (size_t)s->k_dim + 5 * (size_t)s->v_dim + mn_state_walk_floats(n_rows, chunk, n_m);
}

static void walk_heads(void *arg, int64_t begin, int64_t end, int thread_index) {
    const job *j = arg;
    const mn_matrix_state *s = j->shape;
    int64_t k = s->k_dim, v = s->v_dim;
    float *at = j->work + (size_t)thread_index * j->work_floats;
    head_run r = {.j = j, .g = at};
    float **const of_k[] = {&r.decay, &r.read, &r.d_decay, &r.d_read, &r.d_k};
    float **const of_v[] = {&r.u, &r.w, &r.d_w, &r.d_u, &r.known};
    at += k * v;
    for (int i = 0; i < 5; i++, at += k) *of_k[i] = at;
    for (int i = 0; i < 5; i++, at += v) *of_v[i] = at;
    for (int64_t head = begin; head < end; head++) {
        r.head = (int)head;
        memset(r.g, 0, (size_t)(k * v) * sizeof *r.g);
        mn_state_walk_back(&(mn_state_walk){j->rows->n_rows, j->chunk, (size_t)(k * v), at, &r, forward, back});
    }
}

static void take_chunks(void *arg, int64_t begin, int64_t end, int thread_index) {
    const job *j = arg;
    const mn_matrix_state *s = j->shape;
    float *work = j->work + (size_t)thread_index * j->work_floats;
    for (int64_t head = begin; head < end; head++) {
        mn_matrix_head_grad g = {j->g, j->d_q, j->d_k};
        mn_matrix_chunk_backward(j->kernels, s, j->rows, (int)head, j->chunk, &g, work);
    }
}

/* Heads of a key head, one after the other. */
static void sum_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const job *j = arg;
    const mn_matrix_state *s = j->shape;
    const mn_vec_kernels *vec = &j->kernels->vec;
    for (int64_t row = begin; row < end; row++)
        for (int head = 0; head < s->n_heads; head++) {
            int64_t from = (row * s->n_heads + head) * s->k_dim, to = (int64_t)k_head_of(s, head) * s->k_dim;
            float *d_q = j->g->d_q + row * j->rows->q_stride + to, *d_k = j->g->d_k + row * j->rows->k_stride + to;
            vec->add(d_q, d_q, j->d_q + from, s->k_dim);
            vec->add(d_k, d_k, j->d_k + from, s->k_dim);
        }
}

mn_status mn_matrix_state_backward(const mn_compute *c, const mn_matrix_state *s, const mn_matrix_rows *rows,
                                   const mn_matrix_grad *g, int chunk, mn_error *err) {
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    size_t n = (size_t)rows->n_rows * (size_t)s->n_heads;
    job j = {.kernels = c->kernels, .shape = s, .rows = rows, .g = g, .chunk = chunk};
    j.work_floats =
        c->exact ? walk_floats(s, rows->n_rows, chunk) : mn_matrix_chunk_backward_floats(s, rows->n_rows, chunk);
    j.d_q = mn_arena_alloc(c->scratch, n, (size_t)s->k_dim * sizeof *j.d_q);
    j.d_k = mn_arena_alloc(c->scratch, n, (size_t)s->k_dim * sizeof *j.d_k);
    j.work = mn_arena_alloc(c->scratch, (size_t)mn_pool_threads(c->pool), j.work_floats * sizeof *j.work);
    if (!j.d_q || !j.d_k || !j.work)
        return mn_fail(err, MN_ERR_MEMORY, "no memory for the backward of states of %d by %d.", s->k_dim, s->v_dim);
    mn_pool_run(c->pool, s->n_heads, 1, c->exact ? walk_heads : take_chunks, &j);
    mn_pool_run(c->pool, rows->n_rows, 16, sum_rows, &j);
    mn_arena_rewind(c->scratch, mark);
    return MN_OK;
}
