#include "recurrent/rwkv7_chunk.h"

#include "base/checked.h"

#include <string.h>

enum {
    BLOCK = 4,  /* rows of forward substitution that wait for each other */
    CAUSAL = 16 /* rows that see as many columns as the last of them */
};

/* The scratch of a chunk; rows of pairs are 2 n_rows wide, those of k and v first, then those of -b and u. */
typedef struct run {
    const mn_kernels *kernels;
    const mn_rwkv7_chunk *c;
    float *fade;       /* F_n: [dim] */
    float *reads, *kk; /* F_i r_i, F_{i-1} kk_i: [n, dim] */
    float *writes;     /* k_j / F_j, then -b_j / F_j: [2 n, dim] */
    float *columns;    /* the same, transposed: [dim, 2 n] */
    float *a, *p;      /* pairs of kk, and of r: [n, 2 n] */
    float *w;          /* v, then u: [2 n, dim] */
} run;

size_t mn_rwkv7_chunk_floats(int dim, int n_rows) {
    size_t n = (size_t)n_rows, d = (size_t)dim;
    return d + 8 * n * d + 4 * n * n;
}

static run share_out(const mn_kernels *kernels, const mn_rwkv7_chunk *c, float *scratch) {
    int64_t n = c->n_rows, d = c->dim;
    run r = {.kernels = kernels, .c = c, .fade = scratch};
    r.reads = r.fade + d;
    r.kk = r.reads + n * d;
    r.writes = r.kk + n * d;
    r.columns = r.writes + 2 * n * d;
    r.w = r.columns + 2 * n * d;
    r.a = r.w + 2 * n * d;
    r.p = r.a + 2 * n * n;
    return r;
}

/* Every row as the chunk's start sees it. */
static void fade_rows(const run *r) {
    const mn_rwkv7_chunk *c = r->c;
    const mn_vec_kernels *vec = &r->kernels->vec;
    int64_t d = c->dim, n = c->n_rows;
    for (int64_t i = 0; i < d; i++) r->fade[i] = 1;
    for (int64_t row = 0; row < n; row++) {
        float *k = r->writes + row * d, *b = r->writes + (n + row) * d;
        vec->mul(r->kk + row * d, c->kk + row * d, r->fade, d);
        vec->mul(r->fade, r->fade, c->decay + row * d, d);
        vec->mul(r->reads + row * d, c->r + row * c->r_stride, r->fade, d);
        for (int64_t i = 0; i < d; i++) {
            float back = 1 / r->fade[i];
            k[i] = c->k[row * d + i] * back;
            b[i] = -c->back[row * d + i] * back;
        }
    }
    vec->transpose(r->columns, 2 * n, r->writes, d, 2 * n, d);
}

/* Pairs of each row and those before it, or also itself (with_own), of both halves. */
static void pair_rows(const run *r, float *out, const float *rows, bool with_own) {
    int64_t d = r->c->dim, n = r->c->n_rows;
    memset(out, 0, (size_t)(2 * n * n) * sizeof *out);
    for (int64_t begin = 0; begin < n; begin += CAUSAL) {
        int64_t end = MN_MIN(begin + CAUSAL, n);
        for (int half = 0; half < 2; half++) {
            float *at = out + begin * 2 * n + half * n;
            r->kernels->recurrent.gemm(at, 2 * n, rows + begin * d, d, r->columns + half * n, 2 * n, end - begin, end,
                                       d);
            for (int64_t i = begin; i < end; i++) {
                int64_t seen = i + with_own;
                memset(out + i * 2 * n + half * n + seen, 0, (size_t)(end - seen) * sizeof *out);
            }
        }
    }
}

/* u, behind v in w. */
static void solve(const run *r) {
    const mn_recurrent_kernels *k = &r->kernels->recurrent;
    int64_t d = r->c->dim, n = r->c->n_rows;
    float *u = r->w + n * d;
    memcpy(r->w, r->c->v, (size_t)(n * d) * sizeof *u);
    memset(u, 0, (size_t)(n * d) * sizeof *u);
    k->gemm(u, d, r->kk, d, r->c->m, d, n, d, d);
    for (int64_t begin = 0; begin < n; begin += BLOCK) {
        int64_t end = MN_MIN(begin + BLOCK, n);
        const float *a = r->a + begin * 2 * n;
        k->gemm(u + begin * d, d, a, 2 * n, r->w, d, end - begin, d, end);
        k->gemm(u + begin * d, d, a + n, 2 * n, u, d, end - begin, d, begin);
        for (int64_t i = begin + 1; i < end; i++)
            for (int64_t j = begin; j < i; j++) r->kernels->vec.axpy(u + i * d, u + j * d, r->a[i * 2 * n + n + j], d);
    }
}

static void read_rows(const run *r) {
    const mn_rwkv7_chunk *c = r->c;
    const mn_recurrent_kernels *k = &r->kernels->recurrent;
    int64_t d = c->dim, n = c->n_rows;
    for (int64_t i = 0; i < n; i++) memset(c->out + i * c->out_stride, 0, (size_t)d * sizeof *c->out);
    k->gemm(c->out, c->out_stride, r->reads, d, c->m, d, n, d, d);
    for (int64_t begin = 0; begin < n; begin += CAUSAL) {
        int64_t end = MN_MIN(begin + CAUSAL, n);
        for (int half = 0; half < 2; half++)
            k->gemm(c->out + begin * c->out_stride, c->out_stride, r->p + begin * 2 * n + half * n, 2 * n,
                    r->w + half * n * d, d, end - begin, d, end);
    }
}

void mn_rwkv7_take_chunk(const mn_kernels *kernels, const mn_rwkv7_chunk *c, float *scratch) {
    run r = share_out(kernels, c, scratch);
    int64_t d = c->dim, n = c->n_rows;
    fade_rows(&r);
    pair_rows(&r, r.a, r.kk, false);
    pair_rows(&r, r.p, r.reads, true);
    solve(&r);
    read_rows(&r);
    kernels->recurrent.gemm(c->m, d, r.columns, 2 * n, r.w, d, d, d, 2 * n);
    for (int64_t i = 0; i < d; i++) kernels->vec.scale(c->m + i * d, c->m + i * d, r.fade[i], d);
}
