/* Mamba-2 (Dao and Gu 2024, arXiv:2405.21060, sec. 6): a state of [state_size, head_dim] for each head, with one decay.
 *
 *   dt = softplus(dt + dt_bias);  M_t = e^(dt a) M_{t-1} + dt B x^T;  out = M_t^T C + d x
 *
 * B and C are k and q of matrix_state.h, shared by the heads of a group; x is v, dt beta.
 */
#ifndef MN_RECURRENT_MAMBA2_H
#define MN_RECURRENT_MAMBA2_H

#include "base/technique.h"
#include "recurrent/matrix_state.h"

/* What one layer has learned. */
typedef struct mn_mamba2 {
    mn_matrix_state shape;        /* n_k_heads: groups; k_dim: state_size */
    const float *a, *dt_bias, *d; /* [n_heads]; a at most 0 */
} mn_mamba2;

/* Takes n_rows more tokens of one sequence. dt [n_rows, n_heads] as it was projected, rows dt_stride apart; rows->decay
 * and rows->beta are not looked at. MN_ERR_MEMORY when scratch ends. */
mn_status mn_mamba2_step(const mn_compute *c, const mn_mamba2 *layer, float *states, const mn_matrix_rows *rows,
                         const float *dt, int64_t dt_stride, mn_error *err);
/* What the gates come to: decay e^(dt a) and step dt, [n_rows, n_heads] without gaps. */
void mn_mamba2_make_gates(const mn_compute *c, const mn_mamba2 *layer, const float *dt, int64_t dt_stride,
                          int64_t n_rows, float *decay, float *step);
extern const mn_technique mn_mamba2_about;

#endif
