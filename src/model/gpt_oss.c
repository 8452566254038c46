/* gpt-oss: sinks in every softmax, windows in every other layer, YaRN, experts with biases and a capped gate. (OpenAI
 * 2025, arXiv:2508.10925.) */
#include "model/family.h"

enum { PERIOD = 2 };

static mn_status configure(const mn_gguf *gguf, mn_config *c, mn_error *err) {
    c->rope_style = MN_ROPE_SPLIT;
    c->activation = MN_ACT_SWIGLU_OAI;
    MN_TRY(mn_config_windows(gguf, c, 128, PERIOD, err));
    MN_TRY(mn_config_moe(gguf, c, MN_GATING_SOFTMAX, err));
    c->moe.router.normalise = true; /* softmax over the chosen logits only is the softmax over all, made to sum to 1 */
    return MN_OK;
}

static void bind_layer(mn_binder *b, const mn_config *c, int layer, mn_layer *l) {
    mn_bind_norm(b, "attn_norm", c->n_embd, &l->attn_norm);
    mn_bind_norm(b, "post_attention_norm", c->n_embd, &l->ffn_norm); /* it stands before the MLP */
    mn_bind_attention(b, c, l);
    l->sinks = mn_bind_vector(b, "attn_sinks.weight", c->layers[layer].n_heads, true);
    mn_bind_mlp(b, c, l);
}

const mn_family mn_family_gpt_oss = {"gpt-oss", "gpt-oss: attention sinks, windows, experts with biases", configure,
                                     bind_layer};
