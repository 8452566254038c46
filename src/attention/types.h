/* One call of attention, as data: queries, a view of cached keys and values, and who sees whom. A sparse pattern only
 * chooses key blocks; heads are a layout; position schemes and biases are data.
 */
#ifndef MN_ATTENTION_TYPES_H
#define MN_ATTENTION_TYPES_H

#include "base/status.h"
#include "kvcache/view.h"
#include "tensor/tensor.h"

#include <stdbool.h>
#include <stdint.h>

/* Keys are walked in ranges of so many, each with a softmax of its own (tile.h). */
enum { MN_RANGE_KEYS = 1024 };

/* For each query block the ascending key blocks it may see. Key block b covers tokens [b * block_tokens, (b + 1) *
 * block_tokens), absolute positions; query blocks are as long, unless query_tokens says otherwise. */
typedef struct mn_block_list {
    int block_tokens; /* >= 16, a power of two */
    int64_t first_query_block, n_query_blocks;
    int n_lists;            /* 1: all heads alike; n_kv_heads or n_heads: of head h at h * n_query_blocks + block */
    const int64_t *offsets; /* [n_lists * n_query_blocks + 1] into blocks */
    const int32_t *blocks;
    int query_tokens; /* tokens of a query block, 1 or more; 0: block_tokens */
    bool by_content;  /* chosen by what keys hold, all of which are in memory then: no call is made in several */
} mn_block_list;

/* Tokens of a query block. */
static inline int mn_query_block_tokens(const mn_block_list *lists) {
    return lists->query_tokens > 0 ? lists->query_tokens : lists->block_tokens;
}

/* Multi-head latent attention: the up-projections of one layer, of any weight type; borrowed. */
typedef struct mn_mla {
    mn_tensor k_up; /* [n_heads][kv_rank][n_nope]: W_UK,h^T, as files hold it */
    mn_tensor v_up; /* [n_heads][v_dim][kv_rank]: W_UV,h */
    int kv_rank, n_nope, n_rot, v_dim;
} mn_mla;

/* Query row r (token first_token + r) sees key j when all hold:
 *   j <= first_token + r                                   causal
 *   j < kv.n_tokens
 *   window == 0  or  first_token + r - j < window  or  j < n_sinks       sliding window, own token included
 *   dilation <= 1  or  (first_token + r - j) % dilation == 0  or  j < n_sinks
 *   segment == 0 or  j / segment == (first_token + r) / segment  or  j < n_sinks
 *   blocks == NULL or the list of r's block contains j's block
 *   key_begin == NULL or key_begin[r] <= j < key_end[r]    (with n_sinks == 0)
 *   chosen == NULL or bit j % 64 of chosen[r * chosen_words + j / 64] is set
 * score = softcap(scale * q.k) - slopes[h] * (first_token + r - j), softcap(s) = c tanh(s / c) when softcap c > 0.
 * Query heads [g * h, g * (h + 1)), g = n_heads / n_kv_heads, share KV head h. A row that sees nothing gives zeros.
 * With sinks the softmax of head h has one score more, sinks[h], without a value: it takes its share of the weight and
 * gives nothing (gpt-oss, arXiv:2508.10925; Miller 2023, "Attention is off by one"). */
typedef struct mn_attend {
    const float *q; /* [n_rows, n_heads, k_dim], rows q_stride floats apart */
    float *out;     /* [n_rows, n_heads, v_dim], rows out_stride floats apart; must not overlap q */
    int64_t q_stride, out_stride;
    int64_t n_rows, first_token;
    int n_heads;
    float scale, softcap;
    int64_t window, segment;
    int64_t n_sinks, dilation; /* 0 = off */
    const float *slopes;       /* [n_heads] or NULL */
    const float *sinks;        /* [n_heads] or NULL: learned, counted in out and lse of every call, never in sums */
    const mn_block_list *blocks;
    const uint64_t *chosen; /* [n_rows, chosen_words], a bit for each of kv's entries (indexer.h), or NULL */
    int64_t chosen_words;
    const int64_t *key_begin, *key_end; /* [n_rows], neither falling from row to row, or both NULL */
    float *lse; /* [n_rows, n_heads] or NULL: log2 of the sum of exp(score), -INFINITY for a row that saw nothing and
                   has no sink */
    /* Attention in several calls over keys that follow each other, when they are not in memory together: the last gives
     * the bits that one call gives. Keys outside [first_key, end_key) are not looked at; both are multiples of
     * MN_RANGE_KEYS, end_key 0 or past the last key is no end. */
    int64_t first_key, end_key;
    /* Running softmaxes, which each call continues (mn_attend_sums, tile.h); out is what they give so far. Or NULL. */
    float *sums;
    /* Keys and values are made from kv's entries, and q and out have their widths (mla.h). NULL: they are kv's. */
    const mn_mla *mla;
    mn_kv_view kv;
} mn_attend;

/* Whether the geometry, the types and the block lists can be executed; everything that attends begins with it. */
mn_status mn_attend_check(const mn_attend *a, mn_error *err);

#endif
