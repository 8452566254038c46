/* The backward of a mixture of experts (moe.h): rows are gathered per expert as in the forward, and what an expert
 * computed is computed again, so that nothing but x, ids and weights is kept. For the rows of expert e, with h =
 * silu(g) * u:
 *
 *   d_h = weight d_out W_down,  d_weight = (d_out W_down) . h,  d_g, d_u from d_h,  d_x += d_g W_gate + d_u W_up
 *   dW_down += (weight d_out)^T h,  dW_gate += d_g^T x,  dW_up += d_u^T x
 */
#ifndef MN_MLP_MOE_BACKWARD_H
#define MN_MLP_MOE_BACKWARD_H

#include "mlp/moe.h"

typedef struct mn_moe_grad {
    const float *d_out;            /* [n_rows, n_embd] */
    float *d_x;                    /* [n_rows, n_embd], added to */
    float *d_weights;              /* [n_rows, n_used], written; NULL: not wanted */
    float *d_gate, *d_up, *d_down; /* stacks shaped as the experts', f32, added to; NULL: frozen */
} mn_moe_grad;

/* 16 n_ff n_embd operations for each row of each of its experts (the forward takes 6). A row's d_x adds its experts by
 * ascending id; no result depends on the number of threads. MN_ERR_MEMORY when scratch ends. */
mn_status mn_moe_backward(const mn_compute *c, const mn_experts *experts, const mn_moe_grad *g, const float *x,
                          const int32_t *ids, const float *weights, int n_used, int64_t n_rows, mn_error *err);

#endif
