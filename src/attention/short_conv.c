#include "attention/short_conv.h"

#include "base/checked.h"

#include <string.h>

enum { BLOCK = 16 }; /* channels whose taps are gathered once for all rows; one cache line of a row */

static const float *row_before(const float *x, const float *history, int64_t row, int n_taps, int n_channels) {
    return row >= 0 ? x + row * n_channels : history + (n_taps - 1 + row) * n_channels;
}

/* out[0, n) = or += weights * x. The full block is its own loop, of a length the compiler knows. */
static void apply_tap(float *restrict out, const float *restrict x, const float *restrict weights, int n, int first) {
    if (first)
        for (int i = 0; i < n; i++) out[i] = weights[i] * x[i];
    else if (n == BLOCK)
        for (int i = 0; i < BLOCK; i++) out[i] += weights[i] * x[i];
    else
        for (int i = 0; i < n; i++) out[i] += weights[i] * x[i];
}

void mn_short_conv(float *out, const float *x, const float *history, const float *taps, int n_taps, int n_channels,
                   int64_t n_rows) {
    for (int begin = 0; begin < n_channels; begin += BLOCK) {
        int n = MN_MIN(n_channels - begin, BLOCK);
        for (int tap = 0; tap < n_taps; tap++) {
            float weights[BLOCK];
            for (int i = 0; i < n; i++) weights[i] = taps[(int64_t)(begin + i) * n_taps + tap];
            for (int64_t row = 0; row < n_rows; row++)
                apply_tap(out + row * n_channels + begin, row_before(x, history, row - tap, n_taps, n_channels) + begin,
                          weights, n, tap == 0);
        }
    }
}

void mn_short_conv_advance(float *history, const float *x, int n_taps, int n_channels, int64_t n_rows) {
    int64_t n_held = n_taps - 1, n_new = MN_MIN(n_rows, n_held), n_kept = n_held - n_new;
    size_t row_bytes = (size_t)n_channels * sizeof *x;
    memmove(history, history + n_new * n_channels, (size_t)n_kept * row_bytes);
    memcpy(history + n_kept * n_channels, x + (n_rows - n_new) * n_channels, (size_t)n_new * row_bytes);
}
