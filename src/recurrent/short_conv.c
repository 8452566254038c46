#include "recurrent/short_conv.h"

#include "base/checked.h"

#include <string.h>

enum { BLOCK = 16 }; /* channels whose taps are gathered once for all rows; one cache line of a row */

/* out = or += weights * x in n channels of each row. */
static void apply(float *restrict out, const float *restrict x, const float *restrict weights, int n, int n_channels,
                  int64_t n_rows, int tap) {
    for (int64_t row = 0; row < n_rows; row++, out += n_channels, x += n_channels) {
        if (tap == 0)
            for (int i = 0; i < n; i++) out[i] = weights[i] * x[i];
        else if (n == BLOCK)
            for (int i = 0; i < BLOCK; i++) out[i] += weights[i] * x[i];
        else
            for (int i = 0; i < n; i++) out[i] += weights[i] * x[i];
    }
}

/* One row, as when decoding: too little to gather taps for. The same products, summed in the same order. */
static void convolve_row(float *out, const float *x, const float *history, const float *taps, int n_taps,
                         int64_t n_channels) {
    for (int64_t c = 0; c < n_channels; c++) {
        float sum = taps[c * n_taps] * x[c];
        for (int tap = 1; tap < n_taps; tap++)
            sum += taps[c * n_taps + tap] * history[(n_taps - 1 - tap) * n_channels + c];
        out[c] = sum;
    }
}

void mn_short_conv(float *out, const float *x, const float *history, const float *taps, int n_taps, int n_channels,
                   int64_t n_rows) {
    if (n_rows == 1) {
        convolve_row(out, x, history, taps, n_taps, n_channels);
        return;
    }
    for (int64_t begin = 0; begin < n_channels; begin += BLOCK) {
        int n = (int)MN_MIN(n_channels - begin, BLOCK);
        for (int tap = 0; tap < n_taps; tap++) {
            float weights[BLOCK];
            for (int i = 0; i < n; i++) weights[i] = taps[(begin + i) * n_taps + tap];
            int64_t n_old = MN_MIN(tap, n_rows); /* rows whose x_{t-tap} lies in history */
            if (n_old > 0)
                apply(out + begin, history + (int64_t)(n_taps - 1 - tap) * n_channels + begin, weights, n, n_channels,
                      n_old, tap);
            apply(out + n_old * n_channels + begin, x + begin, weights, n, n_channels, n_rows - n_old, tap);
        }
    }
}

void mn_short_conv_advance(float *history, const float *x, int n_taps, int n_channels, int64_t n_rows) {
    int64_t n_held = n_taps - 1, n_new = MN_MIN(n_rows, n_held), n_kept = n_held - n_new;
    size_t row_bytes = (size_t)n_channels * sizeof *x;
    if (n_new == 0) return;
    memmove(history, history + n_new * n_channels, (size_t)n_kept * row_bytes);
    memcpy(history + n_kept * n_channels, x + (n_rows - n_new) * n_channels, (size_t)n_new * row_bytes);
}

const mn_technique mn_short_conv_about = {
    .name = "short convolution on queries and keys",
    .paper = "Yang et al. 2024 (arXiv:2412.06464)",
    .file = "src/recurrent/short_conv.c",
    .test = "tests/recurrent/short_conv_test.c",
    .exact = true,
    .training = MN_TRAINING_DONE,
};
