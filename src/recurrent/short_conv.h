/* A short causal convolution over time, one filter per channel (depthwise): what architecture `mnemo` does to q and k
 * after the projection and before RoPE, so that a key can carry the tokens just before it.
 *
 *   out_t[c] = sum_{j=0}^{n_taps-1} taps[c, j] x_{t-j}[c]
 */
#ifndef MN_RECURRENT_SHORT_CONV_H
#define MN_RECURRENT_SHORT_CONV_H

#include "base/technique.h"

#include <stdint.h>

/* out, x: [n_rows, n_channels], not overlapping; taps: [n_channels, n_taps], tap 0 = the row itself.
 * history: [n_taps - 1, n_channels], the rows before x[0], oldest first; zeros at the start of a text.
 * Sums run over j ascending, so splitting a text into calls changes no bit. */
void mn_short_conv(float *out, const float *x, const float *history, const float *taps, int n_taps, int n_channels,
                   int64_t n_rows);

/* Moves history past the rows of x: afterwards it holds the last n_taps - 1 rows of (history, x). */
void mn_short_conv_advance(float *history, const float *x, int n_taps, int n_channels, int64_t n_rows);
extern const mn_technique mn_short_conv_about;

#endif
