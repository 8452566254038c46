#include "attention/types.h"

#include "kernels/attend.h"

#include <stdbool.h>

static bool is_cache_type(mn_dtype type) {
    return type == MN_F32 || type == MN_F16 || type == MN_BF16 || type == MN_Q8_0 || type == MN_Q4_0;
}

static mn_status check_blocks(const mn_attend *a, mn_error *err) {
    const mn_block_list *lists = a->blocks;
    int block = lists->block_tokens;
    if (block < 16 || (block & (block - 1)))
        return mn_fail(err, MN_ERR_ARGUMENT, "a block of %d tokens is not a power of two from 16.", block);
    if (lists->n_lists != 1 && lists->n_lists != a->kv.n_kv_heads && lists->n_lists != a->n_heads)
        return mn_fail(err, MN_ERR_ARGUMENT,
                       "%d block lists fit neither all heads (1) nor each of %d KV or %d query heads.", lists->n_lists,
                       a->kv.n_kv_heads, a->n_heads);
    int query_tokens = mn_query_block_tokens(lists);
    int64_t first = a->first_token / query_tokens, last = (a->first_token + a->n_rows - 1) / query_tokens;
    if (first < lists->first_query_block || last >= lists->first_query_block + lists->n_query_blocks)
        return mn_fail(
            err, MN_ERR_ARGUMENT, "the block lists cover query blocks %lld to %lld, and the rows need %lld to %lld.",
            (long long)lists->first_query_block, (long long)(lists->first_query_block + lists->n_query_blocks - 1),
            (long long)first, (long long)last);
    return MN_OK;
}

/* Rows that keys can be made from. */
static mn_status check_latents(const mn_attend *a, mn_error *err) {
    const mn_kv_view *kv = &a->kv;
    int row = a->mla->kv_rank + a->mla->n_rot;
    if (kv->n_kv_heads != 1 || kv->k_dim != row)
        return mn_fail(err, MN_ERR_ARGUMENT, "latent attention caches one row of %d elements per token, not %d of %d.",
                       row, kv->n_kv_heads, kv->k_dim);
    return MN_OK;
}

mn_status mn_attend_check(const mn_attend *a, mn_error *err) {
    const mn_kv_view *kv = &a->kv;
    if (a->mla) MN_TRY(check_latents(a, err));
    if (kv->n_kv_heads < 1 || a->n_heads < 1 || a->n_heads % kv->n_kv_heads)
        return mn_fail(err, MN_ERR_ARGUMENT, "%d query heads do not share %d KV heads evenly.", a->n_heads,
                       kv->n_kv_heads);
    if (kv->k_dim < 1 || kv->v_dim < 1 || kv->k_dim > MN_ATTEND_MAX_DIM || kv->v_dim > MN_ATTEND_MAX_DIM)
        return mn_fail(err, MN_ERR_UNSUPPORTED,
                       "attention takes heads of 1 to %d elements, not %d (keys) and %d (values).", MN_ATTEND_MAX_DIM,
                       kv->k_dim, kv->v_dim);
    if (!is_cache_type(kv->k_type) || !is_cache_type(kv->v_type))
        return mn_fail(err, MN_ERR_UNSUPPORTED, "KV entries are f32, f16, bf16, q8_0 or q4_0.");
    if (a->n_rows < 0 || a->first_token < 0 || kv->n_tokens < 0)
        return mn_fail(err, MN_ERR_ARGUMENT, "attention over %lld rows from token %lld with %lld cached.",
                       (long long)a->n_rows, (long long)a->first_token, (long long)kv->n_tokens);
    if (a->first_key % MN_RANGE_KEYS || (a->end_key % MN_RANGE_KEYS && a->end_key < kv->n_tokens))
        return mn_fail(err, MN_ERR_ARGUMENT, "keys %lld to %lld of a call are no whole ranges of %d.",
                       (long long)a->first_key, (long long)a->end_key, MN_RANGE_KEYS);
    return a->blocks && a->n_rows > 0 ? check_blocks(a, err) : MN_OK;
}
