/* The gated delta rule: Gated DeltaNet (Yang et al. 2024, arXiv:2412.06464, eq. 10), whose heads have one decay each,
 * and Kimi Delta Attention (Kimi Team 2025, arXiv:2510.26692, eq. 1), where each key channel has its own.
 *
 *   g = a softplus(decay + dt_bias),  beta = sigmoid(beta)
 *   M_t = diag(e^g) M_{t-1} + k (beta (v - (diag(e^g) M_{t-1})^T k))^T,  out = M_t^T q
 *
 * q and k come normalised, q with its scale: matrix_state.h, which computes the rest.
 */
#ifndef MN_RECURRENT_GATED_DELTA_H
#define MN_RECURRENT_GATED_DELTA_H

#include "base/technique.h"
#include "recurrent/matrix_state.h"

/* What one layer has learned. */
typedef struct mn_gated_delta {
    mn_matrix_state shape; /* corrects */
    const float *a;        /* [n_heads], at most 0 */
    const float *dt_bias;  /* [n_heads], or [n_heads, k_dim] where channels decay apart */
} mn_gated_delta;

/* Gates as they were projected: decay [n_rows, n_heads (, k_dim)], beta [n_rows, n_heads]; strides are of rows. Those
 * of heads may stand in groups of `group`, group_stride floats apart; group 0: side by side. */
typedef struct mn_delta_gates {
    const float *decay, *beta;
    int64_t decay_stride, beta_stride, group, group_stride;
} mn_delta_gates;

/* Where the number of a head stands in a row of beta, and of decay where a head has one. */
static inline int64_t mn_delta_gate_at(const mn_delta_gates *g, int64_t head) {
    return g->group ? head / g->group * g->group_stride + head % g->group : head;
}

/* Takes n_rows more tokens of one sequence; rows->decay and rows->beta are not looked at. MN_ERR_MEMORY when scratch
 * ends. */
mn_status mn_gated_delta_step(const mn_compute *c, const mn_gated_delta *layer, float *states,
                              const mn_matrix_rows *rows, const mn_delta_gates *gates, mn_error *err);
/* What the gates come to: decay e^g [n_rows, n_heads (, k_dim)] and beta [n_rows, n_heads], without gaps. */
void mn_delta_make_gates(const mn_compute *c, const mn_gated_delta *layer, const mn_delta_gates *gates, int64_t n_rows,
                         float *decay, float *beta);
extern const mn_technique mn_gated_delta_about, mn_kda_about;

#endif
