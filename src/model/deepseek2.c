/* DeepSeek V2 and V3: latent attention with and without compressed queries, shared and routed experts, softmax gates
 * (V2, arXiv:2405.04434) and sigmoid gates with a bias for the choice and groups of experts (V3, arXiv:2412.19437). */
#include "model/family.h"

#include <math.h>
#include <stdio.h>

/* Files of before April 2025 hold W_UK and W_UV as one matrix, which absorption cannot use as it is. */
static mn_status check_split(const mn_gguf *gguf, const mn_config *c, mn_error *err) {
    for (int layer = 0; layer < c->n_layers; layer++) {
        char whole[48], part[48];
        snprintf(whole, sizeof whole, "blk.%d.attn_kv_b.weight", layer);
        snprintf(part, sizeof part, "blk.%d.attn_k_b.weight", layer);
        if (mn_gguf_tensor(gguf, part) || !mn_gguf_tensor(gguf, whole)) continue;
        return mn_fail(
            err, MN_ERR_UNSUPPORTED,
            "%s: holds attn_kv_b where attn_k_b and attn_v_b are needed; convert the model again with a newer "
            "converter.",
            mn_gguf_path(gguf));
    }
    return MN_OK;
}

mn_status mn_config_mla(const mn_gguf *g, mn_config *c, mn_error *err) {
    mn_mla_config *m = &c->mla;
    int key_length = c->head_dim_k, value_length = c->head_dim_v;
    MN_TRY(check_split(g, c, err));
    MN_TRY(mn_config_int(g, c->arch, "attention.q_lora_rank", false, 0, 1 << 16, &m->q_rank, err));
    MN_TRY(mn_config_int(g, c->arch, "attention.kv_lora_rank", true, 1, 1 << 13, &m->kv_rank, err));
    MN_TRY(mn_config_int(g, c->arch, "attention.key_length_mla", true, 1, 1 << 13, &key_length, err));
    MN_TRY(mn_config_int(g, c->arch, "attention.value_length_mla", true, 1, 1 << 13, &value_length, err));
    MN_TRY(mn_config_float(g, c->arch, "attention.kv_a_norm_epsilon", false, &m->norm_eps, err));
    m->n_rot = c->rope.n_rot;
    m->n_nope = key_length - m->n_rot;
    m->v_dim = value_length;
    for (mn_layer_shape *l = c->layers; l < c->layers + c->n_layers; l++) {
        l->head_dim_k = key_length;
        l->head_dim_v = value_length;
        l->n_kv_heads = l->n_heads; /* what attention sees before absorption; the cache holds one latent row */
    }
    if (m->n_nope < 1)
        return mn_fail(err, MN_ERR_FORMAT, "%s: keys of %d dimensions cannot hold %d rotated ones.", mn_gguf_path(g),
                       key_length, m->n_rot);
    return MN_OK;
}

/* YaRN's temperature multiplies the scores here, not cos and sin (arXiv:2405.04434, sec. 3.1.4). */
static mn_status configure_temperature(const mn_gguf *g, mn_config *c, mn_error *err) {
    float multiplier = 0;
    MN_TRY(mn_config_float(g, c->arch, "rope.scaling.yarn_log_multiplier", false, &multiplier, err));
    c->yarn_log_multiplier = multiplier;
    c->temperature_in_scores = true;
    c->attention_scale = 1.0f / sqrtf((float)c->layers[0].head_dim_k);
    return MN_OK;
}

static mn_status configure_experts(const mn_gguf *g, mn_config *c, mn_error *err) {
    mn_router *r = &c->moe.router;
    MN_TRY(mn_config_moe(g, c, MN_GATING_SOFTMAX, err));
    MN_TRY(mn_config_shared_expert(g, c, 0, err));
    MN_TRY(mn_config_bool(g, c->arch, "expert_weights_norm", &r->normalise, err));
    r->group_top = 2;
    MN_TRY(mn_config_int(g, c->arch, "expert_group_count", false, 0, MN_MAX_EXPERTS, &r->n_groups, err));
    return mn_config_int(g, c->arch, "expert_group_used_count", false, 0, r->n_groups, &r->n_groups_used, err);
}

static mn_status configure(const mn_gguf *gguf, mn_config *c, mn_error *err) {
    MN_TRY(mn_config_mla(gguf, c, err));
    MN_TRY(configure_temperature(gguf, c, err));
    return configure_experts(gguf, c, err);
}

void mn_bind_mla(mn_binder *b, const mn_config *c, mn_layer *l) {
    const mn_mla_config *m = &c->mla;
    int n_heads = c->layers[b->layer].n_heads;
    int64_t q_dim = (int64_t)n_heads * c->layers[b->layer].head_dim_k;
    if (m->q_rank) {
        mn_bind_projection(b, "attn_q_a", c->n_embd, m->q_rank, &l->q_a);
        mn_bind_norm(b, "attn_q_a_norm", m->q_rank, &l->q_a_norm);
        mn_bind_projection(b, "attn_q_b", m->q_rank, q_dim, &l->q_b);
    } else {
        mn_bind_projection(b, "attn_q", c->n_embd, q_dim, &l->q_b);
    }
    mn_bind_projection(b, "attn_kv_a_mqa", c->n_embd, m->kv_rank + m->n_rot, &l->kv_a);
    mn_bind_norm(b, "attn_kv_a_norm", m->kv_rank, &l->kv_a_norm);
    l->kv_a_norm.eps = m->norm_eps;
    mn_bind_stack(b, "attn_k_b", m->n_nope, m->kv_rank, n_heads, &l->k_b);
    mn_bind_stack(b, "attn_v_b", m->kv_rank, m->v_dim, n_heads, &l->v_b);
    mn_bind_projection(b, "attn_output", (int64_t)n_heads * m->v_dim, c->n_embd, &l->o);
}

static void bind_layer(mn_binder *b, const mn_config *c, int layer, mn_layer *l) {
    (void)layer;
    mn_bind_norms(b, c, l);
    mn_bind_mla(b, c, l);
    mn_bind_mlp(b, c, l);
}

const mn_family mn_family_deepseek2 = {"deepseek2", "DeepSeek V2 and V3: latent attention, shared and routed experts",
                                       configure, bind_layer};
