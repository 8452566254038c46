/* Attention over cached rows: one call per layer and sequence. A sparse pattern only chooses key blocks; heads are a
 * layout; position schemes and biases are data. (DESIGN.md, five ideas.)
 */
#ifndef MN_ATTENTION_ATTENTION_H
#define MN_ATTENTION_ATTENTION_H

#include "base/technique.h"
#include "kernels/compute.h"
#include "tensor/dtype.h"

#include <stdint.h>

/* Tokens of a KV page. A page holds, for one layer, [n_kv_heads][MN_PAGE_TOKENS] rows. */
enum { MN_PAGE_TOKENS = 128 };
/* Below this many rows a row tile alone would leave threads idle; keys are split instead. */
enum { MN_FLASH_MIN_ROWS = 16 };

/* One sequence's keys and values in one layer.
 * Row of token t, head h: pages[t / MN_PAGE_TOKENS] + (h * MN_PAGE_TOKENS + t % MN_PAGE_TOKENS) * row_bytes.
 * For absorbed MLA the values are the first v_dim elements of the key rows: v_pages = k_pages, same type and stride. */
typedef struct mn_kv_view {
    const void *const *k_pages, *const *v_pages; /* NULL entries: dropped, never to be read */
    mn_dtype k_type, v_type;
    size_t k_row_bytes, v_row_bytes; /* quantised rows are padded to whole blocks with zeros */
    int n_kv_heads, k_dim, v_dim;
    int64_t n_tokens;               /* rows filled */
    struct mn_key_summary *summary; /* of these keys, kept by their cache; NULL: there is none */
} mn_kv_view;

/* For each query block the ascending key blocks it may see. Key block b covers tokens [b * block_tokens, (b + 1) *
 * block_tokens), absolute positions; query blocks are as long, unless query_tokens says otherwise. */
typedef struct mn_block_list {
    int block_tokens; /* >= 16, a power of two */
    int64_t first_query_block, n_query_blocks;
    int n_lists;            /* 1: all heads alike; n_kv_heads or n_heads: of head h at h * n_query_blocks + block */
    const int64_t *offsets; /* [n_lists * n_query_blocks + 1] into blocks */
    const int32_t *blocks;
    int query_tokens; /* tokens of a query block, 1 or more; 0: block_tokens */
} mn_block_list;

/* Query row r (token first_token + r) sees key j when all hold:
 *   j <= first_token + r                                   causal
 *   j < kv.n_tokens
 *   window == 0  or  first_token + r - j < window  or  j < n_sinks       sliding window, own token included
 *   dilation <= 1  or  (first_token + r - j) % dilation == 0  or  j < n_sinks
 *   segment == 0 or  j / segment == (first_token + r) / segment  or  j < n_sinks
 *   blocks == NULL or the list of r's block contains j's block
 *   key_begin == NULL or key_begin[r] <= j < key_end[r]    (with n_sinks == 0)
 * score = softcap(scale * q.k) - slopes[h] * (first_token + r - j), softcap(s) = c tanh(s / c) when softcap c > 0.
 * Query heads [g * h, g * (h + 1)), g = n_heads / n_kv_heads, share KV head h. A row that sees nothing gives zeros. */
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
    const mn_block_list *blocks;
    const int64_t *key_begin, *key_end; /* [n_rows], neither falling from row to row, or both NULL */
    float *lse; /* [n_rows, n_heads] or NULL: log2 of the sum of exp(score), -INFINITY for a row that saw nothing */
    /* Attention in several calls over keys that follow each other, when they are not in memory together: the last gives
     * the bits that one call gives. Keys outside [first_key, end_key) are not looked at; both are multiples of
     * MN_RANGE_KEYS (tile.h), end_key 0 or past the last row is no end. */
    int64_t first_key, end_key;
    float *
        sums; /* running softmaxes, which each call continues (mn_attend_sums); out is what they give so far. Or NULL */
    const struct mn_mla
        *mla; /* keys and values are made from kv's rows, and q and out have their widths (mla.h). NULL: kv's */
    mn_kv_view kv;
} mn_attend;

/* Chooses flash (many rows) or split-KV decode (few rows), or mn_mla_attend where keys are to be made. c->exact: f32
 * products, f32 softmax. Scratch from c->scratch; MN_ERR_MEMORY when it ends. */
mn_status mn_attention(const mn_compute *c, const mn_attend *a, mn_error *err);
/* FlashAttention-2 forward (arXiv:2307.08691, alg. 1) over the listed blocks, split over heads and row tiles. a->mla is
 * NULL here and below. */
mn_status mn_flash(const mn_compute *c, const mn_attend *a, mn_error *err);
/* Flash-decoding: few rows, keys split between threads in ranges that do not depend on their number, merged by
 * log-sum-exp. Several sequences in one call. */
mn_status mn_decode(const mn_compute *c, const mn_attend *batch, int n_batch, mn_error *err);
/* Joins attention over two disjoint sets of keys into attention over both: out and lse += part and part_lse, weighted
 * by their exp2(lse). out, part [n_rows, n_heads, v_dim] without gaps. What saw nothing changes no bit. */
void mn_attend_merge(const mn_compute *c, float *out, float *lse, const float *part, const float *part_lse,
                     int64_t n_rows, int n_heads, int v_dim);
/* Memory for `sums`, cleared, of the rows of a; NULL when the arena has none. */
float *mn_attend_sums(mn_arena *arena, const mn_attend *a);
/* Whether the geometry, the types and the block lists can be executed; mn_attention, mn_flash and mn_decode begin with
 * it. */
mn_status mn_attend_check(const mn_attend *a, mn_error *err);
extern const mn_technique mn_flash_about, mn_decode_about;

#endif
