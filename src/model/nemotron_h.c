/* Nemotron-H (NVIDIA 2025, arXiv:2504.03624) and Nemotron 3: every layer is one of a Mamba-2 mixer, attention without
 * positions, or an MLP of squared rectifiers without gate; the last in later models with experts, which may work on
 * latents. */
#include "model/family.h"

static mn_status configure_layers(const mn_gguf *g, mn_config *c, mn_error *err) {
    c->rope_style = MN_ROPE_STYLE_NONE;
    c->activation = MN_ACT_RELU2;
    c->has_empty_layers = true;
    for (mn_layer_shape *l = c->layers; l < c->layers + c->n_layers; l++) {
        l->has_mixer = l->n_kv_heads == 0 && l->n_ff == 0;
        if (l->n_ff || l->has_mixer) l->n_heads = l->n_kv_heads = 0;
    }
    return mn_config_mamba2(g, c, err);
}

static mn_status configure_moe(const mn_gguf *g, mn_config *c, mn_error *err) {
    MN_TRY(configure_layers(g, c, err));
    MN_TRY(mn_config_moe(g, c, MN_GATING_SIGMOID, err));
    MN_TRY(mn_config_bool(g, c->arch, "expert_weights_norm", &c->moe.router.normalise, err));
    MN_TRY(mn_config_int(g, c->arch, "moe_latent_size", false, 0, 1 << 20, &c->moe.n_latent, err));
    MN_TRY(mn_config_shared_expert(g, c, 0, err));
    mn_config_find_moe(g, c);
    return MN_OK;
}

static void bind_dense(mn_binder *b, const mn_config *c, mn_layer *l) {
    int n_ff = c->layers[b->layer].n_ff;
    mn_bind_projection(b, "ffn_up", c->n_embd, n_ff, &l->up);
    mn_bind_projection(b, "ffn_down", n_ff, c->n_embd, &l->down);
}

static void bind_layer(mn_binder *b, const mn_config *c, int layer, mn_layer *l) {
    mn_bind_norm(b, "attn_norm", c->n_embd, &l->attn_norm);
    l->ffn_norm = l->attn_norm;
    if (c->layers[layer].has_mixer)
        mn_bind_mamba2(b, c, l);
    else if (mn_config_attends(c, layer))
        mn_bind_attention(b, c, l);
    else if (mn_config_is_moe(c, layer))
        mn_bind_experts(b, c, l);
    else
        bind_dense(b, c, l);
}

const mn_family mn_family_nemotron_h = {"nemotron_h", "Nemotron-H: Mamba-2, attention and MLPs, one a layer",
                                        configure_layers, bind_layer};
const mn_family mn_family_nemotron_h_moe = {"nemotron_h_moe", "Nemotron 3 with experts", configure_moe, bind_layer};
