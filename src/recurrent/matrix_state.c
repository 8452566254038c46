#include "recurrent/matrix_state.h"

#include "base/checked.h"
#include "kernels/kernels.h"

#include <string.h>

enum {
    MIN_CHUNK = 16, /* rows, for which the chunked form pays */
    BLOCK = 4,      /* rows of forward substitution that wait for each other */
    NEAR = 16       /* rows whose pairs are multiplied one by one where channels decay apart */
};

/* One head of some rows, and the scratch of the thread that computes it. */
typedef struct head_run {
    const mn_kernels *kernels;
    const mn_matrix_state *shape;
    const mn_matrix_rows *rows;
    int head, chunk;
    float *m;
    float *q, *k;           /* F_i q_i, and -beta_i F_i k_i: [chunk, k_dim] */
    float *k_cols, *k_back; /* k_j, and F_nj k_j: [k_dim, chunk] */
    float *a, *p;           /* -beta_i k_i F_ij k_j, and q_i F_ij k_j: [chunk, chunk] */
    float *w;               /* [chunk, v_dim] */
    float *fade;            /* F_n: [k_dim] */
    float *near;            /* [NEAR + 1, k_dim], and at least [chunk] */
} head_run;

static size_t scratch_floats(const mn_matrix_state *s, int chunk) {
    size_t n = (size_t)chunk, k = (size_t)s->k_dim;
    return 4 * n * k + 2 * n * n + n * (size_t)s->v_dim + k + (NEAR + 1) * k + n;
}

static void share_out(head_run *r, float *scratch) {
    int64_t n = r->chunk, k = r->shape->k_dim;
    r->q = scratch;
    r->k = r->q + n * k;
    r->k_cols = r->k + n * k;
    r->k_back = r->k_cols + n * k;
    r->a = r->k_back + n * k;
    r->p = r->a + n * n;
    r->w = r->p + n * n;
    r->fade = r->w + n * r->shape->v_dim;
    r->near = r->fade + k;
}

static int64_t k_head(const head_run *r) {
    const mn_matrix_state *s = r->shape;
    return s->tiled ? r->head % s->n_k_heads : r->head / (s->n_heads / s->n_k_heads);
}

static const float *q_at(const head_run *r, int64_t row) {
    return r->rows->q + row * r->rows->q_stride + k_head(r) * r->shape->k_dim;
}
static const float *k_at(const head_run *r, int64_t row) {
    return r->rows->k + row * r->rows->k_stride + k_head(r) * r->shape->k_dim;
}
static const float *v_at(const head_run *r, int64_t row) {
    return r->rows->v + row * r->rows->v_stride + (int64_t)r->head * r->shape->v_dim;
}
static float *out_at(const head_run *r, int64_t row) {
    return r->rows->out + row * r->rows->out_stride + (int64_t)r->head * r->shape->v_dim;
}
static float beta_at(const head_run *r, int64_t row) { return r->rows->beta[row * r->shape->n_heads + r->head]; }
/* The factors of a row: one, or k_dim of them. */
static const float *decay_at(const head_run *r, int64_t row) {
    int64_t n = r->shape->decays_channels ? r->shape->k_dim : 1;
    return r->rows->decay + (row * r->shape->n_heads + r->head) * n;
}

/* out = d x, for the factors of a row. */
static void fade_row(const head_run *r, float *out, const float *x, const float *decay) {
    int64_t n = r->shape->k_dim;
    if (r->shape->decays_channels)
        r->kernels->vec.mul(out, x, decay, n);
    else
        r->kernels->vec.scale(out, x, *decay, n);
}

/* The recurrence. */
static void take_rows(head_run *r, int64_t begin, int64_t end) {
    const mn_matrix_state *s = r->shape;
    float *all = r->fade, *read = r->near;
    for (int64_t row = begin; row < end; row++) {
        const float *decay = decay_at(r, row), *k = k_at(r, row);
        mn_state_token t = {r->m, s->k_dim,     s->v_dim,        decay,         k, q_at(r, row), NULL,
                            NULL, v_at(r, row), beta_at(r, row), out_at(r, row)};
        if (s->corrects) {
            fade_row(r, read, k, decay);
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
static void fade_rows(const head_run *r, int64_t first, int n) {
    const mn_vec_kernels *vec = &r->kernels->vec;
    int64_t dim = r->shape->k_dim;
    for (int64_t i = 0; i < dim; i++) r->fade[i] = 1;
    for (int i = 0; i < n; i++) {
        fade_row(r, r->fade, r->fade, decay_at(r, first + i));
        vec->mul(r->q + i * dim, q_at(r, first + i), r->fade, dim);
        if (!r->shape->corrects) continue;
        vec->mul(r->k + i * dim, k_at(r, first + i), r->fade, dim);
        vec->scale(r->k + i * dim, r->k + i * dim, -beta_at(r, first + i), dim);
    }
}

/* One decay for all channels: pairs are a product, and F_ij a number. Row i of the factors is row i - 1 times d_i. */
static void pair_by_head(const head_run *r, int64_t first, int n) {
    const mn_recurrent_kernels *k = &r->kernels->recurrent;
    const mn_vec_kernels *vec = &r->kernels->vec;
    int64_t dim = r->shape->k_dim, stride = r->chunk;
    float *factors = r->near;
    vec->transpose(r->k_cols, stride, k_at(r, first), r->rows->k_stride, n, dim);
    for (int begin = 0; begin < n; begin += NEAR) {
        int rows = MN_MIN(NEAR, n - begin), columns = begin + rows;
        k->gemm(r->p + begin * stride, stride, q_at(r, first + begin), r->rows->q_stride, r->k_cols, stride, rows,
                columns, dim);
        if (r->shape->corrects)
            k->gemm(r->a + begin * stride, stride, k_at(r, first + begin), r->rows->k_stride, r->k_cols, stride, rows,
                    columns, dim);
    }
    for (int i = 0; i < n; i++) {
        float *p = r->p + i * stride, *a = r->a + i * stride;
        vec->scale(factors, factors, *decay_at(r, first + i), i);
        factors[i] = 1;
        vec->mul(p, p, factors, i + 1);
        memset(p + i + 1, 0, (size_t)(n - i - 1) * sizeof *p);
        if (r->shape->corrects) vec->mul(a, a, factors, i);
    }
    for (int64_t i = 0; i < dim; i++) vec->mul(r->k_back + i * stride, r->k_cols + i * stride, factors, n);
}

/* Pairs of rows of a block: k_j is faded on its way to each of the later ones. */
static void pair_near(const head_run *r, int64_t first, int begin, int end) {
    const mn_vec_kernels *vec = &r->kernels->vec;
    int64_t dim = r->shape->k_dim, stride = r->chunk;
    for (int j = begin; j < end; j++) {
        float *seen = r->near + (j - begin) * dim;
        memcpy(seen, k_at(r, first + j), (size_t)dim * sizeof *seen);
        r->p[j * stride + j] = vec->dot(q_at(r, first + j), seen, dim);
        for (int i = j + 1; i < end; i++) {
            vec->mul(seen, seen, decay_at(r, first + i), dim);
            r->p[i * stride + j] = vec->dot(q_at(r, first + i), seen, dim);
            if (r->shape->corrects) r->a[i * stride + j] = vec->dot(k_at(r, first + i), seen, dim);
        }
    }
}

/* Pairs of a block's rows and of those before it, which k_back holds as the block's start sees them. */
static void pair_far(const head_run *r, int64_t first, int begin, int end,
                     const float *(*row_of)(const head_run *, int64_t), float *out) {
    const mn_vec_kernels *vec = &r->kernels->vec;
    int64_t dim = r->shape->k_dim, stride = r->chunk;
    float *lost = r->near + NEAR * dim;
    for (int64_t i = 0; i < dim; i++) lost[i] = 1;
    for (int i = begin; i < end; i++) {
        vec->mul(lost, lost, decay_at(r, first + i), dim);
        vec->mul(r->near + (i - begin) * dim, row_of(r, first + i), lost, dim);
    }
    r->kernels->recurrent.gemm(out + begin * stride, stride, r->near, dim, r->k_back, stride, end - begin, begin, dim);
}

/* Each channel has its decay: a block of rows meets those before it at its start, so that no factor is above 1. */
static void pair_by_channel(const head_run *r, int64_t first, int n) {
    const mn_vec_kernels *vec = &r->kernels->vec;
    int64_t dim = r->shape->k_dim, stride = r->chunk;
    for (int begin = 0; begin < n; begin += NEAR) {
        int end = MN_MIN(begin + NEAR, n);
        if (begin > 0) {
            pair_far(r, first, begin, end, q_at, r->p);
            if (r->shape->corrects) pair_far(r, first, begin, end, k_at, r->a);
            const float *lost = r->near + NEAR * dim; /* by the whole block */
            for (int64_t i = 0; i < dim; i++)
                vec->scale(r->k_back + i * stride, r->k_back + i * stride, lost[i], begin);
        }
        pair_near(r, first, begin, end);
        vec->transpose(r->k_back + begin, stride, r->near, dim, end - begin, dim);
    }
}

/* w = beta v, and with the delta rule what is known already taken off. */
static void write_rows(const head_run *r, int64_t first, int n) {
    const mn_recurrent_kernels *k = &r->kernels->recurrent;
    const mn_vec_kernels *vec = &r->kernels->vec;
    int64_t k_dim = r->shape->k_dim, v_dim = r->shape->v_dim, stride = r->chunk;
    for (int i = 0; i < n; i++) vec->scale(r->w + i * v_dim, v_at(r, first + i), beta_at(r, first + i), v_dim);
    if (!r->shape->corrects) return;
    for (int i = 0; i < n; i++) vec->scale(r->a + i * stride, r->a + i * stride, -beta_at(r, first + i), i);
    k->gemm(r->w, v_dim, r->k, k_dim, r->m, v_dim, n, v_dim, k_dim);
    for (int begin = 0; begin < n; begin += BLOCK) {
        int end = MN_MIN(begin + BLOCK, n);
        k->gemm(r->w + begin * v_dim, v_dim, r->a + begin * stride, stride, r->w, v_dim, end - begin, v_dim, begin);
        for (int i = begin + 1; i < end; i++)
            for (int j = begin; j < i; j++) vec->axpy(r->w + i * v_dim, r->w + j * v_dim, r->a[i * stride + j], v_dim);
    }
}

static void read_rows(const head_run *r, int64_t first, int n) {
    const mn_recurrent_kernels *k = &r->kernels->recurrent;
    int64_t k_dim = r->shape->k_dim, v_dim = r->shape->v_dim, stride = r->chunk, out_stride = r->rows->out_stride;
    for (int i = 0; i < n; i++) memset(out_at(r, first + i), 0, (size_t)v_dim * sizeof(float));
    k->gemm(out_at(r, first), out_stride, r->q, k_dim, r->m, v_dim, n, v_dim, k_dim);
    for (int begin = 0; begin < n; begin += NEAR) {
        int end = MN_MIN(begin + NEAR, n);
        k->gemm(out_at(r, first + begin), out_stride, r->p + begin * stride, stride, r->w, v_dim, end - begin, v_dim,
                end);
    }
}

static void take_chunk(head_run *r, int64_t first, int n) {
    int64_t k_dim = r->shape->k_dim, v_dim = r->shape->v_dim;
    memset(r->a, 0, (size_t)r->chunk * (size_t)r->chunk * 2 * sizeof *r->a); /* p lies behind it */
    fade_rows(r, first, n);
    (r->shape->decays_channels ? pair_by_channel : pair_by_head)(r, first, n);
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
    head_run r = {.kernels = s->kernels, .shape = s->shape, .rows = s->rows, .chunk = s->chunk};
    int64_t n_rows = s->rows->n_rows;
    share_out(&r, s->scratch + (size_t)thread_index * scratch_floats(s->shape, s->chunk));
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
    size_t floats = scratch_floats(shape, chunk);
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
