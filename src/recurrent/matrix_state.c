#include "recurrent/matrix_state.h"

#include "base/checked.h"
#include "recurrent/matrix_chunk.h"

#include <string.h>

enum {
    MIN_CHUNK = 16, /* rows, for which the chunked form pays */
    BLOCK = 4       /* rows of forward substitution that wait for each other */
};

/* The recurrence. */
static void take_rows(mn_matrix_run *r, int64_t begin, int64_t end) {
    const mn_matrix_state *s = r->shape;
    float *all = r->fade, *read = r->near;
    for (int64_t row = begin; row < end; row++) {
        const float *decay = mn_matrix_decay(r, row), *k = mn_matrix_k(r, row);
        mn_state_token t = {r->m,
                            s->k_dim,
                            s->v_dim,
                            decay,
                            k,
                            mn_matrix_q(r, row),
                            NULL,
                            NULL,
                            mn_matrix_v(r, row),
                            mn_matrix_beta(r, row),
                            mn_matrix_out(r, row)};
        if (s->corrects) {
            mn_matrix_fade(r, read, k, decay);
            t.read = read;
        }
        if (!s->decays_channels) {
            for (int i = 0; i < s->k_dim; i++) all[i] = *decay;
            t.decay = all;
        }
        r->kernels->recurrent.token(&t);
    }
}

/* Rows of q and k as the chunk's start sees them. */
static void fade_rows(const mn_matrix_run *r, int64_t first, int n) {
    const mn_vec_kernels *vec = &r->kernels->vec;
    int64_t dim = r->shape->k_dim;
    for (int64_t i = 0; i < dim; i++) r->fade[i] = 1;
    for (int i = 0; i < n; i++) {
        mn_matrix_fade(r, r->fade, r->fade, mn_matrix_decay(r, first + i));
        vec->mul(r->q + i * dim, mn_matrix_q(r, first + i), r->fade, dim);
        if (!r->shape->corrects) continue;
        vec->mul(r->k + i * dim, mn_matrix_k(r, first + i), r->fade, dim);
        vec->scale(r->k + i * dim, r->k + i * dim, -mn_matrix_beta(r, first + i), dim);
    }
}

/* w = beta v, and with the delta rule what is known already taken off. */
static void write_rows(const mn_matrix_run *r, int64_t first, int n) {
    const mn_recurrent_kernels *k = &r->kernels->recurrent;
    const mn_vec_kernels *vec = &r->kernels->vec;
    int64_t k_dim = r->shape->k_dim, v_dim = r->shape->v_dim, stride = r->chunk;
    for (int i = 0; i < n; i++)
        vec->scale(r->w + i * v_dim, mn_matrix_v(r, first + i), mn_matrix_beta(r, first + i), v_dim);
    if (!r->shape->corrects) return;
    for (int i = 0; i < n; i++) vec->scale(r->a + i * stride, r->a + i * stride, -mn_matrix_beta(r, first + i), i);
    k->gemm(r->w, v_dim, r->k, k_dim, r->m, v_dim, n, v_dim, k_dim);
    for (int begin = 0; begin < n; begin += BLOCK) {
        int end = MN_MIN(begin + BLOCK, n);
        k->gemm(r->w + begin * v_dim, v_dim, r->a + begin * stride, stride, r->w, v_dim, end - begin, v_dim, begin);
        for (int i = begin + 1; i < end; i++)
            for (int j = begin; j < i; j++) vec->axpy(r->w + i * v_dim, r->w + j * v_dim, r->a[i * stride + j], v_dim);
    }
}

static void read_rows(const mn_matrix_run *r, int64_t first, int n) {
    const mn_recurrent_kernels *k = &r->kernels->recurrent;
    int64_t k_dim = r->shape->k_dim, v_dim = r->shape->v_dim, stride = r->chunk, out_stride = r->rows->out_stride;
    for (int i = 0; i < n; i++) memset(mn_matrix_out(r, first + i), 0, (size_t)v_dim * sizeof(float));
    k->gemm(mn_matrix_out(r, first), out_stride, r->q, k_dim, r->m, v_dim, n, v_dim, k_dim);
    for (int begin = 0; begin < n; begin += MN_MATRIX_NEAR) {
        int end = MN_MIN(begin + MN_MATRIX_NEAR, n);
        k->gemm(mn_matrix_out(r, first + begin), out_stride, r->p + begin * stride, stride, r->w, v_dim, end - begin,
                v_dim, end);
    }
}

static void take_chunk(mn_matrix_run *r, int64_t first, int n) {
    int64_t k_dim = r->shape->k_dim, v_dim = r->shape->v_dim;
    fade_rows(r, first, n);
    mn_matrix_pairs(r, first, n);
    write_rows(r, first, n);
    read_rows(r, first, n);
    for (int64_t i = 0; i < k_dim; i++) r->kernels->vec.scale(r->m + i * v_dim, r->m + i * v_dim, r->fade[i], v_dim);
    r->kernels->recurrent.gemm(r->m, v_dim, r->k_back, r->chunk, r->w, v_dim, k_dim, v_dim, n);
}

typedef struct step {
    const mn_kernels *kernels;
    const mn_matrix_state *shape;
    const mn_matrix_rows *rows;
    float *states, *scratch;
    int chunk;
} step;

static void take_heads(void *arg, int64_t begin, int64_t end, int thread_index) {
    const step *s = arg;
    mn_matrix_run r = {.kernels = s->kernels, .shape = s->shape, .rows = s->rows, .chunk = s->chunk};
    int64_t n_rows = s->rows->n_rows;
    mn_matrix_share_out(&r, s->scratch + (size_t)thread_index * mn_matrix_run_floats(s->shape, s->chunk));
    for (int64_t head = begin; head < end; head++) {
        r.head = (int)head;
        r.m = s->states + head * s->shape->k_dim * s->shape->v_dim;
        int64_t row = 0;
        for (; s->chunk > 1 && row < n_rows; row += s->chunk) take_chunk(&r, row, (int)MN_MIN(s->chunk, n_rows - row));
        take_rows(&r, row, n_rows);
    }
}

mn_status mn_matrix_state_chunks(const mn_compute *c, const mn_matrix_state *shape, float *states,
                                 const mn_matrix_rows *rows, int chunk, mn_error *err) {
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    step s = {c->kernels, shape, rows, states, NULL, chunk};
    size_t floats = mn_matrix_run_floats(shape, chunk);
    s.scratch = mn_arena_alloc(c->scratch, (size_t)mn_pool_threads(c->pool), floats * sizeof *s.scratch);
    if (!s.scratch) return mn_fail(err, MN_ERR_MEMORY, "no memory for %zu numbers of recurrent state's work.", floats);
    mn_pool_run(c->pool, shape->n_heads, 1, take_heads, &s);
    mn_arena_rewind(c->scratch, mark);
    return MN_OK;
}

mn_status mn_matrix_state_step(const mn_compute *c, const mn_matrix_state *shape, float *states,
                               const mn_matrix_rows *rows, mn_error *err) {
    int chunk = c->exact || rows->n_rows < MIN_CHUNK ? 1 : MN_MATRIX_CHUNK;
    return mn_matrix_state_chunks(c, shape, states, rows, chunk, err);
}
