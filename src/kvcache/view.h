/* What attention and patterns see of a KV cache: pages of keys and values of one sequence in one layer. */
#ifndef MN_KVCACHE_VIEW_H
#define MN_KVCACHE_VIEW_H

#include "tensor/dtype.h"

#include <stddef.h>
#include <stdint.h>

/* Tokens of a KV page. A page holds, for one layer, [n_kv_heads][MN_PAGE_TOKENS] entries. */
enum { MN_PAGE_TOKENS = 128 };

/* One sequence's keys and values in one layer.
 * Entry of token t, head h: pages[t / MN_PAGE_TOKENS] + (h * MN_PAGE_TOKENS + t % MN_PAGE_TOKENS) * row_bytes.
 * For absorbed MLA the values are the first v_dim elements of the keys: v_pages = k_pages, same type and stride. */
typedef struct mn_kv_view {
    const void *const *k_pages, *const *v_pages; /* NULL entries: dropped, never to be read */
    mn_dtype k_type, v_type;
    size_t k_row_bytes, v_row_bytes; /* quantised keys and values are padded to whole blocks with zeros */
    int n_kv_heads, k_dim, v_dim;
    int64_t n_tokens;               /* entries filled */
    struct mn_key_summary *summary; /* of these keys, kept by their cache; NULL: there is none */
} mn_kv_view;

#endif
