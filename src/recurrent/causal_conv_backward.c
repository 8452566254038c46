#include "recurrent/causal_conv_backward.h"

#include "base/checked.h"
#include "kernels/kernels.h"
#include "kernels/row_sums.h"

#include <string.h>

enum { ROWS_GRAIN = 16, PIECE = 256 /* channels whose sums stay in the first cache */ };

typedef struct job {
    const mn_kernels *kernels;
    const mn_causal_conv *conv;
    const mn_causal_conv_grad *g;
    float *d_z;         /* [n_rows, n_channels] */
    const float *zeros; /* [n_channels] */
} job;

static const float *x_at(const job *j, int64_t t) { return t >= 0 ? j->g->x + t * j->g->x_stride : j->zeros; }

/* d_z = d_out silu'(z), in the place of z; silu'(z) = s (1 + z (1 - s)), s = sigmoid(z) */
static void back_silu(const mn_kernels *kernels, float *z, const float *d_out, int64_t n) {
    float s[PIECE];
    kernels->recurrent.sigmoid_mul(s, z, NULL, n);
    for (int64_t i = 0; i < n; i++) z[i] = d_out[i] * s[i] * (1 + z[i] * (1 - s[i]));
}

static void make_d_z(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const job *j = arg;
    const mn_causal_conv *c = j->conv;
    const float *rows[MN_CONV_MAX_TAPS];
    for (int64_t t = begin; t < end; t++) {
        float *d_z = j->d_z + t * c->n_channels;
        const float *d_out = j->g->d_out + t * j->g->d_out_stride;
        if (!c->silu) {
            memcpy(d_z, d_out, (size_t)c->n_channels * sizeof *d_z);
            continue;
        }
        for (int tap = 0; tap < c->n_taps; tap++) rows[tap] = x_at(j, t - tap);
        j->kernels->recurrent.convolve(d_z, rows, c->taps, c->bias, c->n_taps, c->n_channels, false);
        for (int64_t i = 0; i < c->n_channels; i += PIECE)
            back_silu(j->kernels, d_z + i, d_out + i, MN_MIN((int64_t)PIECE, c->n_channels - i));
    }
}

/* Channels [first, first + n) of a row. sums: taps, then bias. */
static void back_row(const job *j, int64_t t, int64_t first, int64_t n, float *sums) {
    const mn_causal_conv *c = j->conv;
    const mn_vec_backward *vec = &j->kernels->vec_backward;
    int64_t all = c->n_channels;
    const float *d_z = j->d_z + t * all + first;
    float *d_x = j->g->d_x + t * j->g->x_stride + first, *of_bias = sums + c->n_taps * all + first;
    for (int tap = 0; tap < c->n_taps; tap++) {
        if (t - tap >= 0) vec->mul_add(sums + tap * all + first, d_z, x_at(j, t - tap) + first, n);
        if (t + tap < j->g->n_rows) vec->mul_add(d_x, c->taps + tap * all + first, d_z + tap * all, n);
    }
    j->kernels->vec.add(of_bias, of_bias, d_z, n);
}

static void back_rows(const void *arg, int64_t begin, int64_t end, float *sums) {
    const job *j = arg;
    for (int64_t first = 0; first < j->conv->n_channels; first += PIECE)
        for (int64_t t = begin; t < end; t++)
            back_row(j, t, first, MN_MIN((int64_t)PIECE, j->conv->n_channels - first), sums);
}

mn_status mn_causal_conv_backward(const mn_compute *c, const mn_causal_conv *conv, const mn_causal_conv_grad *g,
                                  mn_error *err) {
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    size_t n = (size_t)conv->n_channels, n_sums = ((size_t)conv->n_taps + 1) * n;
    float *sums = mn_arena_zalloc(c->scratch, n_sums, sizeof *sums);
    float *zeros = mn_arena_zalloc(c->scratch, n, sizeof *zeros);
    job j = {c->kernels, conv, g, mn_arena_alloc(c->scratch, (size_t)g->n_rows, n * sizeof(float)), zeros};
    if (!sums || !zeros || !j.d_z)
        return mn_fail(err, MN_ERR_MEMORY, "no memory for the gradients of a convolution of %d taps.", conv->n_taps);
    mn_pool_run(c->pool, g->n_rows, ROWS_GRAIN, make_d_z, &j);
    MN_TRY(mn_row_sums(c, sums, (int64_t)n_sums, g->n_rows, back_rows, &j, err));
    c->kernels->vec.add(g->d_taps, g->d_taps, sums, (int64_t)(n_sums - n));
    if (g->d_bias) c->kernels->vec.add(g->d_bias, g->d_bias, sums + n_sums - n, (int64_t)n);
    mn_arena_rewind(c->scratch, mark);
    return MN_OK;
}
