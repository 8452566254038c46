/* MiniMax-M2: all heads' queries and keys normalised as one vector, a part of each head rotated, experts chosen by
 * sigmoid gates with a bias. (MiniMax 2025.) */
#include "model/family.h"

static mn_status configure(const mn_gguf *gguf, mn_config *c, mn_error *err) {
    c->rope_style = MN_ROPE_SPLIT;
    c->norms_whole_qk = true;
    MN_TRY(mn_config_moe(gguf, c, MN_GATING_SIGMOID, err));
    c->moe.router.normalise = true;
    c->moe.n_ff = c->n_ff;
    return mn_config_drop_nextn(gguf, c, err);
}

static void bind_layer(mn_binder *b, const mn_config *c, int layer, mn_layer *l) {
    (void)layer;
    mn_bind_norms(b, c, l);
    mn_bind_attention(b, c, l);
    mn_bind_qk_norms(b, c, l);
    mn_bind_mlp(b, c, l);
}

const mn_family mn_family_minimax_m2 = {"minimax-m2", "MiniMax-M2", configure, bind_layer};
