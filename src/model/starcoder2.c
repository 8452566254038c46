/* StarCoder 2: GPT-2's block with q, k and v apart, grouped heads and rotary positions. (Lozhkov et al. 2024,
 * arXiv:2402.19173.) */
#include "model/family.h"

static mn_status configure(const mn_gguf *gguf, mn_config *c, mn_error *err) {
    c->norm = MN_NORM_LAYER;
    c->activation = MN_ACT_GELU;
    c->rope_style = MN_ROPE_SPLIT;
    return mn_config_float(gguf, c->arch, "attention.layer_norm_epsilon", true, &c->norm_eps, err);
}

static void bind_layer(mn_binder *b, const mn_config *c, int layer, mn_layer *l) {
    int n_ff = c->layers[layer].n_ff;
    mn_bind_norms(b, c, l);
    mn_bind_attention(b, c, l);
    mn_bind_projection(b, "ffn_up", c->n_embd, n_ff, &l->up);
    mn_bind_projection(b, "ffn_down", n_ff, c->n_embd, &l->down);
}

const mn_family mn_family_starcoder2 = {"starcoder2", "StarCoder 2", configure, bind_layer};
