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

enum { MN_RWKV7_CHUNK = 16, MN_RWKV7_MAX_CHUNK = 128 };

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

/* What a row of one head brings to the state, [dim] each: w, a, kk, k, v, and kk a. */
typedef struct mn_rwkv7_vectors {
    float *decay, *a, *kk, *k, *v, *back;
} mn_rwkv7_vectors;

void mn_rwkv7_make_vectors(const mn_kernels *kernels, const mn_rwkv7 *layer, const mn_rwkv7_rows *rows, int64_t row,
                           int head, const mn_rwkv7_vectors *out);

/* Takes n_rows more tokens into the states [n_heads, dim, dim], zeros at the start of a text: by the recurrence in
 * exact arithmetic and for few rows, where any split of a text into calls gives the same bits, else in chunks
 * (rwkv7_chunk.h). About 4 dim^2 products per token and head. MN_ERR_MEMORY when scratch ends. */
mn_status mn_rwkv7_step(const mn_compute *c, const mn_rwkv7 *layer, float *states, const mn_rwkv7_rows *rows,
                        mn_error *err);
/* The same in chunks of so many rows, 1 (the recurrence) to MN_RWKV7_MAX_CHUNK. */
mn_status mn_rwkv7_chunks(const mn_compute *c, const mn_rwkv7 *layer, float *states, const mn_rwkv7_rows *rows,
                          int chunk, mn_error *err);
extern const mn_technique mn_rwkv7_about;

#endif
