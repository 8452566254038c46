#include "recurrent/rwkv7_chunk_backward.h"

#include "base/checked.h"

#include <string.h>

enum { BLOCK = 4 /* rows of the substitution that wait for each other */ };

typedef struct run {
    const mn_kernels *kernels;
    const mn_rwkv7_chunk_grad *g;
    int64_t n, d;
    float *d_p, *d_a;              /* [n, 2 n] */
    float *p_turned, *a_turned;    /* [2 n, n]: of P and A, then of their gradients */
    float *w_columns;              /* [d, 2 n] */
    float *d_writes;               /* [2 n, d] */
    float *reads_columns, *turned; /* [d, n]; a transpose of M or H: [d, d] */
    float *tail, *faded;           /* [d]; F_i of every row: [n, d] */
} run;

size_t mn_rwkv7_chunk_backward_floats(int dim, int n_rows) {
    size_t n = (size_t)n_rows, d = (size_t)dim;
    return 8 * n * n + 6 * n * d + d * d + d;
}

static run share_out(const mn_kernels *kernels, const mn_rwkv7_chunk_grad *g, float *scratch) {
    int64_t n = g->chunk->n_rows, d = g->chunk->dim;
    run r = {.kernels = kernels, .g = g, .n = n, .d = d, .d_p = scratch};
    r.d_a = r.d_p + 2 * n * n;
    r.p_turned = r.d_a + 2 * n * n;
    r.a_turned = r.p_turned + 2 * n * n;
    r.w_columns = r.a_turned + 2 * n * n;
    r.d_writes = r.w_columns + 2 * n * d;
    r.reads_columns = r.d_writes + 2 * n * d;
    r.faded = r.reads_columns + n * d;
    r.turned = r.faded + n * d;
    r.tail = r.turned + d * d;
    return r;
}

/* d_m becomes H; tail: what the state after the chunk counts for all decays. */
static void begin(const run *r) {
    const mn_rwkv7_chunk *c = r->g->chunk;
    const mn_vec_kernels *vec = &r->kernels->vec;
    int64_t d = r->d;
    for (int64_t i = 0; i < d; i++) {
        r->tail[i] = vec->dot(c->m + i * d, r->g->d_m + i * d, d);
        vec->scale(r->g->d_m + i * d, r->g->d_m + i * d, r->g->parts->fade[i], d);
    }
    for (int64_t row = 0; row < r->n; row++) {
        if (row == 0)
            memcpy(r->faded, c->decay, (size_t)d * sizeof *r->faded);
        else
            vec->mul(r->faded + row * d, r->faded + (row - 1) * d, c->decay + row * d, d);
    }
}

/* dw: of v and u. */
static void back_writes(const run *r) {
    const mn_rwkv7_parts *x = r->g->parts;
    const mn_recurrent_kernels *k = &r->kernels->recurrent;
    const mn_vec_kernels *vec = &r->kernels->vec;
    int64_t n = r->n, d = r->d;
    float *d_v = r->g->d_w, *d_u = d_v + n * d;
    vec->transpose(r->p_turned, n, x->p, 2 * n, n, 2 * n);
    vec->transpose(r->a_turned, n, x->a, 2 * n, n, 2 * n);
    memset(d_v, 0, (size_t)(2 * n * d) * sizeof *d_v);
    k->gemm(d_v, d, r->p_turned, n, r->g->d_out, d, 2 * n, d, n);
    k->gemm(d_v, d, x->writes, d, r->g->d_m, d, 2 * n, d, d);
    for (int64_t first = (n - 1) / BLOCK * BLOCK; first >= 0; first -= BLOCK) {
        int64_t end = MN_MIN(first + BLOCK, n);
        k->gemm(d_u + first * d, d, r->a_turned + (n + first) * n + end, n, d_u + end * d, d, end - first, d, n - end);
        for (int64_t i = end - 2; i >= first; i--)
            for (int64_t j = i + 1; j < end; j++) vec->axpy(d_u + i * d, d_u + j * d, x->a[j * 2 * n + n + i], d);
    }
    k->gemm(d_v, d, r->a_turned, n, d_u, d, n, d, n);
}

/* dP and dA, of the rows that are seen. */
static void back_pairs(const run *r) {
    const mn_recurrent_kernels *k = &r->kernels->recurrent;
    int64_t n = r->n, d = r->d;
    r->kernels->vec.transpose(r->w_columns, 2 * n, r->g->parts->w, d, 2 * n, d);
    memset(r->d_p, 0, (size_t)(4 * n * n) * sizeof *r->d_p); /* d_a lies behind it */
    k->gemm(r->d_p, 2 * n, r->g->d_out, d, r->w_columns, 2 * n, n, 2 * n, d);
    k->gemm(r->d_a, 2 * n, r->g->d_w + n * d, d, r->w_columns, 2 * n, n, 2 * n, d);
    for (int64_t i = 0; i < n; i++)
        for (int half = 0; half < 2; half++) {
            int64_t at = i * 2 * n + half * n;
            memset(r->d_p + at + i + 1, 0, (size_t)(n - i - 1) * sizeof *r->d_p);
            memset(r->d_a + at + i, 0, (size_t)(n - i) * sizeof *r->d_a);
        }
}

/* dR in d_r, dK in d_kk, dY; and G. */
static void back_rows(const run *r) {
    const mn_rwkv7_chunk_grad *g = r->g;
    const mn_rwkv7_parts *x = g->parts;
    const mn_recurrent_kernels *k = &r->kernels->recurrent;
    const mn_vec_kernels *vec = &r->kernels->vec;
    int64_t n = r->n, d = r->d;
    const float *d_u = g->d_w + n * d;
    memset(g->d_r, 0, (size_t)(n * d) * sizeof *g->d_r);
    memset(g->d_kk, 0, (size_t)(n * d) * sizeof *g->d_kk);
    memset(r->d_writes, 0, (size_t)(2 * n * d) * sizeof *r->d_writes);
    vec->transpose(r->turned, d, g->before, d, d, d);
    k->gemm(g->d_r, d, g->d_out, d, r->turned, d, n, d, d);
    k->gemm(g->d_r, d, r->d_p, 2 * n, x->writes, d, n, d, 2 * n);
    k->gemm(g->d_kk, d, d_u, d, r->turned, d, n, d, d);
    k->gemm(g->d_kk, d, r->d_a, 2 * n, x->writes, d, n, d, 2 * n);
    vec->transpose(r->p_turned, n, r->d_p, 2 * n, n, 2 * n);
    vec->transpose(r->a_turned, n, r->d_a, 2 * n, n, 2 * n);
    vec->transpose(r->turned, d, g->d_m, d, d, d);
    k->gemm(r->d_writes, d, r->p_turned, n, x->reads, d, 2 * n, d, n);
    k->gemm(r->d_writes, d, r->a_turned, n, x->kk, d, 2 * n, d, n);
    k->gemm(r->d_writes, d, x->w, d, r->turned, d, 2 * n, d, d);
    vec->transpose(r->reads_columns, n, x->reads, d, n, d);
    k->gemm(g->d_m, d, r->reads_columns, n, g->d_out, d, d, d, n);
    vec->transpose(r->reads_columns, n, x->kk, d, n, d);
    k->gemm(g->d_m, d, r->reads_columns, n, d_u, d, d, d, n);
}

/* Of the vectors themselves, and of the decays: sums from the chunk's end on. */
static void unfade_rows(const run *r) {
    const mn_rwkv7_chunk_grad *g = r->g;
    const mn_rwkv7_parts *x = g->parts;
    int64_t n = r->n, d = r->d;
    for (int64_t row = n - 1; row >= 0; row--)
        for (int64_t i = 0; i < d; i++) {
            int64_t at = row * d + i, behind = (n + row) * d + i;
            float f = r->faded[at], before = row > 0 ? r->faded[at - d] : 1;
            r->tail[i] +=
                x->reads[at] * g->d_r[at] - x->writes[at] * r->d_writes[at] - x->writes[behind] * r->d_writes[behind];
            g->d_log_decay[at] = r->tail[i];
            r->tail[i] += x->kk[at] * g->d_kk[at];
            g->d_r[at] *= f;
            g->d_kk[at] *= before;
            g->d_k[at] = r->d_writes[at] / f;
            g->d_back[at] = -r->d_writes[behind] / f;
        }
}

void mn_rwkv7_chunk_backward(const mn_kernels *kernels, const mn_rwkv7_chunk_grad *g, float *scratch) {
    run r = share_out(kernels, g, scratch);
    begin(&r);
    back_writes(&r);
    back_pairs(&r);
    back_rows(&r);
    unfade_rows(&r);
}
