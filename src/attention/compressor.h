/* Compressed keys (DeepSeek-AI 2026, "DeepSeek-V4", the parts on compressed sparse and heavily compressed attention): a
 * block of `ratio` tokens leaves one key behind, channel by channel a mean of what its tokens give, weighted by a
 * softmax over them.
 *
 *   u_t = W_kv h_t,  s_t = W_gate h_t + ape[t mod ratio]
 *   key_b = sum_t w_t u_t,  w = softmax of s_t over the tokens t of block b
 *
 * Blocks that overlap have u and s twice as wide: the second half serves the token's own block, the first half the
 * block after it, whose softmax is over 2 ratio tokens (those of block 0: over its own). What follows, a norm and the
 * rotation at the block's first position, is the caller's.
 *
 * A block is complete, and seen, from its last token on. Until then u and s of its tokens wait in the sequence's state.
 */
#ifndef MN_ATTENTION_COMPRESSOR_H
#define MN_ATTENTION_COMPRESSOR_H

#include "base/technique.h"
#include "kernels/compute.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct mn_compressor {
    int ratio, dim;   /* tokens of a block; numbers of a key */
    bool overlaps;    /* blocks look at the one before */
    const float *ape; /* [ratio, width] */
} mn_compressor;

/* Numbers that a token gives to u, and to s. */
static inline int64_t mn_compressor_width(const mn_compressor *x) { return (x->overlaps ? 2 : 1) * (int64_t)x->dim; }
/* Tokens that a block looks at. */
static inline int64_t mn_compressor_span(const mn_compressor *x) { return (x->overlaps ? 2 : 1) * (int64_t)x->ratio; }
/* Floats of the state: u, then s, of the last mn_compressor_span tokens, token t in row t mod span. */
static inline int64_t mn_compressor_state_floats(const mn_compressor *x) {
    return 2 * mn_compressor_span(x) * mn_compressor_width(x);
}
/* Blocks that are complete once n_tokens are there. */
static inline int64_t mn_compressor_blocks(const mn_compressor *x, int64_t n_tokens) { return n_tokens / x->ratio; }

/* u and s (as it was projected) of tokens [first_token, first_token + n_rows), rows the strides apart. */
typedef struct mn_compressor_rows {
    const float *u, *s;
    int64_t u_stride, s_stride, n_rows, first_token;
} mn_compressor_rows;

/* keys [blocks, dim] of the blocks that these rows complete. state: of the tokens before them. A key depends on nothing
 * but its tokens, however they were cut. Cost: an exp for each of a block's u. */
void mn_compress(const mn_compute *c, const mn_compressor *x, const float *state, const mn_compressor_rows *in,
                 float *keys);
/* The state once the rows were taken. */
void mn_compressor_advance(const mn_compressor *x, float *state, const mn_compressor_rows *in);
extern const mn_technique mn_compressed_sparse_about, mn_heavily_compressed_about;

#endif
