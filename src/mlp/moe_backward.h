/* The backward of a mixture of experts (moe.h): rows are gathered per expert as in the forward, and what an expert
 * computed is computed again, so that nothing but x, ids and weights is kept. For the rows of expert e, with h the
 * activation of g = W_gate x + b_gate and u = W_up x + b_up, and f = weight scale_e the factor of its output y =
 * W_down h + b_down:
 *
 *   d_h = f d_out W_down,  d_g, d_u from d_h (activation_backward.h),  d_x += d_g W_gate + d_u W_up
 *   d_weight = scale_e d_out . y,  d_scale_e += weight d_out . y
 *   dW_down += (f d_out)^T h,  dW_gate += d_g^T x,  dW_up += d_u^T x, and the biases the sums of the same rows
 *
 * Where the weight multiplies the input instead (weighs_input), f = scale_e, the rows are w x, and d_weight = d_in . x.
 */
#ifndef MN_MLP_MOE_BACKWARD_H
#define MN_MLP_MOE_BACKWARD_H

#include "mlp/moe.h"

typedef struct mn_moe_grad {
    const float *d_out; /* [n_rows, n_embd] */
    float *d_x;         /* [n_rows, n_embd], added to */
    float *d_weights;   /* [n_rows, n_used], written; NULL: not wanted */
    /* As the experts' own lie, f32, added to; NULL: frozen, or there is none. */
    float *d_gate, *d_up, *d_down;
    float *d_gate_b, *d_up_b, *d_down_b, *d_scale;
} mn_moe_grad;

/* 16 n_ff n_embd operations for each row of each of its experts (the forward takes 6). A row's d_x adds its experts by
 * ascending id; no result depends on the number of threads. MN_ERR_MEMORY when scratch ends. */
mn_status mn_moe_backward(const mn_compute *c, const mn_experts *experts, const mn_moe_grad *g, const float *x,
                          const int32_t *ids, const float *weights, int n_used, int64_t n_rows, mn_error *err);

#endif
