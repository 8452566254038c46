/* The causal convolution before a recurrent state, one filter per channel: out_t = f(b + sum_j taps_j x_{t-j}), f the
 * identity or silu. Gu and Dao 2023 (arXiv:2312.00752, sec. 3.4); alone, between two gates, it is LFM2's mixer.
 */
#ifndef MN_RECURRENT_CAUSAL_CONV_H
#define MN_RECURRENT_CAUSAL_CONV_H

#include "kernels/compute.h"

#include <stdint.h>

enum { MN_CONV_MAX_TAPS = 16 };

typedef struct mn_causal_conv {
    int n_taps; /* 1 to MN_CONV_MAX_TAPS */
    int64_t n_channels;
    const float *taps; /* [n_taps, n_channels], tap 0 = the row itself */
    const float *bias; /* [n_channels], or NULL */
    bool silu;
} mn_causal_conv;

/* out and x [n_rows, n_channels], not overlapping, rows strides apart. history [n_taps - 1, n_channels]: the rows
 * before x, oldest first, zeros at the start of a text; afterwards those before the next. Any split of a text into
 * calls gives the same bits. */
void mn_causal_conv_step(const mn_compute *c, const mn_causal_conv *conv, float *out, int64_t out_stride,
                         const float *x, int64_t x_stride, float *history, int64_t n_rows);

#endif
