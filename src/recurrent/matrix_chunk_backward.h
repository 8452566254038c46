/* The backward of a state that fades, in chunks (matrix_state.h): small products of matrices in the place of a token
 * after the other (Yang et al. 2024, arXiv:2412.06464, sec. 3.3 and app. A; Dao and Gu 2024, arXiv:2405.21060).
 *
 * Of a chunk, with M the state before it, F_i, F_ij as there, what is written w_i = beta_i z_i and
 *
 *   z = v - (F k) M - A w by forward substitution,  A_ij = k_i F_ij k_j (j < i); without the delta rule z = v
 *   out = (F q) M + P w,  P_ij = q_i F_ij k_j (j <= i);  M' = F_n M + B^T w,  B_j = F_nj k_j
 *
 * and with G the gradient of M':
 *
 *   dw = P^T d_out + B G - A^T dz,  dz = beta dw by substitution from the end;  d_v = dz,  d_beta_i = dw_i z_i
 *   dP = d_out w^T,  dA = -dz w^T,  dB = w G^T,  d(F q) = d_out M^T,  d(F k) = -dz M^T
 *   G = F_n G + (F q)^T d_out - (F k)^T dz                                  the gradient of M
 *
 * A factor F_ij grows with the logarithm of every decay from j + 1 to i, so that what a channel of q_i, and of k_i as a
 * reader of earlier rows, gives to their gradients also counts for the logarithms of all decays up to i, and what k_j
 * gives as the one who is read counts against those up to j.
 */
#ifndef MN_RECURRENT_MATRIX_CHUNK_BACKWARD_H
#define MN_RECURRENT_MATRIX_CHUNK_BACKWARD_H

#include "kernels/kernels.h"
#include "recurrent/matrix_state_backward.h"

/* Where the gradients of one head's rows go; d_q and d_k without gaps for each of n_heads heads: rows of n_heads *
 * k_dim, written. */
typedef struct mn_matrix_head_grad {
    const mn_matrix_grad *g;
    float *d_q, *d_k;
} mn_matrix_head_grad;

/* Numbers of scratch for rows of one head. */
size_t mn_matrix_chunk_backward_floats(const mn_matrix_state *shape, int64_t n_rows, int chunk);
/* One head from a state of zeros on. The states before chunks and what is written are kept on the way forth, the rest
 * is made again. About 2.9 times the forward's products. */
void mn_matrix_chunk_backward(const mn_kernels *kernels, const mn_matrix_state *shape, const mn_matrix_rows *rows,
                              int head, int chunk, const mn_matrix_head_grad *g, float *scratch);

#endif
