/* MiMo-V2: layers with a window, sinks and a base of their own between layers that see all; values narrower than keys,
 * a part of each head rotated, experts. (Xiaomi 2026, arXiv:2601.02780.) */
#include "model/family.h"

static mn_status configure(const mn_gguf *gguf, mn_config *c, mn_error *err) {
    c->rope_style = MN_ROPE_SPLIT;
    MN_TRY(mn_config_windows(gguf, c, 0, 0, err));
    MN_TRY(mn_config_local_rope(gguf, c, c->rope.freq_base, err));
    MN_TRY(mn_config_moe(gguf, c, MN_GATING_SIGMOID, err));
    mn_config_find_moe(gguf, c);
    c->moe.router.normalise = true;
    MN_TRY(mn_config_float(gguf, c->arch, "attention.value_scale", false, &c->attention_out_scale, err));
    return mn_config_drop_nextn(gguf, c, err);
}

static void bind_layer(mn_binder *b, const mn_config *c, int layer, mn_layer *l) {
    mn_bind_norms(b, c, l);
    mn_bind_attention(b, c, l);
    l->sinks = mn_bind_vector(b, "attn_sinks.weight", c->layers[layer].n_heads, false);
    mn_bind_mlp(b, c, l);
}

const mn_family mn_family_mimo2 = {"mimo2", "MiMo-V2: windows with attention sinks", configure, bind_layer};
