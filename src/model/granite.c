/* Granite 3: Llama with four multipliers (Yang et al. 2022, arXiv:2203.03466, as IBM has them): of embeddings, of what
 * a block adds, of scores, and a divisor of logits; with and without experts. (IBM 2024, Granite 3.0.) */
#include "model/family.h"

mn_status mn_granite_configure(const mn_gguf *gguf, mn_config *c, mn_error *err) {
    float divisor = 1;
    bool rotates = true; /* these models say so by a key that is made for something else */
    MN_TRY(mn_config_float(gguf, c->arch, "embedding_scale", false, &c->embedding_scale, err));
    MN_TRY(mn_config_float(gguf, c->arch, "residual_scale", false, &c->residual_scale, err));
    MN_TRY(mn_config_float(gguf, c->arch, "logit_scale", false, &divisor, err));
    MN_TRY(mn_config_bool(gguf, c->arch, "rope.scaling.finetuned", &rotates, err));
    if (divisor > 0) c->logit_scale = 1 / divisor;
    for (int i = 0; i < c->n_layers && !rotates; i++) c->layers[i].rope = MN_LAYER_NOPE;
    MN_TRY(mn_config_moe(gguf, c, MN_GATING_SOFTMAX, err));
    c->moe.router.normalise = true;
    c->moe.n_ff = c->n_ff;
    return c->moe.router.n_experts ? mn_config_shared_expert(gguf, c, 0, err) : MN_OK;
}

static void bind_layer(mn_binder *b, const mn_config *c, int layer, mn_layer *l) {
    mn_family_llama.bind_layer(b, c, layer, l);
}

const mn_family mn_family_granite = {"granite", "Granite 3", mn_granite_configure, bind_layer};
const mn_family mn_family_granitemoe = {"granitemoe", "Granite 3 with experts", mn_granite_configure, bind_layer};
