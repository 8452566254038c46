/* Summaries of blocks of cached keys, kept up to date as keys are appended: the bounds of every block, or its sum.
 * Patterns that choose blocks by their keys look at the summary in place of the keys.
 *
 * A summary is rebuilt from the keys whenever it lacks them, so nobody has to save it; who changes keys calls
 * mn_key_summary_truncate.
 */
#ifndef MN_KVCACHE_KEY_SUMMARY_H
#define MN_KVCACHE_KEY_SUMMARY_H

#include "kernels/compute.h"
#include "kvcache/view.h"

typedef enum mn_summary_kind {
    MN_SUMMARY_BOUNDS, /* per block the smallest and the largest value of every element: [2, k_dim], as keys are cached
                        * where these are single numbers (f32, f16, bf16), else in f32: exact in any case */
    MN_SUMMARY_SUM     /* per block the sum of its keys, in their order: [k_dim], in f32 */
} mn_summary_kind;

/* So many blocks of a KV head lie together, as the keys of a tile do: attention's kernels may take them for one. */
enum { MN_SUMMARY_TILE = 64 };

/* One layer of one sequence; zeroed = empty. */
typedef struct mn_key_summary {
    mn_summary_kind kind;
    mn_dtype type; /* of what is stored */
    int block_tokens, n_kv_heads, k_dim;
    int64_t n_tokens;   /* keys of tokens [0, n_tokens) are summarised; the last block may be incomplete */
    char *blocks;       /* [tile of blocks, n_kv_heads, MN_SUMMARY_TILE, 1 or 2, k_dim] */
    size_t bytes;       /* room; what no block was written to yet is not taken from the machine */
    int64_t max_tokens; /* room for so many is taken at once, so that none is sought while decoding; 0 = as needed */
} mn_key_summary;

/* Adds the keys of kv that are missing, all of them where the summary was of another kind or block. Cost: the new keys
 * and what the last block holds. MN_ERR_MEMORY. */
mn_status mn_key_summary_update(mn_key_summary *s, mn_summary_kind kind, int block_tokens, const mn_compute *c,
                                const mn_kv_view *kv, mn_error *err);
/* Keys from token n_tokens on are no longer what they were. */
void mn_key_summary_truncate(mn_key_summary *s, int64_t n_tokens);
void mn_key_summary_release(mn_key_summary *s);

/* Bytes of the blocks of n_tokens, whole tiles of them; 0 when that overflows. */
size_t mn_key_summary_bytes(mn_summary_kind kind, mn_dtype k_type, int block_tokens, int n_kv_heads, int k_dim,
                            int64_t n_tokens);

/* Elements of one block of one KV head. */
static inline int64_t mn_key_summary_width(const mn_key_summary *s) {
    return (int64_t)s->k_dim * (s->kind == MN_SUMMARY_BOUNDS ? 2 : 1);
}
static inline size_t mn_key_summary_row_bytes(const mn_key_summary *s) {
    return mn_dtype_row_bytes(s->type, mn_key_summary_width(s));
}
static inline void *mn_key_summary_at(const mn_key_summary *s, int64_t block, int kv_head) {
    int64_t row = (block / MN_SUMMARY_TILE * s->n_kv_heads + kv_head) * MN_SUMMARY_TILE + block % MN_SUMMARY_TILE;
    return s->blocks + (size_t)row * mn_key_summary_row_bytes(s);
}

/* The key of one token and KV head, in f32: k_dim values in row, which has room for MN_ATTEND_MAX_DIM. Zeros where its
 * page was dropped. */
void mn_cached_key(const mn_compute *c, const mn_kv_view *kv, int kv_head, int64_t token, float *row);

#endif
