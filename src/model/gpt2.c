/* GPT-2: LayerNorm, learned positions, an MLP without gate. (Radford et al. 2019.) */
#include "model/family.h"

static mn_status configure(const mn_gguf *gguf, mn_config *c, mn_error *err) {
    c->norm = MN_NORM_LAYER;
    c->activation = MN_ACT_GELU;
    c->rope_style = MN_ROPE_STYLE_NONE;
    if (!mn_gguf_tensor(gguf, "position_embd.weight"))
        return mn_fail(err, MN_ERR_FORMAT, "%s: tensor position_embd.weight is missing.", mn_gguf_path(gguf));
    return mn_config_float(gguf, c->arch, "attention.layer_norm_epsilon", true, &c->norm_eps, err);
}

static void bind_layer(mn_binder *b, const mn_config *c, int layer, mn_layer *l) {
    int n_ff = c->layers[layer].n_ff;
    mn_bind_norms(b, c, l);
    mn_bind_fused_attention(b, c, l);
    mn_bind_projection(b, "ffn_up", c->n_embd, n_ff, &l->up);
    mn_bind_projection(b, "ffn_down", n_ff, c->n_embd, &l->down);
}

const mn_family mn_family_gpt2 = {"gpt2", "GPT-2: learned positions", configure, bind_layer};

const mn_technique mn_learned_about = {
    .name = "learned positions",
    .paper = "Radford et al. 2019",
    .file = "src/model/gpt2.c",
    .test = "tests/session/golden_test.c",
    .exact = true,
    .training = MN_TRAINING_DONE,
};
