#include "convert/head_weights.h"

#include "convert/dense.h"

#include <math.h>
#include <stdlib.h>

static mn_status load(const mn_projection *p, int64_t n, double **out, mn_error *err) {
    int64_t n_in = p->w.ne[0], n_rows = p->w.ne[1];
    float *row = malloc((size_t)n_in * sizeof *row);
    mn_status status = mn_dense_zeros(n_rows, n, out, err);
    if (status == MN_OK && !row) status = mn_fail(err, MN_ERR_MEMORY, "no memory for a row of %lld.", (long long)n_in);
    for (int64_t r = 0; status == MN_OK && r < n_rows; r++) {
        mn_to_f32(p->w.type, (const char *)p->w.data + (size_t)r * mn_tensor_row_bytes(&p->w), row, n_in);
        for (int64_t i = 0; i < n_in; i++) (*out)[r * n + i] = (double)row[i];
        if (p->b) (*out)[r * n + n_in] = (double)p->b[r];
        for (int64_t i = 0; i < n; i++)
            if (!isfinite((*out)[r * n + i]))
                status = mn_fail(err, MN_ERR_FORMAT, "row %lld of tensor %s holds a value that is not finite.",
                                 (long long)r, p->w.name);
    }
    free(row);
    return status;
}

mn_status mn_head_weights_load(const mn_model *model, int layer, mn_head_weights *out, mn_error *err) {
    const mn_layer_shape *s = &model->config.layers[layer];
    const mn_layer *l = &model->weights.layers[layer];
    *out = (mn_head_weights){.n_heads = s->n_heads,
                             .n_kv_heads = s->n_kv_heads,
                             .d_k = s->head_dim_k,
                             .d_v = s->head_dim_v,
                             .n = model->config.n_embd + 1};
    mn_status status = load(&l->q, out->n, &out->q, err);
    if (status == MN_OK) status = load(&l->k, out->n, &out->k, err);
    if (status == MN_OK) status = load(&l->v, out->n, &out->v, err);
    if (status != MN_OK) mn_head_weights_release(out);
    return status;
}

void mn_head_weights_release(mn_head_weights *h) {
    free(h->q);
    free(h->k);
    free(h->v);
    h->q = h->k = h->v = NULL;
}

bool mn_head_weights_have_bias(const mn_layer *l) { return l->q.b || l->k.b || l->v.b; }
