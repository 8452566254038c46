/* The backward of a chunk of one RWKV-7 head (rwkv7_chunk.h). With R_i = F_i r_i, K_i = F_{i-1} kk_i, Y the writes (k_j
 * / F_j, then -b_j / F_j), w the rows written (v, then u), A and P their pairs, G the gradient of the state after the
 * chunk and H = F_n G:
 *
 *   dw = P^T d_out + Y H + A^T du,  du by substitution from the end
 *   dP = d_out w^T,  dA = du w^T,  dR = d_out M^T + dP Y,  dK = du M^T + dA Y,  dY = dP^T R + dA^T K + w H^T
 *   G = H + R^T d_out + K^T du                                  the gradient of M, the state before the chunk
 *
 * The logarithm of a decay is in all F_i from its row on: what R and K give to their gradients counts for it, what Y
 * gives counts against it.
 */
#ifndef MN_RECURRENT_RWKV7_CHUNK_BACKWARD_H
#define MN_RECURRENT_RWKV7_CHUNK_BACKWARD_H

#include "recurrent/rwkv7_chunk.h"

typedef struct mn_rwkv7_chunk_grad {
    const mn_rwkv7_chunk *chunk; /* as it was taken: m is the state after it */
    const mn_rwkv7_parts *parts;
    const float *before;        /* M: [dim, dim] */
    const float *d_out;         /* [n_rows, dim] */
    float *d_m;                 /* G of the state after the chunk, then of that before it: [dim, dim] */
    float *d_log_decay;         /* [n_rows, dim], written, as those below */
    float *d_r, *d_kk, *d_back; /* d_back: of b */
    float *d_w;                 /* [2 n_rows, dim]: of v, then of u */
    float *d_k;
} mn_rwkv7_chunk_grad;

size_t mn_rwkv7_chunk_backward_floats(int dim, int n_rows);
void mn_rwkv7_chunk_backward(const mn_kernels *kernels, const mn_rwkv7_chunk_grad *g, float *scratch);

#endif
