/* Step 3.5: layers that differ in heads, each head's output behind a gate; windowed layers rotate whole heads, the
 * others half of them; experts and MLPs whose activation is capped in some layers. (StepFun 2026, the released code.)
 */
#include "model/family.h"

mn_status mn_config_limits(const mn_gguf *gguf, mn_config *c, mn_error *err) {
    float experts[MN_MAX_LAYERS] = {0}, dense[MN_MAX_LAYERS] = {0};
    MN_TRY(mn_config_floats(gguf, c, "swiglu_clamp_exp", experts, err));
    MN_TRY(mn_config_floats(gguf, c, "swiglu_clamp_shexp", dense, err));
    for (int i = 0; i < c->n_layers; i++) {
        c->layers[i].limit_experts = experts[i] > 1e-6f ? experts[i] : 0;
        c->layers[i].limit_dense = dense[i] > 1e-6f ? dense[i] : 0;
    }
    return MN_OK;
}

static mn_status configure(const mn_gguf *gguf, mn_config *c, mn_error *err) {
    c->rope_style = MN_ROPE_SPLIT;
    MN_TRY(mn_config_windows(gguf, c, 0, 0, err));
    MN_TRY(mn_config_local_rope(gguf, c, c->rope.freq_base, err));
    c->rope.n_rot /= 2;
    MN_TRY(mn_config_moe(gguf, c, MN_GATING_SIGMOID, err));
    MN_TRY(mn_config_bool(gguf, c->arch, "expert_weights_norm", &c->moe.router.normalise, err));
    MN_TRY(mn_config_shared_expert(gguf, c, 0, err));
    mn_config_find_moe(gguf, c);
    c->activation = MN_ACT_SILU_THEN_CAP;
    MN_TRY(mn_config_limits(gguf, c, err));
    return mn_config_drop_nextn(gguf, c, err);
}

static void bind_layer(mn_binder *b, const mn_config *c, int layer, mn_layer *l) {
    mn_bind_norms(b, c, l);
    mn_bind_attention(b, c, l);
    mn_bind_qk_norms(b, c, l);
    mn_bind_projection_if(b, "attn_gate", c->n_embd, c->layers[layer].n_heads, &l->attn_gate);
    mn_bind_mlp(b, c, l);
}

const mn_family mn_family_step35 = {"step35", "Step 3.5: gated heads, windows, experts", configure, bind_layer};
