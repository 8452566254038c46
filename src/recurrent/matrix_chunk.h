/* Inside the chunked form of states that fade (matrix_state.h): a head's rows, and the products of pairs of rows, which
 * the forward and the backward pass both begin with. */
#ifndef MN_RECURRENT_MATRIX_CHUNK_H
#define MN_RECURRENT_MATRIX_CHUNK_H

#include "kernels/kernels.h"
#include "recurrent/matrix_state.h"

enum { MN_MATRIX_NEAR = 16 }; /* rows whose pairs are multiplied one by one where channels decay apart */

/* One head of some rows, and the scratch of the thread that computes it. */
typedef struct mn_matrix_run {
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
    float *near;            /* [MN_MATRIX_NEAR + 1, k_dim], and at least [chunk] */
} mn_matrix_run;

/* Numbers of scratch for chunks of up to so many rows, and who gets which. */
size_t mn_matrix_run_floats(const mn_matrix_state *s, int chunk);
void mn_matrix_share_out(mn_matrix_run *r, float *scratch);

/* The pairs of rows [first, first + n): p_ij = q_i F_ij k_j for j <= i, zeros behind; with the delta rule a_ij = k_i
 * F_ij k_j for j < i, anything behind; and k_back. */
void mn_matrix_pairs(const mn_matrix_run *r, int64_t first, int n);

static inline int64_t mn_matrix_k_head(const mn_matrix_run *r) {
    const mn_matrix_state *s = r->shape;
    return s->tiled ? r->head % s->n_k_heads : r->head / (s->n_heads / s->n_k_heads);
}

static inline const float *mn_matrix_q(const mn_matrix_run *r, int64_t row) {
    return r->rows->q + row * r->rows->q_stride + mn_matrix_k_head(r) * r->shape->k_dim;
}
static inline const float *mn_matrix_k(const mn_matrix_run *r, int64_t row) {
    return r->rows->k + row * r->rows->k_stride + mn_matrix_k_head(r) * r->shape->k_dim;
}
static inline const float *mn_matrix_v(const mn_matrix_run *r, int64_t row) {
    return r->rows->v + row * r->rows->v_stride + (int64_t)r->head * r->shape->v_dim;
}
static inline float *mn_matrix_out(const mn_matrix_run *r, int64_t row) {
    return r->rows->out + row * r->rows->out_stride + (int64_t)r->head * r->shape->v_dim;
}
static inline float mn_matrix_beta(const mn_matrix_run *r, int64_t row) {
    return r->rows->beta[row * r->shape->n_heads + r->head];
}
/* The factors of a row: one, or k_dim of them. */
static inline const float *mn_matrix_decay(const mn_matrix_run *r, int64_t row) {
    int64_t n = r->shape->decays_channels ? r->shape->k_dim : 1;
    return r->rows->decay + (row * r->shape->n_heads + r->head) * n;
}

/* out = d x, for the factors of a row. */
static inline void mn_matrix_fade(const mn_matrix_run *r, float *out, const float *x, const float *decay) {
    int64_t n = r->shape->k_dim;
    if (r->shape->decays_channels)
        r->kernels->vec.mul(out, x, decay, n);
    else
        r->kernels->vec.scale(out, x, *decay, n);
}

#endif
