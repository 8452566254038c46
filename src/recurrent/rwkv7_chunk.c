#include "recurrent/rwkv7_chunk.h"

#include "base/checked.h"

#include <string.h>

enum {
    BLOCK = 4,  /* rows of forward substitution that wait for each other */
    CAUSAL = 16 /* rows that see as many columns as the last of them */
};

typedef struct run {
    const mn_kernels *kernels;
    const mn_rwkv7_chunk *c;
    mn_rwkv7_parts x;
} run;

size_t mn_rwkv7_chunk_floats(int dim, int n_rows) {
    size_t n = (size_t)n_rows, d = (size_t)dim;
    return d + 8 * n * d + 4 * n * n;
}

mn_rwkv7_parts mn_rwkv7_parts_of(const mn_rwkv7_chunk *c, float *scratch) {
    int64_t n = c->n_rows, d = c->dim;
    mn_rwkv7_parts x = {.fade = scratch};
    x.reads = x.fade + d;
    x.kk = x.reads + n * d;
    x.writes = x.kk + n * d;
    x.columns = x.writes + 2 * n * d;
    x.w = x.columns + 2 * n * d;
    x.a = x.w + 2 * n * d;
    x.p = x.a + 2 * n * n;
    return x;
}

/* Every row as the chunk's start sees it. */
static void fade_rows(const run *r) {
    const mn_rwkv7_chunk *c = r->c;
    const mn_vec_kernels *vec = &r->kernels->vec;
    int64_t d = c->dim, n = c->n_rows;
    for (int64_t i = 0; i < d; i++) r->x.fade[i] = 1;
    for (int64_t row = 0; row < n; row++) {
        float *k = r->x.writes + row * d, *b = r->x.writes + (n + row) * d;
        vec->mul(r->x.kk + row * d, c->kk + row * d, r->x.fade, d);
        vec->mul(r->x.fade, r->x.fade, c->decay + row * d, d);
        vec->mul(r->x.reads + row * d, c->r + row * c->r_stride, r->x.fade, d);
        for (int64_t i = 0; i < d; i++) {
            float back = 1 / r->x.fade[i];
            k[i] = c->k[row * d + i] * back;
            b[i] = -c->back[row * d + i] * back;
        }
    }
    vec->transpose(r->x.columns, 2 * n, r->x.writes, d, 2 * n, d);
}

/* Pairs of each row and those before it, or also itself (with_own), of both halves. */
static void pair_rows(const run *r, float *out, const float *rows, bool with_own) {
    int64_t d = r->c->dim, n = r->c->n_rows;
    memset(out, 0, (size_t)(2 * n * n) * sizeof *out);
    for (int64_t begin = 0; begin < n; begin += CAUSAL) {
        int64_t end = MN_MIN(begin + CAUSAL, n);
        for (int half = 0; half < 2; half++) {
            float *at = out + begin * 2 * n + half * n;
            r->kernels->recurrent.gemm(at, 2 * n, rows + begin * d, d, r->x.columns + half * n, 2 * n, end - begin, end,
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
    float *u = r->x.w + n * d;
    memcpy(r->x.w, r->c->v, (size_t)(n * d) * sizeof *u);
    memset(u, 0, (size_t)(n * d) * sizeof *u);
    k->gemm(u, d, r->x.kk, d, r->c->m, d, n, d, d);
    for (int64_t begin = 0; begin < n; begin += BLOCK) {
        int64_t end = MN_MIN(begin + BLOCK, n);
        const float *a = r->x.a + begin * 2 * n;
        k->gemm(u + begin * d, d, a, 2 * n, r->x.w, d, end - begin, d, end);
        k->gemm(u + begin * d, d, a + n, 2 * n, u, d, end - begin, d, begin);
        for (int64_t i = begin + 1; i < end; i++)
            for (int64_t j = begin; j < i; j++)
                r->kernels->vec.axpy(u + i * d, u + j * d, r->x.a[i * 2 * n + n + j], d);
    }
}

static void read_rows(const run *r) {
    const mn_rwkv7_chunk *c = r->c;
    const mn_recurrent_kernels *k = &r->kernels->recurrent;
    int64_t d = c->dim, n = c->n_rows;
    for (int64_t i = 0; i < n; i++) memset(c->out + i * c->out_stride, 0, (size_t)d * sizeof *c->out);
    k->gemm(c->out, c->out_stride, r->x.reads, d, c->m, d, n, d, d);
    for (int64_t begin = 0; begin < n; begin += CAUSAL) {
        int64_t end = MN_MIN(begin + CAUSAL, n);
        for (int half = 0; half < 2; half++)
            k->gemm(c->out + begin * c->out_stride, c->out_stride, r->x.p + begin * 2 * n + half * n, 2 * n,
                    r->x.w + half * n * d, d, end - begin, d, end);
    }
}

void mn_rwkv7_take_chunk(const mn_kernels *kernels, const mn_rwkv7_chunk *c, float *scratch) {
    run r = {kernels, c, mn_rwkv7_parts_of(c, scratch)};
    int64_t d = c->dim, n = c->n_rows;
    fade_rows(&r);
    pair_rows(&r, r.x.a, r.x.kk, false);
    pair_rows(&r, r.x.p, r.x.reads, true);
    solve(&r);
    read_rows(&r);
    kernels->recurrent.gemm(c->m, d, r.x.columns, 2 * n, r.x.w, d, d, d, 2 * n);
    for (int64_t i = 0; i < d; i++) kernels->vec.scale(c->m + i * d, c->m + i * d, r.x.fade[i], d);
}
