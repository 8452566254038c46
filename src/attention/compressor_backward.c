#include "attention/compressor_backward.h"

#include "base/checked.h"

#include <math.h>

typedef struct job {
    const mn_compressor *x;
    const mn_compressor_rows *in;
    const mn_compressor_grad *g;
    int64_t n_blocks;
} job;

/* One channel of a key: in which channel of u and s its tokens have it, and what they say there. */
static void back_channel(const job *j, int64_t block, int64_t i) {
    const mn_compressor *x = j->x;
    const mn_compressor_grad *g = j->g;
    int64_t width = mn_compressor_width(x), end = (block + 1) * x->ratio,
            begin = MN_MAX(end - mn_compressor_span(x), 0);
    float key = g->keys[block * x->dim + i], d_key = g->d_keys[block * x->dim + i], most = -INFINITY, sum = 0;
    for (int pass = 0; pass < 3; pass++)
        for (int64_t t = begin; t < end; t++) {
            int64_t channel = i + (x->overlaps && t >= block * x->ratio ? x->dim : 0);
            int64_t at_u = t * j->in->u_stride + channel, at_s = t * j->in->s_stride + channel,
                    at_ape = t % x->ratio * width + channel;
            float s = j->in->s[at_s] + x->ape[at_ape];
            if (pass == 0) most = fmaxf(most, s);
            if (pass == 1) sum += expf(s - most);
            if (pass < 2) continue;
            float weight = expf(s - most) / sum, d_s = weight * (j->in->u[at_u] - key) * d_key;
            g->d_u[at_u] += weight * d_key;
            g->d_s[at_s] += d_s;
            if (g->d_ape) g->d_ape[at_ape] += d_s;
        }
}

/* Items are channels: a token's u and s serve two blocks, and ape serves all. */
static void back_channels(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const job *j = arg;
    for (int64_t i = begin; i < end; i++)
        for (int64_t block = 0; block < j->n_blocks; block++) back_channel(j, block, i);
}

void mn_compress_backward(const mn_compute *c, const mn_compressor *x, const mn_compressor_rows *in,
                          const mn_compressor_grad *g) {
    job j = {x, in, g, mn_compressor_blocks(x, in->n_rows)};
    mn_pool_run(c->pool, x->dim, 8, back_channels, &j);
}
