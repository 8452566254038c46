/* GLM-4 and GLM-4.5: half of each head is rotated, biases on q, k and v. GLM-4 has a second norm after attention and
 * after the MLP (Team GLM 2024, arXiv:2406.12793); GLM-4.5 has experts as DeepSeek-V3's (Team GLM 2025,
 * arXiv:2508.06471). */
#include "model/family.h"

static mn_status configure(const mn_gguf *gguf, mn_config *c, mn_error *err) {
    return mn_config_drop_nextn(gguf, c, err);
}

static void bind_layer(mn_binder *b, const mn_config *c, int layer, mn_layer *l) {
    (void)layer;
    mn_bind_norms(b, c, l);
    mn_bind_attention(b, c, l);
    mn_bind_norm(b, "post_attention_norm", c->n_embd, &l->post_attn_norm);
    mn_bind_norm(b, "post_ffw_norm", c->n_embd, &l->post_ffn_norm);
    mn_bind_fused_swiglu(b, c, l);
}

static mn_status configure_moe(const mn_gguf *gguf, mn_config *c, mn_error *err) {
    c->rope_style = MN_ROPE_SPLIT;
    MN_TRY(mn_config_moe(gguf, c, MN_GATING_SIGMOID, err));
    MN_TRY(mn_config_shared_expert(gguf, c, 0, err));
    MN_TRY(mn_config_bool(gguf, c->arch, "expert_weights_norm", &c->moe.router.normalise, err));
    return mn_config_drop_nextn(gguf, c, err);
}

static void bind_moe_layer(mn_binder *b, const mn_config *c, int layer, mn_layer *l) {
    int head_dim = c->layers[layer].head_dim_k;
    mn_bind_norm(b, "attn_norm", c->n_embd, &l->attn_norm);
    mn_bind_norm(b, "post_attention_norm", c->n_embd, &l->ffn_norm); /* it stands before the MLP */
    mn_bind_attention(b, c, l);
    mn_bind_norm_if(b, "attn_q_norm", head_dim, &l->q_norm);
    mn_bind_norm_if(b, "attn_k_norm", head_dim, &l->k_norm);
    mn_bind_mlp(b, c, l);
}

const mn_family mn_family_glm4 = {"glm4", "GLM-4: norms on both sides, half of a head rotated", configure, bind_layer};
const mn_family mn_family_glm4moe = {"glm4moe", "GLM-4.5, with experts", configure_moe, bind_moe_layer};
