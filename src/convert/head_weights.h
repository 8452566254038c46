/* The heads of one attention layer as matrices in double precision, whatever type and layout the file has them in. */
#ifndef MN_CONVERT_HEAD_WEIGHTS_H
#define MN_CONVERT_HEAD_WEIGHTS_H

#include "model/model.h"

/* Rows are [weights of the layer's normed input; bias]: they act on what calibrate.h measures. */
typedef struct mn_head_weights {
    int n_heads, n_kv_heads, d_k, d_v;
    int64_t n;         /* n_embd + 1 */
    double *q, *k, *v; /* [n_heads d_k][n], [n_kv_heads d_k][n], [n_kv_heads d_v][n] */
} mn_head_weights;

/* Dequantises the layer's q, k, v. Errors: values that are not finite. The caller releases *out. */
mn_status mn_head_weights_load(const mn_model *model, int layer, mn_head_weights *out, mn_error *err);
void mn_head_weights_release(mn_head_weights *h);

/* Whether the layer's projections have biases. */
bool mn_head_weights_have_bias(const mn_layer *l);

/* Where RoPE's pair l of a head stands: its two dimensions. */
typedef struct mn_pair {
    int re, im;
} mn_pair;
static inline mn_pair mn_pair_of(const mn_config *c, int l) {
    return c->rope_style == MN_ROPE_SPLIT ? (mn_pair){l, l + c->rope.n_rot / 2} : (mn_pair){2 * l, 2 * l + 1};
}

#endif
