/* RWKV-7 (Peng et al. 2025, arXiv:2503.14456, eq. 17): a state that is decayed by channel, and from which what stands
 * under one key is taken and what is new is put under another.
 *
 *   w = exp(-e^(-1/2) sigmoid(decay)),  a = sigmoid(beta),  v = v + (v_first - v) sigmoid(v_mix)
 *   kk = normalised (k k_k) of each head,  k = k (1 + (a - 1) k_a)
 *   M_t = diag(w) M_{t-1} - (kk a) (M_{t-1}^T kk)^T + k v^T,  o = M_t^T r
 *   out = layer_norm(o) of each head + (sum k r r_k) v
 */
#ifndef MN_RECURRENT_RWKV7_H
#define MN_RECURRENT_RWKV7_H

#include "base/technique.h"
#include "kernels/compute.h"

#include <stdint.h>

/* What one layer has learned; all [n_heads * dim]. */
typedef struct mn_rwkv7 {
    int n_heads, dim;
    const float *k_k, *k_a, *r_k;
    const float *norm_w, *norm_b; /* norm_b may be NULL */
    float norm_eps;
} mn_rwkv7;

/* Rows [n_rows, n_heads * dim] of one sequence, as they were projected, rows strides apart. */
typedef struct mn_rwkv7_rows {
    const float *r, *decay, *k, *v, *a;
    int64_t r_stride, decay_stride, k_stride, v_stride, a_stride;
    const float *v_mix, *v_first; /* NULL: v stays as it is */
    int64_t v_mix_stride, v_first_stride;
    float *out;
    int64_t out_stride, n_rows;
} mn_rwkv7_rows;

/* Takes n_rows more tokens into the states [n_heads, dim, dim], zeros at the start of a text, one after the other: any
 * split of a text into calls gives the same bits. About 4 dim^2 products per token and head. MN_ERR_MEMORY when scratch
 * ends. */
mn_status mn_rwkv7_step(const mn_compute *c, const mn_rwkv7 *layer, float *states, const mn_rwkv7_rows *rows,
                        mn_error *err);
extern const mn_technique mn_rwkv7_about;

#endif
