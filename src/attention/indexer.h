/* Learned sparse attention (DeepSeek-V3.2, arXiv:2512.02556, sec. 2.1): an indexer of a few narrow heads, with keys of
 * its own in the cache, chooses the keys that a query sees:
 *
 *   score(t, s) = sum_h w[t, h] relu(q[t, h] . k[s]),   chosen: the top_k largest of s <= t; equals: the lowest s
 *
 * Of compressed keys (compressor.h) those that are complete are chosen from.
 */
#ifndef MN_ATTENTION_INDEXER_H
#define MN_ATTENTION_INDEXER_H

#include "base/technique.h"
#include "kernels/compute.h"
#include "kvcache/view.h"

typedef struct mn_indexer {
    const float *q; /* [n_rows, n_heads, k_dim], rows q_stride floats apart */
    const float *w; /* [n_rows, n_heads], rows w_stride apart */
    int64_t q_stride, w_stride, n_rows, first_token;
    int n_heads;
    int64_t top_k;
    int ratio;     /* tokens of a key, which is seen from the last of them on; 0: 1 */
    mn_kv_view kv; /* of the indexer's keys, one head; values are not looked at */
} mn_indexer;

/* chosen [n_rows, words]: bit j % 64 of word j / 64 of a row is set where it chose key j; words >= kv.n_tokens / 64,
 * rounded up. A row's choice depends on nothing but the row and the keys. Cost: n_heads * k_dim products for each pair.
 * Scratch: a score for each key of a few rows; MN_ERR_MEMORY. */
mn_status mn_indexer_choose(const mn_compute *c, const mn_indexer *x, uint64_t *chosen, int64_t words, mn_error *err);
extern const mn_technique mn_indexer_about;

#endif
