/* The backward of attention: FlashAttention-2, arXiv:2307.08691, alg. 2, over the same keys as the forward
 * (attention.h).
 *
 * P is remade tile by tile from the stored log-sum-exp; there is no n_rows x n_tokens buffer. Whatever a call of the
 * forward says holds: block lists (a pattern's backward costs what the pattern saves), window, segment, sinks,
 * dilation, key ranges, soft-cap, ALiBi slopes (which get no gradient), groups of query heads. Document boundaries are
 * segments, key ranges or block lists.
 *
 * Work: squares of query blocks and key blocks of one size, up to 256 tokens. All squares at one distance from the
 * diagonal share neither a query block nor a key block: they are handed to threads together, distance after distance,
 * and each adds to dQ, dK and dV what is its own. So five products are made for each pair of a query and a key (the
 * forward makes two), nothing is computed twice, and no result depends on the number of threads.
 */
#ifndef MN_ATTENTION_FLASH_BACKWARD_H
#define MN_ATTENTION_FLASH_BACKWARD_H

#include "attention/attention.h"
#include "base/technique.h"

typedef struct mn_attend_grad {
    const float *d_out; /* [n_rows, n_heads, v_dim], rows d_out_stride floats apart */
    float *d_q;         /* [n_rows, n_heads, k_dim] */
    float *d_k, *d_v; /* [kv.n_tokens, n_kv_heads, k_dim or v_dim], token 0 first. d_v NULL: values are the first v_dim
                       * elements of the keys (absorbed MLA), and d_k receives both */
    int64_t d_out_stride, d_q_stride, d_k_stride, d_v_stride;
} mn_attend_grad;

/* Adds to d_q, d_k and d_v. a: the call as the forward had it, with out and lse as it left them; kv holds the keys and
 * values that it read (the cache's pages of any type, to be taken as constants where that type rounds). Gradients
 * overlap none of them. c->exact, and levels that do not multiply bf16: f32, within 1e-5 of the largest gradient while
 * |scores| <= 16; else operands are rounded to bf16, 2^-8 relative each. MN_ERR_UNSUPPORTED for calls in several parts
 * (sums, first_key, end_key) and for a->mla (mla_backward.h); MN_ERR_ARGUMENT without lse; MN_ERR_MEMORY when scratch
 * ends. */
mn_status mn_flash_backward(const mn_compute *c, const mn_attend *a, const mn_attend_grad *g, mn_error *err);

/* Memory for the lse of a call, [n_rows, n_heads], or NULL. */
static inline float *mn_attend_lse(mn_arena *arena, int64_t n_rows, int n_heads) {
    return mn_arena_alloc(arena, (size_t)n_rows * (size_t)n_heads, sizeof(float));
}

extern const mn_technique mn_flash_backward_about;

#endif
