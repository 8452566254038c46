#include "recurrent/short_conv_backward.h"

#include "base/checked.h"
#include "kernels/kernels.h"
#include "kernels/row_sums.h"

#include <string.h>

typedef struct conv_job {
    const mn_vec_kernels *vec;
    const mn_vec_backward *backward;
    const mn_short_conv_grad *g;
    const float *taps; /* [n_taps, n_channels] */
} conv_job;

/* Row t of x, before the first from history; NULL: zeros. */
static const float *row_at(const mn_short_conv_grad *g, int64_t t) {
    if (t >= 0) return g->x + t * g->n_channels;
    return g->history ? g->history + (g->n_taps - 1 + t) * g->n_channels : NULL;
}

static void back_row(const conv_job *job, int64_t t) {
    const mn_short_conv_grad *g = job->g;
    int64_t n = g->n_channels, last = MN_MIN((int64_t)g->n_taps, g->n_rows - t);
    float *d_x = g->d_x + t * n;
    job->vec->mul(d_x, job->taps, g->d_out + t * n, n);
    for (int64_t j = 1; j < last; j++) job->backward->mul_add(d_x, job->taps + j * n, g->d_out + (t + j) * n, n);
}

/* sums: [n_taps, n_channels] */
static void back_rows(const void *arg, int64_t begin, int64_t end, float *sums) {
    const conv_job *job = arg;
    const mn_short_conv_grad *g = job->g;
    int64_t n = g->n_channels;
    for (int64_t t = begin; t < end; t++) {
        back_row(job, t);
        for (int j = 0; j < g->n_taps; j++) {
            const float *x = row_at(g, t - j);
            if (x) job->backward->mul_add(sums + j * n, g->d_out + t * n, x, n);
        }
    }
}

static mn_status run(const mn_compute *c, const mn_short_conv_grad *g, mn_error *err) {
    size_t n = (size_t)g->n_taps * (size_t)g->n_channels;
    float *taps = mn_arena_alloc(c->scratch, n, sizeof *taps), *sums = mn_arena_zalloc(c->scratch, n, sizeof *sums);
    if (!taps || !sums)
        return mn_fail(err, MN_ERR_MEMORY, "no memory for the gradients of a convolution of %d taps.", g->n_taps);
    const mn_vec_kernels *vec = &c->kernels->vec;
    vec->transpose(taps, g->n_channels, g->taps, g->n_taps, g->n_channels, g->n_taps);
    conv_job job = {vec, &c->kernels->vec_backward, g, taps};
    MN_TRY(mn_row_sums(c, sums, (int64_t)n, g->n_rows, back_rows, &job, err));
    for (int64_t channel = 0; g->d_taps && channel < g->n_channels; channel++)
        for (int j = 0; j < g->n_taps; j++)
            g->d_taps[channel * g->n_taps + j] += sums[(int64_t)j * g->n_channels + channel];
    return MN_OK;
}

mn_status mn_short_conv_backward(const mn_compute *c, const mn_short_conv_grad *g, mn_error *err) {
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    mn_status status = run(c, g, err);
    mn_arena_rewind(c->scratch, mark);
    return status;
}
