/* Gemma 2 and 3: scaled embeddings, a second norm after attention and after the MLP, GELU gates, layers with a sliding
 * window between layers that see all. Gemma 2 caps its scores and logits (arXiv:2408.00118); Gemma 3 normalises q and k
 * and gives its windowed layers a base of their own (arXiv:2503.19786). */
#include "model/family.h"

#include <math.h>

enum { GEMMA2_27B_LAYERS = 46, GEMMA3_27B_LAYERS = 62 };

static mn_status configure_common(const mn_gguf *gguf, mn_config *c, int n_layers_27b, mn_error *err) {
    c->rope_style = MN_ROPE_SPLIT;
    c->activation = MN_ACT_GELU;
    c->embedding_scale = sqrtf((float)c->n_embd);
    /* The 27B models scale queries by the embedding's share per head; their files do not say so. */
    if (c->n_layers == n_layers_27b) c->attention_scale = 1.0f / sqrtf((float)c->n_embd / (float)c->n_heads);
    MN_TRY(mn_config_int(gguf, c->arch, "attention.sliding_window_pattern", false, 1, MN_MAX_LAYERS, &c->window_period,
                         err));
    return mn_config_i64(gguf, c->arch, "attention.sliding_window", false, 0, INT64_MAX, &c->window, err);
}

static mn_status configure2(const mn_gguf *gguf, mn_config *c, mn_error *err) {
    c->window = 4096;
    c->window_period = 2;
    MN_TRY(configure_common(gguf, c, GEMMA2_27B_LAYERS, err));
    MN_TRY(mn_config_float(gguf, c->arch, "attn_logit_softcapping", false, &c->attention_softcap, err));
    return mn_config_float(gguf, c->arch, "final_logit_softcapping", false, &c->final_softcap, err);
}

static mn_status configure3(const mn_gguf *gguf, mn_config *c, mn_error *err) {
    float local_base = 10000;
    c->window_period = 6;
    MN_TRY(configure_common(gguf, c, GEMMA3_27B_LAYERS, err));
    MN_TRY(mn_config_float(gguf, c->arch, "rope.freq_base_swa", false, &local_base, err));
    c->rope_local_base = local_base;
    return mn_config_float(gguf, c->arch, "final_logit_softcapping", false, &c->final_softcap, err);
}

static void bind_layer(mn_binder *b, const mn_config *c, int layer, mn_layer *l) {
    (void)layer;
    mn_bind_norms(b, c, l);
    mn_bind_attention(b, c, l);
    mn_bind_norm_if(b, "attn_q_norm", c->head_dim_k, &l->q_norm);
    mn_bind_norm_if(b, "attn_k_norm", c->head_dim_k, &l->k_norm);
    mn_bind_norm(b, "post_attention_norm", c->n_embd, &l->post_attn_norm);
    mn_bind_norm(b, "post_ffw_norm", c->n_embd, &l->post_ffn_norm);
    mn_bind_swiglu(b, c, l);
}

const mn_family mn_family_gemma2 = {"gemma2", "Gemma 2: windowed layers, capped scores", configure2, bind_layer};
const mn_family mn_family_gemma3 = {"gemma3", "Gemma 3: windowed layers with a base of their own", configure3,
                                    bind_layer};
