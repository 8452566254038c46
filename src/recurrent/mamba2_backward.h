/* The backward of Mamba-2 (mamba2.h): that of the state (matrix_state_backward.h), of the step dt = softplus(z), z = x
 * + dt_bias, which is both beta and, as decay = e^(dt a), the decay, and of what passes the state by:
 *
 *   d_dt = d_beta + d_decay decay a,  d_x = d_dt sigmoid(z),  d_dt_bias = sum d_x,  d_a = sum d_decay decay dt
 *   d_v += d d_out,  d_d = sum d_out . v
 */
#ifndef MN_RECURRENT_MAMBA2_BACKWARD_H
#define MN_RECURRENT_MAMBA2_BACKWARD_H

#include "recurrent/mamba2.h"
#include "recurrent/matrix_state_backward.h"

typedef struct mn_mamba2_grad {
    const float *d_out;
    int64_t d_out_stride;
    float *d_q, *d_k, *d_v;       /* as in mn_matrix_grad, added to */
    float *d_dt;                  /* as dt, stride included, added to */
    float *d_a, *d_dt_bias, *d_d; /* as the layer's, added to; NULL: frozen */
} mn_mamba2_grad;

/* Of rows from a state of zeros on. No result depends on the number of threads or on chunk. MN_ERR_MEMORY when scratch
 * ends. */
mn_status mn_mamba2_backward(const mn_compute *c, const mn_mamba2 *layer, const mn_matrix_rows *rows, const float *dt,
                             int64_t dt_stride, const mn_mamba2_grad *g, int chunk, mn_error *err);

#endif
