#include "recurrent/matrix_chunk_backward.h"

#include "base/checked.h"
#include "recurrent/matrix_chunk.h"

#include <string.h>

enum {
    BLOCK = 4, /* rows of a substitution that wait for each other */
    NEAR = 8   /* rows whose pairs are taken one by one */
};

/* One head; f: the pairs and their scratch, whose k holds -F_i k_i and w the rows written. */
typedef struct back_run {
    mn_matrix_run f;
    const mn_matrix_head_grad *g;
    float *states;                    /* before each chunk */
    float *z;                         /* [n_rows, v_dim] */
    float *d_m, *turned;              /* G, and a transpose of M or G: [k_dim, v_dim] twice */
    float *b, *d_q, *d_read, *d_kept; /* B; gradients of q, of k as a reader and as the one read: [chunk, k_dim] */
    float *seen, *d_seen, *factors;   /* [chunk, k_dim] */
    float *near_q, *near_k, *tail;    /* [NEAR, k_dim] twice, [2, k_dim] */
    float *pairs, *d_p, *d_a;         /* a transpose, dP and dA: [chunk, chunk] */
    float *w_columns, *d_w, *d_z;     /* [v_dim, chunk], [chunk, v_dim] twice */
} back_run;

static int64_t n_chunks(int64_t n_rows, int chunk) { return (n_rows + chunk - 1) / chunk; }

size_t mn_matrix_chunk_backward_floats(const mn_matrix_state *s, int64_t n_rows, int chunk) {
    size_t n = (size_t)chunk, k = (size_t)s->k_dim, v = (size_t)s->v_dim;
    return mn_matrix_run_floats(s, chunk) + (size_t)n_chunks(n_rows, chunk) * k * v + (size_t)n_rows * v + 3 * k * v +
           7 * n * k + 2 * (NEAR + 1) * k + 3 * n * n + 3 * n * v;
}

static float *next(float **at, int64_t n) {
    float *here = *at;
    *at += n;
    return here;
}

static void share_out(back_run *r, float *at) {
    const mn_matrix_state *s = r->f.shape;
    int64_t n = r->f.chunk, k = s->k_dim, v = s->v_dim, rows = r->f.rows->n_rows;
    mn_matrix_share_out(&r->f, at);
    at += mn_matrix_run_floats(s, r->f.chunk);
    r->states = next(&at, n_chunks(rows, r->f.chunk) * k * v);
    r->z = next(&at, rows * v);
    r->f.m = next(&at, k * v);
    r->d_m = next(&at, k * v);
    r->turned = next(&at, k * v);
    float **const of_rows[] = {&r->b, &r->d_q, &r->d_read, &r->d_kept, &r->seen, &r->d_seen, &r->factors};
    for (int i = 0; i < 7; i++) *of_rows[i] = next(&at, n * k);
    r->near_q = next(&at, NEAR * k);
    r->near_k = next(&at, NEAR * k);
    r->tail = next(&at, 2 * k);
    float **const of_pairs[] = {&r->pairs, &r->d_p, &r->d_a};
    for (int i = 0; i < 3; i++) *of_pairs[i] = next(&at, n * n);
    float **const of_values[] = {&r->w_columns, &r->d_w, &r->d_z};
    for (int i = 0; i < 3; i++) *of_values[i] = next(&at, n * v);
}

/* F_i q_i and -F_i k_i. */
static void fade_rows(const back_run *r, int64_t first, int n) {
    const mn_matrix_run *f = &r->f;
    const mn_vec_kernels *vec = &f->kernels->vec;
    int64_t dim = f->shape->k_dim;
    for (int64_t i = 0; i < dim; i++) f->fade[i] = 1;
    for (int i = 0; i < n; i++) {
        mn_matrix_fade(f, f->fade, f->fade, mn_matrix_decay(f, first + i));
        vec->mul(f->q + i * dim, mn_matrix_q(f, first + i), f->fade, dim);
        if (!f->shape->corrects) continue;
        vec->mul(f->k + i * dim, mn_matrix_k(f, first + i), f->fade, dim);
        vec->scale(f->k + i * dim, f->k + i * dim, -1, dim);
    }
}

/* All that the state before a chunk has no part in; a becomes -A, zeros from the diagonal on. */
static void begin_chunk(const back_run *r, int64_t first, int n) {
    const mn_matrix_run *f = &r->f;
    int64_t stride = f->chunk;
    fade_rows(r, first, n);
    mn_matrix_pairs(f, first, n);
    for (int i = 0; f->shape->corrects && i < n; i++) {
        f->kernels->vec.scale(f->a + i * stride, f->a + i * stride, -1, i);
        memset(f->a + i * stride + i, 0, (size_t)(n - i) * sizeof *f->a);
    }
}

static void write_row(const back_run *r, int64_t first, int i, float *z) {
    int64_t v = r->f.shape->v_dim;
    r->f.kernels->vec.scale(r->f.w + i * v, z + i * v, mn_matrix_beta(&r->f, first + i), v);
}

/* z and w of a chunk. */
static void solve(const back_run *r, int64_t first, int n) {
    const mn_matrix_run *f = &r->f;
    const mn_recurrent_kernels *k = &f->kernels->recurrent;
    int64_t k_dim = f->shape->k_dim, v_dim = f->shape->v_dim, stride = f->chunk;
    float *z = r->z + first * v_dim;
    for (int i = 0; i < n; i++) memcpy(z + i * v_dim, mn_matrix_v(f, first + i), (size_t)v_dim * sizeof *z);
    if (f->shape->corrects) k->gemm(z, v_dim, f->k, k_dim, f->m, v_dim, n, v_dim, k_dim);
    for (int begin = 0; begin < n; begin += BLOCK) {
        int end = MN_MIN(begin + BLOCK, n);
        if (f->shape->corrects)
            k->gemm(z + begin * v_dim, v_dim, f->a + begin * stride, stride, f->w, v_dim, end - begin, v_dim, begin);
        for (int i = begin; i < end; i++) {
            for (int j = begin; f->shape->corrects && j < i; j++)
                f->kernels->vec.axpy(z + i * v_dim, f->w + j * v_dim, f->a[i * stride + j], v_dim);
            write_row(r, first, i, z);
        }
    }
}

/* The states before all chunks, and z. */
static void go_forth(const back_run *r) {
    const mn_matrix_run *f = &r->f;
    int64_t k_dim = f->shape->k_dim, v_dim = f->shape->v_dim;
    float *state = r->states;
    memset(f->m, 0, (size_t)(k_dim * v_dim) * sizeof *f->m);
    for (int64_t first = 0; first < f->rows->n_rows; first += f->chunk, state += k_dim * v_dim) {
        int n = (int)MN_MIN(f->chunk, f->rows->n_rows - first);
        memcpy(state, f->m, (size_t)(k_dim * v_dim) * sizeof *state);
        begin_chunk(r, first, n);
        solve(r, first, n);
        for (int64_t i = 0; i < k_dim; i++)
            f->kernels->vec.scale(f->m + i * v_dim, f->m + i * v_dim, f->fade[i], v_dim);
        f->kernels->recurrent.gemm(f->m, v_dim, f->k_back, f->chunk, f->w, v_dim, k_dim, v_dim, n);
    }
}

static const float *d_out_at(const back_run *r, int64_t row) {
    return r->g->g->d_out + row * r->g->g->d_out_stride + (int64_t)r->f.head * r->f.shape->v_dim;
}

/* dw and dz, and with them d_v and d_beta. */
static void back_writes(const back_run *r, int64_t first, int n) {
    const mn_matrix_run *f = &r->f;
    const mn_vec_kernels *vec = &f->kernels->vec;
    const mn_recurrent_kernels *k = &f->kernels->recurrent;
    int64_t v = f->shape->v_dim, stride = f->chunk, k_dim = f->shape->k_dim;
    memset(r->d_w, 0, (size_t)(n * v) * sizeof *r->d_w);
    vec->transpose(r->pairs, stride, f->p, stride, n, n);
    k->gemm(r->d_w, v, r->pairs, stride, d_out_at(r, first), r->g->g->d_out_stride, n, v, n);
    k->gemm(r->d_w, v, r->b, k_dim, r->d_m, v, n, v, k_dim);
    if (f->shape->corrects) vec->transpose(r->pairs, stride, f->a, stride, n, n);
    for (int begin = (n - 1) / BLOCK * BLOCK; begin >= 0; begin -= BLOCK) {
        int end = MN_MIN(begin + BLOCK, n);
        if (f->shape->corrects)
            k->gemm(r->d_w + begin * v, v, r->pairs + begin * stride + end, stride, r->d_z + end * v, v, end - begin, v,
                    n - end);
        for (int i = end - 1; i >= begin; i--) {
            float *d_w = r->d_w + i * v, *d_z = r->d_z + i * v;
            for (int j = i + 1; f->shape->corrects && j < end; j++)
                vec->axpy(d_w, r->d_z + j * v, f->a[j * stride + i], v);
            vec->scale(d_z, d_w, mn_matrix_beta(f, first + i), v);
            r->g->g->d_beta[(first + i) * f->shape->n_heads + f->head] = vec->dot(d_w, r->z + (first + i) * v, v);
            float *d_v = r->g->g->d_v + (first + i) * f->rows->v_stride + (int64_t)f->head * v;
            vec->add(d_v, d_v, d_z, v);
        }
    }
}

/* dP on and below the diagonal, dA below it. */
static void back_pairs(const back_run *r, int64_t first, int n) {
    const mn_matrix_run *f = &r->f;
    const mn_recurrent_kernels *k = &f->kernels->recurrent;
    int64_t v = f->shape->v_dim, stride = f->chunk;
    f->kernels->vec.transpose(r->w_columns, stride, f->w, v, n, v);
    memset(r->d_p, 0, (size_t)(stride * stride) * 2 * sizeof *r->d_p); /* d_a lies behind it */
    for (int begin = 0; begin < n; begin += MN_MATRIX_NEAR) {
        int rows = MN_MIN(MN_MATRIX_NEAR, n - begin), columns = begin + rows;
        k->gemm(r->d_p + begin * stride, stride, d_out_at(r, first + begin), r->g->g->d_out_stride, r->w_columns,
                stride, rows, columns, v);
        if (f->shape->corrects)
            k->gemm(r->d_a + begin * stride, stride, r->d_z + begin * v, v, r->w_columns, stride, rows, columns, v);
    }
    for (int i = 0; i < n; i++) {
        f->kernels->vec.scale(r->d_a + i * stride, r->d_a + i * stride, -1, i);
        memset(r->d_p + i * stride + i + 1, 0, (size_t)(n - i - 1) * sizeof *r->d_p);
        memset(r->d_a + i * stride + i, 0, (size_t)(n - i) * sizeof *r->d_a);
    }
}

/* What the state before the chunk gave to q, and to k as a reader. */
static void back_reads(const back_run *r, int64_t first, int n) {
    const mn_matrix_run *f = &r->f;
    const mn_vec_kernels *vec = &f->kernels->vec;
    const mn_recurrent_kernels *k = &f->kernels->recurrent;
    int64_t k_dim = f->shape->k_dim, v = f->shape->v_dim;
    float *fade = f->near;
    memset(r->d_q, 0, (size_t)(3 * f->chunk * k_dim) * sizeof *r->d_q); /* d_read and d_kept lie behind it */
    vec->transpose(r->turned, k_dim, f->m, v, k_dim, v);
    k->gemm(r->d_q, k_dim, d_out_at(r, first), r->g->g->d_out_stride, r->turned, k_dim, n, k_dim, v);
    if (f->shape->corrects) k->gemm(r->d_read, k_dim, r->d_z, v, r->turned, k_dim, n, k_dim, v);
    for (int64_t i = 0; i < k_dim; i++) fade[i] = 1;
    for (int i = 0; i < n; i++) {
        float *d_q = r->d_q + i * k_dim, *d_read = r->d_read + i * k_dim;
        mn_matrix_fade(f, fade, fade, mn_matrix_decay(f, first + i));
        vec->mul(d_q, d_q, fade, k_dim);
        if (!f->shape->corrects) continue;
        vec->mul(d_read, d_read, fade, k_dim);
        vec->scale(d_read, d_read, -1, k_dim);
    }
}

/* What the state after the chunk gave to k, whose factors now reach to its end; r->tail: what both states count for the
 * logarithms of the chunk's decays. */
static void back_kept(const back_run *r, int n) {
    const mn_matrix_run *f = &r->f;
    const mn_vec_kernels *vec = &f->kernels->vec;
    const mn_vec_backward *back = &f->kernels->vec_backward;
    int64_t k_dim = f->shape->k_dim, v = f->shape->v_dim;
    float *d_b = r->d_seen;
    for (int64_t i = 0; i < k_dim; i++) r->tail[i] = f->fade[i] * vec->dot(f->m + i * v, r->d_m + i * v, v);
    memset(d_b, 0, (size_t)(n * k_dim) * sizeof *d_b);
    vec->transpose(r->turned, k_dim, r->d_m, v, k_dim, v);
    f->kernels->recurrent.gemm(d_b, k_dim, f->w, v, r->turned, k_dim, n, k_dim, v);
    for (int64_t i = 0; i < n; i++) {
        back->mul_add(r->tail, r->b + i * k_dim, d_b + i * k_dim, k_dim);
        back->mul_add(r->d_kept + i * k_dim, r->factors + i * k_dim, d_b + i * k_dim, k_dim);
    }
}

/* G of the state before the chunk. */
static void back_state(const back_run *r, int64_t first, int n) {
    const mn_matrix_run *f = &r->f;
    const mn_vec_kernels *vec = &f->kernels->vec;
    int64_t k_dim = f->shape->k_dim, v = f->shape->v_dim, stride = f->chunk;
    for (int64_t i = 0; i < k_dim; i++) vec->scale(r->d_m + i * v, r->d_m + i * v, f->fade[i], v);
    vec->transpose(f->k_cols, stride, f->q, k_dim, n, k_dim);
    f->kernels->recurrent.gemm(r->d_m, v, f->k_cols, stride, d_out_at(r, first), r->g->g->d_out_stride, k_dim, v, n);
    if (!f->shape->corrects) return;
    vec->transpose(f->k_cols, stride, f->k, k_dim, n, k_dim);
    f->kernels->recurrent.gemm(r->d_m, v, f->k_cols, stride, r->d_z, v, k_dim, v, n);
}

/* Pairs of rows of a block. factors of row j: F_{end-1, j} afterwards. */
static void pair_near(const back_run *r, int64_t first, int begin, int end) {
    const mn_matrix_run *f = &r->f;
    const mn_vec_kernels *vec = &f->kernels->vec;
    int64_t dim = f->shape->k_dim, stride = f->chunk;
    float *seen = r->near_k, *both = r->near_q;
    for (int j = begin; j < end; j++) {
        float *factors = r->factors + j * dim, *d_kept = r->d_kept + j * dim;
        const float *k = mn_matrix_k(f, first + j);
        for (int64_t c = 0; c < dim; c++) factors[c] = 1;
        for (int i = j; i < end; i++) {
            float d_p = r->d_p[i * stride + j], d_a = r->d_a[i * stride + j];
            if (i > j) mn_matrix_fade(f, factors, factors, mn_matrix_decay(f, first + i));
            vec->mul(seen, k, factors, dim);
            vec->axpy(r->d_q + i * dim, seen, d_p, dim);
            vec->scale(both, mn_matrix_q(f, first + i), d_p, dim);
            if (f->shape->corrects) {
                vec->axpy(r->d_read + i * dim, seen, d_a, dim);
                vec->axpy(both, mn_matrix_k(f, first + i), d_a, dim);
            }
            f->kernels->vec_backward.mul_add(d_kept, factors, both, dim);
        }
    }
}

/* What a block's rows, faded to its start, and the rows before it give each other: one of q, or of k as a reader. */
static void pair_far(const back_run *r, int begin, int n, const float *near, const float *d_pairs, float *d_near) {
    const mn_matrix_run *f = &r->f;
    int64_t dim = f->shape->k_dim, stride = f->chunk;
    f->kernels->vec.transpose(r->pairs, stride, d_pairs + begin * stride, stride, n, begin);
    f->kernels->recurrent.gemm(r->d_seen, dim, r->pairs, stride, near, dim, begin, dim, n);
    f->kernels->recurrent.gemm(d_near, dim, d_pairs + begin * stride, stride, r->seen, dim, n, dim, begin);
}

/* Rows of q or k faded from the block's start on; *lost is what the block fades by. */
static void fade_near(const back_run *r, int64_t first, int begin, int end, float *lost) {
    const mn_matrix_run *f = &r->f;
    const mn_vec_kernels *vec = &f->kernels->vec;
    int64_t dim = f->shape->k_dim;
    for (int64_t c = 0; c < dim; c++) lost[c] = 1;
    for (int i = begin; i < end; i++) {
        mn_matrix_fade(f, lost, lost, mn_matrix_decay(f, first + i));
        vec->mul(r->near_q + (i - begin) * dim, mn_matrix_q(f, first + i), lost, dim);
        if (f->shape->corrects) vec->mul(r->near_k + (i - begin) * dim, mn_matrix_k(f, first + i), lost, dim);
    }
}

/* A block and all rows before it, whose factors reach to its start and are taken on to its end. */
static void pair_block(const back_run *r, int64_t first, int begin, int end) {
    const mn_matrix_run *f = &r->f;
    const mn_vec_kernels *vec = &f->kernels->vec;
    int64_t dim = f->shape->k_dim, n = end - begin;
    float *lost = r->tail + dim, *d_near = r->f.near; /* [NEAR, k_dim] twice */
    bool corrects = f->shape->corrects;
    for (int64_t j = 0; j < begin; j++)
        vec->mul(r->seen + j * dim, mn_matrix_k(f, first + j), r->factors + j * dim, dim);
    memset(r->d_seen, 0, (size_t)(begin * dim) * sizeof *r->d_seen);
    memset(d_near, 0, (size_t)(2 * NEAR * dim) * sizeof *d_near);
    fade_near(r, first, begin, end, lost);
    pair_far(r, begin, (int)n, r->near_q, r->d_p, d_near);
    if (corrects) pair_far(r, begin, (int)n, r->near_k, r->d_a, d_near + NEAR * dim);
    for (int64_t j = 0; j < begin; j++) {
        f->kernels->vec_backward.mul_add(r->d_kept + j * dim, r->factors + j * dim, r->d_seen + j * dim, dim);
        vec->mul(r->factors + j * dim, r->factors + j * dim, lost, dim);
    }
    for (int64_t c = 0; c < dim; c++) lost[c] = 1;
    for (int i = begin; i < end; i++) {
        mn_matrix_fade(f, lost, lost, mn_matrix_decay(f, first + i));
        f->kernels->vec_backward.mul_add(r->d_q + i * dim, lost, d_near + (i - begin) * dim, dim);
        if (corrects)
            f->kernels->vec_backward.mul_add(r->d_read + i * dim, lost, d_near + (NEAR + i - begin) * dim, dim);
    }
}

/* Each channel has its decay: blocks of rows meet those before them at their start, so that no factor is above 1. */
static void pair_by_channel(const back_run *r, int64_t first, int n) {
    for (int begin = 0; begin < n; begin += NEAR) {
        int end = MN_MIN(begin + NEAR, n);
        if (begin > 0) pair_block(r, first, begin, end);
        pair_near(r, first, begin, end);
    }
}

/* The gradients of pairs times F_ij, a number; row i of the factors is row i - 1 times d_i. */
static void fade_pairs(const back_run *r, int64_t first, int n) {
    const mn_matrix_run *f = &r->f;
    const mn_vec_kernels *vec = &f->kernels->vec;
    int64_t dim = f->shape->k_dim;
    float *factors = f->near;
    for (int i = 0; i < n; i++) {
        float *d_p = r->d_p + i * f->chunk, *d_a = r->d_a + i * f->chunk;
        vec->scale(factors, factors, *mn_matrix_decay(f, first + i), i);
        factors[i] = 1;
        vec->mul(d_p, d_p, factors, i);
        vec->mul(d_a, d_a, factors, i);
    }
    for (int i = 0; i < n; i++)
        for (int64_t c = 0; c < dim; c++) r->factors[i * dim + c] = factors[i];
}

/* What rows and those before them give each other, all channels alike: to the reader k_j, to k_j what its reader is. */
static void pair_all(const back_run *r, int n, const float *d_pairs, const float *readers, int64_t readers_stride,
                     const float *k, float *d_readers) {
    const mn_matrix_run *f = &r->f;
    const mn_recurrent_kernels *kernels = &f->kernels->recurrent;
    int64_t dim = f->shape->k_dim, stride = f->chunk, k_stride = f->rows->k_stride;
    f->kernels->vec.transpose(r->pairs, stride, d_pairs, stride, n, n);
    for (int64_t begin = 0; begin < n; begin += MN_MATRIX_NEAR) {
        int64_t end = MN_MIN(begin + MN_MATRIX_NEAR, n);
        kernels->gemm(d_readers + begin * dim, dim, d_pairs + begin * stride, stride, k, k_stride, end - begin, dim,
                      end);
        kernels->gemm(r->d_kept + begin * dim, dim, r->pairs + begin * stride + begin, stride,
                      readers + begin * readers_stride, readers_stride, end - begin, dim, n - begin);
    }
}

static void pair_by_head(const back_run *r, int64_t first, int n) {
    const mn_matrix_run *f = &r->f;
    const float *q = mn_matrix_q(f, first), *k = mn_matrix_k(f, first);
    fade_pairs(r, first, n);
    pair_all(r, n, r->d_p, q, f->rows->q_stride, k, r->d_q);
    if (f->shape->corrects) pair_all(r, n, r->d_a, k, f->rows->k_stride, k, r->d_read);
}

static void give_decay(const back_run *r, int64_t row) {
    const mn_matrix_state *s = r->f.shape;
    int64_t at = row * s->n_heads + r->f.head;
    float *to = r->g->g->d_log_decay, sum = 0;
    if (s->decays_channels) {
        memcpy(to + at * s->k_dim, r->tail, (size_t)s->k_dim * sizeof *to);
        return;
    }
    for (int i = 0; i < s->k_dim; i++) sum += r->tail[i];
    to[at] = sum;
}

/* Of q and k, and of the decays: sums from the chunk's end on. */
static void give_rows(const back_run *r, int64_t first, int n) {
    const mn_matrix_run *f = &r->f;
    const mn_vec_kernels *vec = &f->kernels->vec;
    const mn_vec_backward *back = &f->kernels->vec_backward;
    int64_t dim = f->shape->k_dim;
    for (int64_t i = n - 1; i >= 0; i--) {
        float *d_q = r->d_q + i * dim, *d_read = r->d_read + i * dim, *d_kept = r->d_kept + i * dim;
        int64_t to = ((first + i) * f->shape->n_heads + f->head) * dim;
        const float *k = mn_matrix_k(f, first + i);
        memcpy(r->g->d_q + to, d_q, (size_t)dim * sizeof *d_q);
        vec->add(r->g->d_k + to, d_read, d_kept, dim);
        back->mul_add(r->tail, d_q, mn_matrix_q(f, first + i), dim);
        vec->axpy(d_read, d_kept, -1, dim);
        back->mul_add(r->tail, d_read, k, dim);
        give_decay(r, first + i);
    }
}

static void back_chunk(const back_run *r, int64_t first, int n) {
    const mn_matrix_run *f = &r->f;
    int64_t k_dim = f->shape->k_dim, v = f->shape->v_dim;
    memcpy(f->m, r->states + first / f->chunk * k_dim * v, (size_t)(k_dim * v) * sizeof *f->m);
    begin_chunk(r, first, n);
    f->kernels->vec.transpose(r->b, k_dim, f->k_back, f->chunk, k_dim, n);
    for (int i = 0; i < n; i++) write_row(r, first, i, r->z + first * v);
    back_writes(r, first, n);
    back_pairs(r, first, n);
    back_reads(r, first, n);
    (r->f.shape->decays_channels ? pair_by_channel : pair_by_head)(r, first, n);
    back_kept(r, n);
    back_state(r, first, n);
    give_rows(r, first, n);
}

void mn_matrix_chunk_backward(const mn_kernels *kernels, const mn_matrix_state *shape, const mn_matrix_rows *rows,
                              int head, int chunk, const mn_matrix_head_grad *g, float *scratch) {
    back_run r = {.f = {.kernels = kernels, .shape = shape, .rows = rows, .head = head, .chunk = chunk}, .g = g};
    share_out(&r, scratch);
    go_forth(&r);
    memset(r.d_m, 0, (size_t)shape->k_dim * (size_t)shape->v_dim * sizeof *r.d_m);
    for (int64_t i = n_chunks(rows->n_rows, chunk) - 1; i >= 0; i--)
        back_chunk(&r, i * chunk, (int)MN_MIN(chunk, rows->n_rows - i * chunk));
}
