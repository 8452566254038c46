/* Ministral 3: Llama's block, YaRN, and a temperature that grows with the position. (Mistral AI 2025,
 * arXiv:2601.08584.) */
#include "model/family.h"

static mn_status configure(const mn_gguf *gguf, mn_config *c, mn_error *err) {
    float scale = 0;
    MN_TRY(mn_config_yarn_magnitude(gguf, c, 1, err));
    MN_TRY(mn_config_float(gguf, c->arch, "attention.temperature_scale", false, &scale, err));
    MN_TRY(mn_config_windows(gguf, c, 0, 0, err));
    c->temper = (mn_temper){scale, c->rope.original_ctx, 0};
    for (int i = 0; i < c->n_layers; i++) c->layers[i].is_tempered = scale > 0;
    MN_TRY(mn_config_moe(gguf, c, MN_GATING_SOFTMAX, err));
    c->moe.router.normalise = true;
    return MN_OK;
}

static void bind_layer(mn_binder *b, const mn_config *c, int layer, mn_layer *l) {
    mn_family_llama.bind_layer(b, c, layer, l);
}

const mn_family mn_family_mistral3 = {"mistral3", "Ministral 3: a temperature that grows with the position", configure,
                                      bind_layer};
