/* The backward of the causal convolution before a recurrent state (causal_conv.h). With z what f was given:
 *
 *   d_z = d_out f'(z),  d_x_t = sum_j taps_j d_z_{t+j},  d_taps_j = sum_t d_z_t x_{t-j},  d_bias = sum_t d_z_t
 */
#ifndef MN_RECURRENT_CAUSAL_CONV_BACKWARD_H
#define MN_RECURRENT_CAUSAL_CONV_BACKWARD_H

#include "recurrent/causal_conv.h"

typedef struct mn_causal_conv_grad {
    const float *d_out, *x; /* [n_rows, n_channels] of one sequence from its first token on, rows strides apart */
    int64_t d_out_stride, x_stride, n_rows;
    float *d_x;    /* rows x_stride apart, added to */
    float *d_taps; /* [n_taps, n_channels], added to */
    float *d_bias; /* [n_channels], added to; NULL: frozen, or there is none */
} mn_causal_conv_grad;

/* About 6 n_taps operations for each value. No result depends on the number of threads. Scratch: n_rows n_channels
 * floats, and (n_taps + 1) n_channels for each of at most 66 pieces of rows. MN_ERR_MEMORY when it ends. */
mn_status mn_causal_conv_backward(const mn_compute *c, const mn_causal_conv *conv, const mn_causal_conv_grad *g,
                                  mn_error *err);

#endif
