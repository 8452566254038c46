/* Bloom: GPT-2's block with ALiBi for positions and a norm on the embeddings. (Le Scao et al. 2022,
 * arXiv:2211.05100; Press et al. 2021, arXiv:2108.12409.) */
#include "model/family.h"

static mn_status configure(const mn_gguf *gguf, mn_config *c, mn_error *err) {
    c->norm = MN_NORM_LAYER;
    c->activation = MN_ACT_GELU;
    c->rope_style = MN_ROPE_STYLE_NONE;
    c->max_alibi_bias = 8; /* no file states it */
    return mn_config_float(gguf, c->arch, "attention.layer_norm_epsilon", true, &c->norm_eps, err);
}

static void bind_layer(mn_binder *b, const mn_config *c, int layer, mn_layer *l) {
    mn_family_gpt2.bind_layer(b, c, layer, l);
}

const mn_family mn_family_bloom = {"bloom", "Bloom: ALiBi", configure, bind_layer};
