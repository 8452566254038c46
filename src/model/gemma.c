/* Gemma 2 and 3: scaled embeddings, a second norm after attention and after the MLP, GELU gates, layers with a sliding
 * window between layers that see all. Gemma 2 caps its scores and logits (arXiv:2408.00118); Gemma 3 normalises q and k
 * and gives its windowed layers a base of their own (arXiv:2503.19786). */
#include "model/family.h"

#include <float.h>
#include <math.h>

enum { GEMMA2_27B_LAYERS = 46, GEMMA3_27B_LAYERS = 62 };

/* What the files of the first converters leave to the code: the norm's epsilon, and the width of heads, which is not
 * n_embd / n_heads. */
static void add_missing(const mn_gguf *gguf, mn_config *c) {
    const mn_tensor *q = mn_gguf_tensor(gguf, "blk.0.attn_q.weight");
    int n_heads = c->layers[0].n_heads;
    if (c->norm_eps == 0) c->norm_eps = 1e-6f;
    if (mn_config_has(gguf, c->arch, "attention.key_length") || !q || n_heads == 0 || q->ne[1] % n_heads ||
        q->ne[1] / n_heads > 1 << 14)
        return;
    int head_dim = (int)(q->ne[1] / n_heads);
    for (mn_layer_shape *l = c->layers; l < c->layers + c->n_layers; l++) l->head_dim_k = l->head_dim_v = head_dim;
    if (!mn_config_has(gguf, c->arch, "rope.dimension_count")) c->rope.n_rot = head_dim;
}

/* Queries are scaled by their width, but in the 27B models by the embedding's share per head; files do not say so. */
static void set_scales(mn_config *c, int n_layers_27b) {
    const mn_layer_shape *l = &c->layers[0];
    float width = c->n_layers == n_layers_27b ? (float)c->n_embd / (float)l->n_heads : (float)l->head_dim_k;
    c->attention_scale = 1.0f / sqrtf(width);
    c->embedding_scale = sqrtf((float)c->n_embd);
}

static void configure_common(const mn_gguf *gguf, mn_config *c, int n_layers_27b) {
    c->rope_style = MN_ROPE_SPLIT;
    c->activation = MN_ACT_GELU;
    add_missing(gguf, c);
    set_scales(c, n_layers_27b);
}

static mn_status configure2(const mn_gguf *gguf, mn_config *c, mn_error *err) {
    configure_common(gguf, c, GEMMA2_27B_LAYERS);
    c->attention_softcap = 50;
    c->final_softcap = 30;
    MN_TRY(mn_config_windows(gguf, c, 4096, 2, err));
    MN_TRY(mn_config_local_rope(gguf, c, 0, err));
    MN_TRY(mn_config_float(gguf, c->arch, "attn_logit_softcapping", false, &c->attention_softcap, err));
    return mn_config_float(gguf, c->arch, "final_logit_softcapping", false, &c->final_softcap, err);
}

static mn_status configure3(const mn_gguf *gguf, mn_config *c, mn_error *err) {
    bool found;
    configure_common(gguf, c, GEMMA3_27B_LAYERS);
    c->rope.freq_base = 1e6;
    MN_TRY(mn_config_number(gguf, c->arch, "rope.freq_base|rope.global.freq_base", 0, FLT_MAX, &c->rope.freq_base,
                            &found, err));
    MN_TRY(mn_config_windows(gguf, c, 0, 6, err));
    MN_TRY(mn_config_local_rope(gguf, c, 10000, err));
    MN_TRY(mn_config_float(gguf, c->arch, "attn_logit_softcapping", false, &c->attention_softcap, err));
    return mn_config_float(gguf, c->arch, "final_logit_softcapping", false, &c->final_softcap, err);
}

static void bind_layer(mn_binder *b, const mn_config *c, int layer, mn_layer *l) {
    mn_bind_norms(b, c, l);
    mn_bind_attention(b, c, l);
    mn_bind_norm_if(b, "attn_q_norm", c->layers[layer].head_dim_k, &l->q_norm);
    mn_bind_norm_if(b, "attn_k_norm", c->layers[layer].head_dim_k, &l->k_norm);
    mn_bind_norm(b, "post_attention_norm", c->n_embd, &l->post_attn_norm);
    mn_bind_norm(b, "post_ffw_norm", c->n_embd, &l->post_ffn_norm);
    mn_bind_swiglu(b, c, l);
}

const mn_family mn_family_gemma2 = {"gemma2", "Gemma 2: windowed layers, capped scores", configure2, bind_layer};
const mn_family mn_family_gemma3 = {"gemma3", "Gemma 3: windowed layers with a base of their own", configure3,
                                    bind_layer};
