/* Heads whose recurrent state is a matrix that fades: what Mamba-2 and the gated delta rule have in common.
 *
 *   M_t = diag(d_t) M_{t-1} + k_t w_t^T,  out_t = M_t^T q_t
 *   w_t = beta_t v_t                                     (Mamba-2, gated linear attention)
 *   w_t = beta_t (v_t - (diag(d_t) M_{t-1})^T k_t)       (the gated delta rule: what is not known yet is written)
 *
 * M is [k_dim, v_dim]; d_t has one factor for each head, or one for each key channel.
 *
 * Two ways to compute it. The recurrence takes a token after the other, and any split of a text into calls gives the
 * same bits. The chunked form (Yang et al. 2024, arXiv:2412.06464 sec. 3.3; Dao and Gu 2024, arXiv:2405.21060 sec. 6)
 * makes all the products of a chunk of tokens small matrix products. With F_i the product of d_1 ... d_i in the chunk
 * and F_ij that of d_{j+1} ... d_i, all at most 1 where models keep their promise:
 *
 *   w = beta (v - (F k) M)    by forward substitution with A_ij = beta_i k_i F_ij k_j (j < i); without the delta rule
 *                             w = beta v
 *   out_i = (F_i q_i)^T M + sum_{j <= i} (q_i F_ij k_j) w_j
 *   M = F_n M + sum_j (F_nj k_j) w_j^T
 *
 * About 3 k_dim v_dim products per token and head, and in chunks of n rows 2 n (k_dim + v_dim) / 2 more.
 */
#ifndef MN_RECURRENT_MATRIX_STATE_H
#define MN_RECURRENT_MATRIX_STATE_H

#include "kernels/compute.h"

#include <stddef.h>
#include <stdint.h>

enum { MN_MATRIX_CHUNK = 64 };

typedef struct mn_matrix_state {
    int n_heads, n_k_heads, k_dim, v_dim; /* states; heads of q and k, a divisor of n_heads */
    bool tiled;                           /* head h goes with key head h % n_k_heads; else neighbours share one */
    bool decays_channels, corrects;       /* d_t for each key channel; the delta rule */
} mn_matrix_state;

/* The rows of one sequence. Heads lie side by side; strides are of rows. */
typedef struct mn_matrix_rows {
    const float *q, *k, *v; /* [n_rows, n_k_heads, k_dim] twice, [n_rows, n_heads, v_dim] */
    int64_t q_stride, k_stride, v_stride;
    const float *decay; /* d: [n_rows, n_heads] or [n_rows, n_heads, k_dim], without gaps */
    const float *beta;  /* [n_rows, n_heads], without gaps */
    float *out;         /* [n_rows, n_heads, v_dim] */
    int64_t out_stride;
    int64_t n_rows;
} mn_matrix_rows;

/* Takes n_rows more tokens into the states [n_heads, k_dim, v_dim], zeros at the start of a text: by the recurrence in
 * exact arithmetic and for few rows, else in chunks. MN_ERR_MEMORY when scratch ends. */
mn_status mn_matrix_state_step(const mn_compute *c, const mn_matrix_state *shape, float *states,
                               const mn_matrix_rows *rows, mn_error *err);
/* The same in chunks of so many rows; 1: the recurrence. */
mn_status mn_matrix_state_chunks(const mn_compute *c, const mn_matrix_state *shape, float *states,
                                 const mn_matrix_rows *rows, int chunk, mn_error *err);

#endif
