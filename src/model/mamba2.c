/* Mamba-2 (Dao and Gu 2024, arXiv:2405.21060): a recurrent mixer in every layer, and nothing else. */
#include "model/family.h"

static mn_status configure(const mn_gguf *g, mn_config *c, mn_error *err) {
    c->rope_style = MN_ROPE_STYLE_NONE;
    mn_config_mix_only(c);
    return mn_config_mamba2(g, c, err);
}

static void bind_layer(mn_binder *b, const mn_config *c, int layer, mn_layer *l) {
    (void)layer;
    mn_bind_norm(b, "attn_norm", c->n_embd, &l->attn_norm);
    mn_bind_mamba2(b, c, l);
}

const mn_family mn_family_mamba2 = {"mamba2", "Mamba-2: a state of fixed size and no attention", configure, bind_layer};
