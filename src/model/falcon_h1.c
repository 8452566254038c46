/* Falcon-H1 (Zuo et al. 2025, arXiv:2507.22448): attention and a Mamba-2 mixer side by side in every layer. */
#include "model/family.h"

static mn_status configure(const mn_gguf *g, mn_config *c, mn_error *err) {
    c->rope_style = MN_ROPE_SPLIT;
    for (int i = 0; i < c->n_layers; i++) c->layers[i].has_mixer = true;
    return mn_config_mamba2(g, c, err);
}

/* Files of its converter name this norm without ".weight". */
static void bind_ffn_norm(mn_binder *b, const mn_config *c, mn_layer *l) {
    l->ffn_norm.w = mn_bind_vector(b, "ffn_norm", c->n_embd, false);
    if (!l->ffn_norm.w) mn_bind_norm(b, "ffn_norm", c->n_embd, &l->ffn_norm);
}

static void bind_layer(mn_binder *b, const mn_config *c, int layer, mn_layer *l) {
    (void)layer;
    mn_bind_norm(b, "attn_norm", c->n_embd, &l->attn_norm);
    bind_ffn_norm(b, c, l);
    mn_bind_attention(b, c, l);
    mn_bind_mamba2(b, c, l);
    mn_bind_mlp(b, c, l);
}

const mn_family mn_family_falcon_h1 = {"falcon-h1", "Falcon-H1: attention and Mamba-2 side by side", configure,
                                       bind_layer};
