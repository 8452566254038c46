#include "train/memory_heads.h"

static bool all_zero(const float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (x[i] != 0) return false;
    return true;
}

bool mn_memory_writes(const mn_model *m, int layer, int kv_head) {
    const mn_layer *w = &m->weights.layers[layer];
    int64_t n_embd = m->config.n_embd, k_dim = m->config.layers[layer].head_dim_k;
    if (m->config.infini.rule != MN_INFINI_DELTA_EXACT || w->infini_write.w.type != MN_F32) return true;
    if (!w->infini_write.b || w->infini_write.b[kv_head] > MN_SHUT_BIAS) return true;
    return !all_zero((const float *)w->infini_write.w.data + kv_head * n_embd, n_embd) ||
           !all_zero(w->infini_write_k + kv_head * k_dim, k_dim);
}

bool mn_memory_layer_is_alive(const mn_model *m, int layer) {
    const mn_layer_shape *l = &m->config.layers[layer];
    for (int h = 0; h < l->n_kv_heads; h++)
        if (mn_memory_writes(m, layer, h)) return true;
    for (int h = 0; h < l->n_heads; h++)
        if (m->weights.layers[layer].infini_gate[h] > MN_SHUT_BIAS) return true;
    return m->config.infini.write_threshold < 1e-6f; /* a shut gate still writes a little */
}
