/* BERT and its kin (MiniLM, BGE, E5, GTE): an encoder, whose tokens see each other in both directions, with learned
 * positions and a LayerNorm after each sum. (Devlin et al. 2018, arXiv:1810.04805; vectors of texts by it: Reimers and
 * Gurevych 2019, arXiv:1908.10084.) */
#include "model/family.h"

mn_status mn_encoder_configure(const mn_gguf *gguf, mn_config *c, mn_error *err) {
    bool is_causal = false;
    c->is_encoder = c->norms_sums = true;
    c->norm = MN_NORM_LAYER;
    c->pooling = MN_STATES_MEAN;
    MN_TRY(mn_config_bool(gguf, c->arch, "attention.causal", &is_causal, err));
    if (is_causal)
        return mn_fail(err, MN_ERR_UNSUPPORTED, "%s: %s.attention.causal is true; encoders attend in both directions.",
                       mn_gguf_path(gguf), c->arch);
    return mn_config_float(gguf, c->arch, "attention.layer_norm_epsilon", true, &c->norm_eps, err);
}

void mn_bind_encoder_norms(mn_binder *b, const mn_config *c, mn_layer *l) {
    mn_bind_norm(b, "attn_output_norm", c->n_embd, &l->post_attn_norm);
    mn_bind_norm(b, "layer_output_norm", c->n_embd, &l->post_ffn_norm);
}

static mn_status configure(const mn_gguf *gguf, mn_config *c, mn_error *err) {
    c->activation = MN_ACT_GELU_ERF;
    c->rope_style = MN_ROPE_STYLE_NONE;
    if (!mn_gguf_tensor(gguf, "position_embd.weight"))
        return mn_fail(err, MN_ERR_FORMAT, "%s: tensor position_embd.weight is missing.", mn_gguf_path(gguf));
    return mn_encoder_configure(gguf, c, err);
}

static void bind_layer(mn_binder *b, const mn_config *c, int layer, mn_layer *l) {
    int n_ff = c->layers[layer].n_ff;
    mn_bind_encoder_norms(b, c, l);
    mn_bind_attention(b, c, l);
    mn_bind_projection(b, "ffn_up", c->n_embd, n_ff, &l->up);
    mn_bind_projection(b, "ffn_down", n_ff, c->n_embd, &l->down);
}

const mn_family mn_family_bert = {"bert", "BERT, MiniLM, BGE, E5: encoders", configure, bind_layer};
