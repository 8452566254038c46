/* The backward of multi-head latent attention (mla.h), materialised: what a layer computes is the same either way, and
 * so is its gradient. Keys and values of some heads at a time are made from the latents again, attention over them goes
 * back by mn_flash_backward, and their gradients go through the up-projections:
 *
 *   d_c += sum_h (d_k_h W_UK,h + d_v_h W_UV,h),  d_k_R += sum_h of d_k_h's rotated part
 *   dW_UK,h^T += c^T d_k_h,  dW_UV,h += d_v_h^T c
 */
#ifndef MN_ATTENTION_MLA_BACKWARD_H
#define MN_ATTENTION_MLA_BACKWARD_H

#include "attention/mla.h"

typedef struct mn_mla_grad {
    const float *d_out; /* [n_rows, n_heads, v_dim], rows d_out_stride floats apart */
    float *d_q;         /* [n_rows, n_heads, n_nope + n_rot] */
    float *d_latents;   /* [kv.n_tokens, kv_rank + n_rot]: of the KV entries */
    float *d_k_up;      /* [n_heads][kv_rank][n_nope], as mn_mla has it; NULL: frozen */
    float *d_v_up;      /* [n_heads][v_dim][kv_rank] */
    int64_t d_out_stride, d_q_stride, d_latents_stride;
} mn_mla_grad;

/* Adds to all of them. a: the call as the forward had it, mla set, with out and lse as it left them. Products as
 * mn_flash_backward and those of training make them. Scratch: the latents, and keys, values and their gradients of
 * heads that take 16 MiB, or of one. Fails as mn_flash_backward does. */
mn_status mn_mla_backward(const mn_compute *c, const mn_attend *a, const mn_mla_grad *g, mn_error *err);

#endif
