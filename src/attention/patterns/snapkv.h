/* SnapKV's choice of what stays in the cache after a prompt. */
#ifndef MN_ATTENTION_PATTERNS_SNAPKV_H
#define MN_ATTENTION_PATTERNS_SNAPKV_H

#include "attention/types.h"
#include "kernels/compute.h"

/* Li et al. 2024 (arXiv:2404.14469), sec. 4. a: full attention of the last rows of a prompt, the observation window.
 *   votes_j = sum over the window's rows and the query heads of the KV head of softmax(scale q K^T)_j
 *   pooled_j = (votes_{j-2} + ... + votes_{j+2}) / 5, also at the borders
 * Per KV head the n_kept - n_rows earlier keys with the most votes, the lowest first among equals, and the window stay:
 * kept [n_kv_heads, n_kept], ascending. n_rows < n_kept < a->kv.n_tokens. MN_ERR_MEMORY; cost: the products of the
 * window with all keys. */
mn_status mn_snapkv_choose(const mn_compute *c, const mn_attend *a, int64_t n_kept, int32_t *kept, mn_error *err);

#endif
