/* The backward of the short convolution (short_conv.h):
 *
 *   d_x_t[c] = sum_j taps[c, j] d_out_{t+j}[c]          d_taps[c, j] += sum_t d_out_t[c] x_{t-j}[c]
 */
#ifndef MN_RECURRENT_SHORT_CONV_BACKWARD_H
#define MN_RECURRENT_SHORT_CONV_BACKWARD_H

#include "base/status.h"
#include "kernels/compute.h"

#include <stdint.h>

typedef struct mn_short_conv_grad {
    const float *d_out, *x; /* [n_rows, n_channels] of one sequence */
    const float *history;   /* [n_taps - 1, n_channels], the rows before x[0]; constants. NULL: zeros */
    const float *taps;      /* [n_channels, n_taps] */
    int n_taps, n_channels;
    int64_t n_rows;
    float *d_x;    /* [n_rows, n_channels], written; must not overlap d_out */
    float *d_taps; /* [n_channels, n_taps], added to; NULL: frozen */
} mn_short_conv_grad;

/* 4 n_taps operations for each value. No result depends on the number of threads. Scratch: n_taps n_channels floats for
 * each of at most 66 pieces of rows. MN_ERR_MEMORY when it ends. */
mn_status mn_short_conv_backward(const mn_compute *c, const mn_short_conv_grad *g, mn_error *err);

#endif
