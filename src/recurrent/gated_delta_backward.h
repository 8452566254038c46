/* The backward of the gated delta rule and of KDA (gated_delta.h): that of the state (matrix_state_backward.h), and of
 * the gates. With s = softplus(x + dt_bias), decay = e^(a s) and beta = sigmoid(b):
 *
 *   d_x = d_decay decay a sigmoid(x + dt_bias),  d_dt_bias = sum d_x,  d_a = sum d_decay decay s
 *   d_b = d_beta beta (1 - beta)
 */
#ifndef MN_RECURRENT_GATED_DELTA_BACKWARD_H
#define MN_RECURRENT_GATED_DELTA_BACKWARD_H

#include "recurrent/gated_delta.h"
#include "recurrent/matrix_state_backward.h"

typedef struct mn_delta_grad {
    const float *d_out;
    int64_t d_out_stride;
    float *d_q, *d_k, *d_v;            /* as in mn_matrix_grad, added to */
    float *d_gate_decay, *d_gate_beta; /* as gates->decay and beta, strides included, added to */
    float *d_a, *d_dt_bias;            /* as the layer's, added to; NULL: frozen */
} mn_delta_grad;

/* Of rows from a state of zeros on. No result depends on the number of threads or on chunk. MN_ERR_MEMORY when scratch
 * ends. */
mn_status mn_gated_delta_backward(const mn_compute *c, const mn_gated_delta *layer, const mn_matrix_rows *rows,
                                  const mn_delta_gates *gates, const mn_delta_grad *g, int chunk, mn_error *err);

#endif
