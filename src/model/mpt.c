/* MPT: GPT-2's block with ALiBi of a stated strength; q, k and v may be clamped. (MosaicML 2023.) */
#include "model/family.h"

static mn_status configure(const mn_gguf *gguf, mn_config *c, mn_error *err) {
    /* MosaicML's default, but for models with learned positions in its place. */
    float bias = mn_gguf_tensor(gguf, "position_embd.weight") ? 0 : 8;
    c->norm = MN_NORM_LAYER;
    c->activation = MN_ACT_GELU;
    c->rope_style = MN_ROPE_STYLE_NONE;
    MN_TRY(mn_config_float(gguf, c->arch, "attention.max_alibi_bias", false, &bias, err));
    MN_TRY(mn_config_float(gguf, c->arch, "attention.clamp_kqv", false, &c->clamp_qkv, err));
    c->max_alibi_bias = bias;
    return mn_config_float(gguf, c->arch, "attention.layer_norm_epsilon", true, &c->norm_eps, err);
}

static void bind_layer(mn_binder *b, const mn_config *c, int layer, mn_layer *l) {
    mn_family_gpt2.bind_layer(b, c, layer, l);
}

const mn_family mn_family_mpt = {"mpt", "MPT: ALiBi", configure, bind_layer};
