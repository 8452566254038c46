/* Gemma 4: windowed layers with heads and frequencies of their own, values that are normalised and, in some layers,
 * made from the keys' projection; last layers that attend to the keys of earlier ones; a small embedding for each
 * layer; or experts beside the dense MLP, each with norms of its own. (Google 2026, the released code; embeddings of
 * layers and shared keys: Gemma 3n, 2025.) */
#include "model/family.h"

#include <math.h>

/* Heads of the windowed layers. */
static mn_status configure_local(const mn_gguf *gguf, mn_config *c, mn_error *err) {
    int k_dim = c->head_dim_k, v_dim = c->head_dim_v;
    MN_TRY(mn_config_int(gguf, c->arch, "attention.key_length_swa", false, 1, 1 << 14, &k_dim, err));
    MN_TRY(mn_config_int(gguf, c->arch, "attention.value_length_swa", false, 1, 1 << 14, &v_dim, err));
    MN_TRY(mn_config_windows(gguf, c, 0, 0, err));
    for (mn_layer_shape *l = c->layers; l < c->layers + c->n_layers; l++) {
        if (l->window == 0) continue;
        l->head_dim_k = k_dim;
        l->head_dim_v = v_dim;
    }
    return mn_config_local_rope(gguf, c, 10000, err);
}

/* The last layers attend to what the last windowed, or the last full, layer before them has cached. */
static mn_status configure_shared(const mn_gguf *gguf, mn_config *c, mn_error *err) {
    int n_shared = 0;
    MN_TRY(mn_config_int(gguf, c->arch, "attention.shared_kv_layers", false, 0, c->n_layers - 1, &n_shared, err));
    for (int i = c->n_layers - n_shared; i < c->n_layers; i++) {
        mn_layer_shape *l = &c->layers[i];
        int from = c->n_layers - n_shared - (l->window > 0 ? 2 : 1);
        const mn_layer_shape *s = from >= 0 ? &c->layers[from] : NULL;
        if (!s || (s->window > 0) != (l->window > 0) || s->n_kv_heads != l->n_kv_heads)
            return mn_fail(err, MN_ERR_FORMAT,
                           "%s: layer %d shares the keys of layer %d, and their windows or heads differ.",
                           mn_gguf_path(gguf), i, from);
        l->kv_layer = from;
    }
    return MN_OK;
}

static mn_status configure(const mn_gguf *gguf, mn_config *c, mn_error *err) {
    c->rope_style = MN_ROPE_SPLIT;
    c->activation = MN_ACT_GELU;
    c->norms_v = true;
    c->attention_scale = 1;
    c->embedding_scale = sqrtf((float)c->n_embd);
    MN_TRY(configure_local(gguf, c, err));
    MN_TRY(configure_shared(gguf, c, err));
    MN_TRY(mn_config_int(gguf, c->arch, "embedding_length_per_layer_input", false, 0, 1 << 14, &c->n_embd_layer, err));
    c->final_softcap = 30;
    MN_TRY(mn_config_float(gguf, c->arch, "final_logit_softcapping", false, &c->final_softcap, err));
    MN_TRY(mn_config_moe(gguf, c, MN_GATING_SOFTMAX, err));
    mn_config_find_moe(gguf, c);
    c->moe.router.normalise = true;
    c->moe.beside_dense = true;
    c->moe.router_scale = 1 / sqrtf((float)c->n_embd);
    return MN_OK;
}

static void bind_attention(mn_binder *b, const mn_config *c, int layer, mn_layer *l) {
    const mn_layer_shape *s = &c->layers[layer];
    mn_bind_projection(b, "attn_q", c->n_embd, (int64_t)s->n_heads * s->head_dim_k, &l->q);
    mn_bind_norm(b, "attn_q_norm", s->head_dim_k, &l->q_norm);
    mn_bind_projection(b, "attn_output", (int64_t)s->n_heads * s->head_dim_v, c->n_embd, &l->o);
    if (!mn_config_has_kv(c, layer)) return;
    mn_bind_projection(b, "attn_k", c->n_embd, (int64_t)s->n_kv_heads * s->head_dim_k, &l->k);
    mn_bind_norm(b, "attn_k_norm", s->head_dim_k, &l->k_norm);
    bool own = s->head_dim_v != s->head_dim_k; /* else values may be made from the keys */
    (own ? mn_bind_projection : mn_bind_projection_if)(b, "attn_v", c->n_embd, (int64_t)s->n_kv_heads * s->head_dim_v,
                                                       &l->v);
}

static void bind_experts(mn_binder *b, const mn_config *c, mn_layer *l) {
    mn_bind_norm(b, "post_ffw_norm_1", c->n_embd, &l->post_dense_norm);
    mn_bind_norm(b, "pre_ffw_norm_2", c->n_embd, &l->expert_norm);
    mn_bind_norm(b, "post_ffw_norm_2", c->n_embd, &l->post_expert_norm);
    l->router_norm.w = mn_bind_vector(b, "ffn_gate_inp.scale", c->n_embd, true);
}

static void bind_layer(mn_binder *b, const mn_config *c, int layer, mn_layer *l) {
    mn_bind_norms(b, c, l);
    bind_attention(b, c, layer, l);
    mn_bind_norm(b, "post_attention_norm", c->n_embd, &l->post_attn_norm);
    mn_bind_norm(b, "post_ffw_norm", c->n_embd, &l->post_ffn_norm);
    mn_bind_mlp(b, c, l);
    if (mn_config_is_moe(c, layer)) bind_experts(b, c, l);
    if (c->n_embd_layer) {
        mn_bind_projection(b, "inp_gate", c->n_embd, c->n_embd_layer, &l->layer_gate);
        mn_bind_projection(b, "proj", c->n_embd_layer, c->n_embd, &l->layer_proj);
        mn_bind_norm(b, "post_norm", c->n_embd, &l->layer_norm);
    }
    const float *scale = mn_bind_vector(b, "layer_output_scale.weight", 1, false);
    if (scale) l->output_scale = *scale;
}

const mn_family mn_family_gemma4 = {"gemma4", "Gemma 4: shared keys, embeddings of layers, experts beside the MLP",
                                    configure, bind_layer};
