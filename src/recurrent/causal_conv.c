#include "recurrent/causal_conv.h"

#include "base/checked.h"
#include "kernels/kernels.h"

#include <string.h>

enum { ROWS_GRAIN = 16 };

typedef struct job {
    const mn_kernels *kernels;
    const mn_causal_conv *conv;
    float *out;
    const float *x, *history;
    int64_t out_stride, x_stride;
} job;

/* Row t, which may lie before x. */
static const float *row_at(const job *j, int64_t t) {
    return t >= 0 ? j->x + t * j->x_stride : j->history + (j->conv->n_taps - 1 + t) * j->conv->n_channels;
}

static void convolve_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const job *j = arg;
    const mn_causal_conv *c = j->conv;
    const float *rows[MN_CONV_MAX_TAPS];
    for (int64_t t = begin; t < end; t++) {
        for (int tap = 0; tap < c->n_taps; tap++) rows[tap] = row_at(j, t - tap);
        j->kernels->recurrent.convolve(j->out + t * j->out_stride, rows, c->taps, c->bias, c->n_taps, c->n_channels,
                                       c->silu);
    }
}

static void advance(const mn_causal_conv *c, float *history, const float *x, int64_t x_stride, int64_t n_rows) {
    int64_t n_held = c->n_taps - 1, n_new = MN_MIN(n_rows, n_held), n_kept = n_held - n_new;
    size_t row_bytes = (size_t)c->n_channels * sizeof *x;
    if (n_new == 0) return;
    memmove(history, history + n_new * c->n_channels, (size_t)n_kept * row_bytes);
    for (int64_t i = 0; i < n_new; i++)
        memcpy(history + (n_kept + i) * c->n_channels, x + (n_rows - n_new + i) * x_stride, row_bytes);
}

void mn_causal_conv_step(const mn_compute *c, const mn_causal_conv *conv, float *out, int64_t out_stride,
                         const float *x, int64_t x_stride, float *history, int64_t n_rows) {
    job j = {c->kernels, conv, out, x, history, out_stride, x_stride};
    mn_pool_run(c->pool, n_rows, ROWS_GRAIN, convolve_rows, &j);
    if (!mn_pool_is_dry(c->pool)) advance(conv, history, x, x_stride, n_rows);
}
