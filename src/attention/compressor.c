#include "attention/compressor.h"

#include "base/checked.h"

#include <math.h>
#include <string.h>

enum { PIECE = 64 }; /* channels of a thread at a time */

typedef struct compression {
    const mn_compressor *x;
    const float *state;
    const mn_compressor_rows *in;
    float *keys;
    int64_t first_block, n_pieces;
} compression;

/* A token's u, and its s, from a channel on. */
static const float *u_of(const compression *j, int64_t token, int64_t channel) {
    int64_t row = token - j->in->first_token;
    if (row >= 0) return j->in->u + row * j->in->u_stride + channel;
    return j->state + token % mn_compressor_span(j->x) * mn_compressor_width(j->x) + channel;
}

static const float *s_of(const compression *j, int64_t token, int64_t channel) {
    int64_t row = token - j->in->first_token, span = mn_compressor_span(j->x), width = mn_compressor_width(j->x);
    if (row >= 0) return j->in->s + row * j->in->s_stride + channel;
    return j->state + (span + token % span) * width + channel;
}

/* The score that a token has in a block, in n channels of the key from `first` on; returns where its u begins. */
static const float *score(const compression *j, int64_t token, int64_t block, int64_t first, int64_t n, float *out) {
    const mn_compressor *x = j->x;
    int64_t channel = first + (x->overlaps && token >= block * x->ratio ? x->dim : 0);
    const float *s = s_of(j, token, channel);
    const float *ape = x->ape + token % x->ratio * mn_compressor_width(x) + channel;
    for (int64_t i = 0; i < n; i++) out[i] = s[i] + ape[i];
    return u_of(j, token, channel);
}

static void compress_piece(const compression *j, int64_t block, int64_t first, int64_t n, float *key) {
    float s[PIECE], most[PIECE], sum[PIECE], mean[PIECE];
    int64_t end = (block + 1) * j->x->ratio, begin = MN_MAX(end - mn_compressor_span(j->x), 0);
    for (int64_t i = 0; i < n; i++) {
        most[i] = -INFINITY;
        sum[i] = mean[i] = 0;
    }
    for (int64_t token = begin; token < end; token++) {
        score(j, token, block, first, n, s);
        for (int64_t i = 0; i < n; i++) most[i] = fmaxf(most[i], s[i]);
    }
    for (int64_t token = begin; token < end; token++) {
        const float *u = score(j, token, block, first, n, s);
        for (int64_t i = 0; i < n; i++) {
            float weight = expf(s[i] - most[i]);
            sum[i] += weight;
            mean[i] += weight * u[i];
        }
    }
    for (int64_t i = 0; i < n; i++) key[i] = mean[i] / sum[i];
}

static void compress_pieces(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const compression *j = arg;
    for (int64_t item = begin; item < end; item++) {
        int64_t index = item / j->n_pieces, first = item % j->n_pieces * PIECE;
        compress_piece(j, j->first_block + index, first, MN_MIN((int64_t)PIECE, j->x->dim - first),
                       j->keys + index * j->x->dim + first);
    }
}

void mn_compress(const mn_compute *c, const mn_compressor *x, const float *state, const mn_compressor_rows *in,
                 float *keys) {
    compression j = {x, state, in, keys, mn_compressor_blocks(x, in->first_token), (x->dim + PIECE - 1) / PIECE};
    int64_t n_blocks = mn_compressor_blocks(x, in->first_token + in->n_rows) - j.first_block;
    mn_pool_run(c->pool, n_blocks * j.n_pieces, 1, compress_pieces, &j);
}

void mn_compressor_advance(const mn_compressor *x, float *state, const mn_compressor_rows *in) {
    int64_t span = mn_compressor_span(x), width = mn_compressor_width(x);
    for (int64_t row = MN_MAX(in->n_rows - span, 0); row < in->n_rows; row++) {
        float *slot = state + (in->first_token + row) % span * width;
        memcpy(slot, in->u + row * in->u_stride, (size_t)width * sizeof *slot);
        memcpy(slot + span * width, in->s + row * in->s_stride, (size_t)width * sizeof *slot);
    }
}

const mn_technique mn_compressed_sparse_about = {
    .name = "compressed sparse attention (CSA)",
    .paper = "DeepSeek-AI 2026, DeepSeek-V4",
    .file = "src/attention/compressor.c",
    .test = "tests/attention/compressor_test.c",
    .exact = true,
    .training = MN_TRAINING_DONE,
};

const mn_technique mn_heavily_compressed_about = {
    .name = "heavily compressed attention (HCA)",
    .paper = "DeepSeek-AI 2026, DeepSeek-V4",
    .file = "src/attention/compressor.c",
    .test = "tests/attention/compressor_test.c",
    .exact = true,
    .training = MN_TRAINING_DONE,
};
