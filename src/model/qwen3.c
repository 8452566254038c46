/* Qwen 3, dense and with experts: each head's query and key is normalised before rotation. (Yang et al. 2025,
 * arXiv:2505.09388.) */
#include "model/family.h"

static mn_status configure(const mn_gguf *gguf, mn_config *c, mn_error *err) {
    c->rope_style = MN_ROPE_SPLIT;
    MN_TRY(mn_config_moe(gguf, c, MN_GATING_SOFTMAX, err));
    c->moe.router.normalise = true;
    return MN_OK;
}

static void bind_layer(mn_binder *b, const mn_config *c, int layer, mn_layer *l) {
    (void)layer;
    mn_bind_norms(b, c, l);
    mn_bind_attention(b, c, l);
    mn_bind_qk_norms(b, c, l);
    mn_bind_mlp(b, c, l);
}

const mn_family mn_family_qwen3 = {"qwen3", "Qwen 3", configure, bind_layer};
const mn_family mn_family_qwen3moe = {"qwen3moe", "Qwen 3 with experts", configure, bind_layer};
