/* Kimi Linear (Kimi Team 2025, arXiv:2510.26692): three of four layers keep a delta net whose channels decay apart
 * (KDA), the others have DeepSeek's latent attention, without positions; experts behind the first layers. */
#include "model/family.h"

#include <math.h>

#include "recurrent/causal_conv.h"

static mn_status configure_kda(const mn_gguf *g, mn_config *c, mn_error *err) {
    mn_mixer_config *m = &c->mixer;
    *m = (mn_mixer_config){.kind = MN_MIXER_GATED_DELTA,
                           .n_heads = c->n_heads,
                           .n_k_heads = c->n_heads,
                           .decays_channels = true,
                           .gate = MN_GATE_SIGMOID,
                           .gates_after_norm = true};
    MN_TRY(mn_config_int(g, c->arch, "kda.head_dim", true, 1, 1 << 12, &m->k_dim, err));
    MN_TRY(mn_config_int(g, c->arch, "ssm.conv_kernel", true, 1, MN_CONV_MAX_TAPS, &m->n_taps, err));
    m->v_dim = m->k_dim;
    m->n_channels = 3 * m->n_heads * m->k_dim;
    return MN_OK;
}

static mn_status configure_experts(const mn_gguf *g, mn_config *c, mn_error *err) {
    bool normalises; /* always so */
    MN_TRY(mn_config_moe(g, c, MN_GATING_SIGMOID, err));
    MN_TRY(mn_config_bool(g, c->arch, "expert_weights_norm", &normalises, err));
    c->moe.router.normalise = true;
    return mn_config_shared_expert(g, c, 0, err);
}

static mn_status configure(const mn_gguf *g, mn_config *c, mn_error *err) {
    c->rope_style = MN_ROPE_STYLE_NONE;
    MN_TRY(configure_kda(g, c, err));
    mn_config_mix_headless(c);
    MN_TRY(mn_config_mla(g, c, err));
    c->attention_scale = 1 / sqrtf((float)(c->mla.n_nope + c->mla.n_rot));
    return configure_experts(g, c, err);
}

static void bind_kda(mn_binder *b, const mn_config *c, mn_layer *l) {
    static const char *const inputs[] = {"attn_q", "attn_k", "attn_v"};
    static const char *const taps[] = {"ssm_conv1d_q", "ssm_conv1d_k", "ssm_conv1d_v"};
    const mn_mixer_config *m = &c->mixer;
    mn_mixer_weights *w = &l->mixer;
    int64_t inner = (int64_t)m->n_heads * m->k_dim;
    for (int i = 0; i < 3; i++) {
        mn_bind_projection(b, inputs[i], c->n_embd, inner, &w->in[i]);
        mn_bind_taps(b, c, taps[i], i * inner, inner, l);
    }
    mn_bind_projection(b, "ssm_f_a", c->n_embd, m->k_dim, &w->decay);
    mn_bind_projection(b, "ssm_f_b", m->k_dim, inner, &w->decay_out);
    mn_bind_projection(b, "ssm_beta", c->n_embd, m->n_heads, &w->beta);
    mn_bind_projection(b, "ssm_g_a", c->n_embd, m->k_dim, &w->gate);
    mn_bind_projection(b, "ssm_g_b", m->k_dim, inner, &w->gate_out);
    w->a = mn_bind_values(b, "ssm_a", 1, m->n_heads, true);
    w->dt_bias = mn_bind_values(b, "ssm_dt.bias", 1, inner, true);
    mn_bind_unit_norm(b, c, m->k_dim, 1 / sqrtf((float)m->k_dim), &w->q_norm);
    mn_bind_unit_norm(b, c, m->k_dim, 1, &w->k_norm);
    mn_bind_norm(b, "ssm_norm", m->v_dim, &w->out_norm);
    mn_bind_projection(b, "attn_output", inner, c->n_embd, &w->out);
}

static void bind_layer(mn_binder *b, const mn_config *c, int layer, mn_layer *l) {
    mn_bind_norms(b, c, l);
    (c->layers[layer].has_mixer ? bind_kda : mn_bind_mla)(b, c, l);
    mn_bind_mlp(b, c, l);
}

const mn_family mn_family_kimi_linear = {"kimi-linear", "Kimi Linear: delta attention (KDA) and latent attention",
                                         configure, bind_layer};
