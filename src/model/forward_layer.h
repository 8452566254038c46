/* Inside the forward pass: a layer's work, and what its parts have in common. */
#ifndef MN_MODEL_FORWARD_LAYER_H
#define MN_MODEL_FORWARD_LAYER_H

#include "model/forward.h"

typedef struct layer_run {
    const mn_backend *b;
    const mn_step *s;
    const mn_config *config;
    const mn_layer *w;
    int layer;
    const mn_rotations *turns;
    mn_rows chosen;      /* keys, by the last layer that had an indexer; none: every key */
    const int64_t *rows; /* of the step, that are left; NULL: all */
    mn_rows v_first;     /* the first layer's values, where later ones take a share of them (RWKV-7) */
} layer_run;

/* Rows as many as those of x. */
static inline mn_status take(const layer_run *r, mn_rows x, int n_heads, int64_t n, mn_rows *out, mn_error *err) {
    return r->b->take(r->s, x.n_rows, n_heads, n, out, err);
}

/* Room for a result that takes the place of x, which is not needed any more. */
static inline mn_status take_over(const layer_run *r, mn_rows x, mn_rows *out, mn_error *err) {
    *out = x;
    return r->b->keeps_inputs ? take(r, x, x.n_heads, x.n, out, err) : MN_OK;
}

static inline mn_status project(const layer_run *r, mn_rows out, const mn_projection *w, mn_rows x, mn_error *err) {
    return r->b->project(r->s, &out, &w, 1, x, err);
}

/* x = norm(x) */
static inline mn_status norm_over(const layer_run *r, mn_rows *x, const mn_norm *w, mn_error *err) {
    mn_rows y;
    MN_TRY(take_over(r, *x, &y, err));
    MN_TRY(r->b->norm(r->s, y, *x, w, err));
    *x = y;
    return MN_OK;
}

static inline const mn_layer_shape *shape_of(const layer_run *r) { return &r->config->layers[r->layer]; }

/* y = norm(x), or x where the layer has no such norm */
static inline mn_status norm(const layer_run *r, mn_rows x, const mn_norm *w, mn_rows *y, mn_error *err) {
    *y = x;
    if (!w->w) return MN_OK;
    MN_TRY(take(r, x, x.n_heads, x.n, y, err));
    return r->b->norm(r->s, *y, x, w, err);
}

/* A norm without weights. */
extern const mn_norm mn_norm_plain;

/* q, k, v for attention with one key and value head per n_heads / n_kv_heads query heads; k and v none in a layer that
 * attends to another's. */
mn_status mn_forward_qkv(const layer_run *r, mn_rows y, mn_rows *q, mn_rows *k, mn_rows *v, mn_rows *gate,
                         mn_error *err);

/* The attention of MHA, GQA and MQA, which differ in n_kv_heads, over y, the layer's normalised input; *out, [n_rows,
 * n_heads, head_dim_v], is what its output projection takes. */
mn_status mn_forward_heads(const layer_run *r, mn_rows y, mn_rows *out, mn_error *err);

/* The same of MLA (DeepSeek-V2, arXiv:2405.04434, sec. 2.1): a token leaves one latent row and one rotated key behind
 * for all heads, [c ; rope(k_rot)], c = norm(W_DKV y); what attention makes of them is in attention/mla.h. */
mn_status mn_forward_mla(const layer_run *r, mn_rows y, mn_rows *out, mn_error *err);

/* Attention over the keys of a window, which are the values too, and over compressed ones, of y, the layer's normalised
 * input; *out is what its output projection takes (DeepSeek-V4). */
mn_status mn_forward_compressed(const layer_run *r, mn_rows y, mn_rows *out, mn_error *err);

/* The layer's recurrent mixer over y, its normalised input; *out is what its output projection takes. */
mn_status mn_forward_mixer(const layer_run *r, mn_rows y, mn_rows *out, mn_error *err);

#endif
