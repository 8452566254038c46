/* Qwen 1.5 and 2: Llama with biases on q, k and v, rotary pairs half a head apart. (Yang et al. 2024,
 * arXiv:2407.10671.) */
#include "model/family.h"

static mn_status configure(const mn_gguf *gguf, mn_config *c, mn_error *err) {
    (void)gguf, (void)err;
    c->rope_style = MN_ROPE_SPLIT;
    return MN_OK;
}

static void bind_layer(mn_binder *b, const mn_config *c, int layer, mn_layer *l) {
    (void)layer;
    mn_bind_norms(b, c, l);
    mn_bind_attention(b, c, l);
    mn_bind_swiglu(b, c, l);
}

const mn_family mn_family_qwen2 = {"qwen2", "Qwen 1.5, 2 and 2.5", configure, bind_layer};

/* With experts whose weights are left as softmax gives them, beside one that always runs behind a gate. */
static mn_status configure_moe(const mn_gguf *gguf, mn_config *c, mn_error *err) {
    c->rope_style = MN_ROPE_SPLIT;
    MN_TRY(mn_config_moe(gguf, c, MN_GATING_SOFTMAX, err));
    MN_TRY(mn_config_shared_expert(gguf, c, 0, err));
    if (c->moe.n_ff_shared == 0) c->moe.n_ff_shared = c->n_ff;
    return MN_OK;
}

static void bind_moe_layer(mn_binder *b, const mn_config *c, int layer, mn_layer *l) {
    (void)layer;
    mn_bind_norms(b, c, l);
    mn_bind_attention(b, c, l);
    mn_bind_mlp(b, c, l);
}

const mn_family mn_family_qwen2moe = {"qwen2moe", "Qwen 1.5 and 2 with experts", configure_moe, bind_moe_layer};
