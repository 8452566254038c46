/* Linear attention (Katharopoulos et al., arXiv:2006.16236): softmax's exp(q.k) becomes phi(q).phi(k), and the sum over
 * all keys becomes one matrix that does not grow with the text.
 *
 *   S_t = S_{t-1} + phi(k_t) v_t^T,  z_t = z_{t-1} + phi(k_t),  out_t = S_t^T phi(q_t) / (z_t . phi(q_t) + 1e-6)
 *
 * with phi(x) = elu(x) + 1. There is no 1 / sqrt(d).
 *
 * Queries and keys come here without rotation (RoPE), as to the memory of Infini-attention: a rotated vector changes
 * its signs with its position, so phi(R_i q).phi(R_j k) is no function of i - j and says nothing that a model learned.
 * The paper adds positions to embeddings, and hybrids that were trained leave the rotation to their softmax layers.
 */
#ifndef MN_RECURRENT_LINEAR_H
#define MN_RECURRENT_LINEAR_H

#include "kernels/compute.h"

#include <stddef.h>
#include <stdint.h>

/* Query heads [g * h, g * (h + 1)), g = n_heads / n_kv_heads, read the memory of KV head h. */
typedef struct mn_linear {
    int n_heads, n_kv_heads, k_dim, v_dim;
} mn_linear;

/* Bytes of the state of one sequence in one layer, whatever the length: plain memory, zeros = the start of a text, to
 * be copied away and back freely. The caller owns it, aligned to 64 bytes. 0 when the size overflows. */
size_t mn_linear_state_bytes(const mn_linear *shape);

/* Takes n_rows more tokens. q [n_rows, n_heads, k_dim], k [n_rows, n_kv_heads, k_dim], v [n_rows, n_kv_heads, v_dim],
 * out [n_rows, n_heads, v_dim]. Any split of a text into calls gives the same bits. About 2 k_dim v_dim products per
 * token and head. MN_ERR_FORMAT when the state cannot be one, MN_ERR_MEMORY when scratch ends. */
mn_status mn_linear_step(const mn_compute *c, const mn_linear *shape, void *state, float *out, const float *q,
                         const float *k, const float *v, int64_t n_rows, mn_error *err);

#endif
