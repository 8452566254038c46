/* What decides about Infini-attention's memory, on the way back: the write gates, learnt from the memory's gradient,
 * from labels, or both, and the mixing gates (infini.h).
 */
#ifndef MN_RECURRENT_INFINI_GATES_BACKWARD_H
#define MN_RECURRENT_INFINI_GATES_BACKWARD_H

#include "recurrent/infini.h"

/* x = w_write . y + bias + w_key . k, b = sigmoid(x), 0 where b <= threshold (no gradient then); and the labels' part
 * of the loss, sum of weight (-label log sigmoid(x) - (1 - label) log(1 - sigmoid(x))), which asks no threshold. */
typedef struct mn_write_gates_grad {
    const float *products; /* [n_rows, n_kv_heads]: w_write . y, as the forward had it */
    const float *bias;     /* [n_kv_heads]; NULL: 0 */
    const float *w_key;    /* [n_kv_heads, k_dim] */
    const float *k;        /* [n_rows, n_kv_heads, k_dim] */
    float threshold;
    int64_t n_rows;
    const float *d_gates;                /* [n_rows, n_kv_heads] from the memory; NULL: hard writes, which have none */
    const float *labels, *label_weights; /* [n_rows, n_kv_heads]: 0 to 1; weight 0: none. labels NULL: no labels */
    float scale;                         /* of the labels' gradient */
    float *d_products; /* [n_rows, n_kv_heads], written: d_y += d_products w_write, dw_write += d_products^T y */
    float *d_bias, *d_w_key, *d_k; /* added to; NULL: frozen, not wanted */
} mn_write_gates_grad;

/* *loss += the labels' part, not scaled. MN_ERR_MEMORY when scratch ends. */
mn_status mn_write_gates_backward(const mn_compute *c, const mn_infini *shape, const mn_write_gates_grad *g,
                                  double *loss, mn_error *err);

/* Hard writes: gates [n_rows, n_kv_heads], as mn_infini_write_gates left them, become 1 where the label says so (1/2
 * and more) or the gate is above 0; else 0. labels may be NULL. */
void mn_write_gates_harden(const mn_compute *c, const mn_infini *shape, float *gates, const float *labels,
                           const float *label_weights, int64_t n_rows);

/* out = (1 - g) local + g mem, g = sigmoid(gate) of each head, or `share`: d_local = (1 - g) d_out, d_mem = g d_out,
 * and d_gate[h] += g (1 - g) sum d_out . (mem - local). */
typedef struct mn_infini_mix_grad {
    const float *d_out, *local, *mem; /* [n_rows, n_heads, v_dim] */
    const float *gate;                /* [n_heads], or NULL: share */
    float share;
    int64_t n_rows;
    float *d_local, *d_mem; /* written; d_local may be d_out */
    float *d_gate;          /* [n_heads], added to; NULL: frozen */
} mn_infini_mix_grad;

/* MN_ERR_MEMORY when scratch ends. */
mn_status mn_infini_mix_backward(const mn_compute *c, const mn_infini *shape, const mn_infini_mix_grad *g,
                                 mn_error *err);

#endif
