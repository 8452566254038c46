/* Phi-3 and 3.5: q, k, v in one matrix, gate and up in another, LongRoPE factors per dimension. (Abdin et al. 2024,
 * arXiv:2404.14219; Ding et al. 2024, arXiv:2402.13753.) */
#include "model/family.h"

static mn_status configure(const mn_gguf *gguf, mn_config *c, mn_error *err) {
    c->rope_style = MN_ROPE_SPLIT;
    return mn_config_i64(gguf, c->arch, "attention.sliding_window", false, 0, INT64_MAX, &c->window, err);
}

static void bind_layer(mn_binder *b, const mn_config *c, int layer, mn_layer *l) {
    (void)layer;
    mn_projection gate_up;
    mn_bind_norms(b, c, l);
    mn_bind_fused_attention(b, c, l);
    mn_bind_projection(b, "ffn_up", c->n_embd, 2 * (int64_t)c->n_ff, &gate_up);
    l->gate = mn_projection_rows(&gate_up, 0, c->n_ff);
    l->up = mn_projection_rows(&gate_up, c->n_ff, c->n_ff);
    mn_bind_projection(b, "ffn_down", c->n_ff, c->n_embd, &l->down);
}

const mn_family mn_family_phi3 = {"phi3", "Phi-3 and 3.5, with LongRoPE", configure, bind_layer};
