/* Qwen3-Next and Qwen 3.5: most layers keep a gated delta net (Yang et al. 2024, arXiv:2412.06464) in the place of
 * attention, the others attend and gate what they found. Dense, or with experts of which one always runs behind a gate.
 * (The released code; blocks that predict further tokens are left out.) */
#include "model/family.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Which layers attend: the last of every `interval`, or as a list says. */
static mn_status configure_layers(const mn_gguf *g, mn_config *c, mn_error *err) {
    int interval = 4, recurrent[MN_MAX_LAYERS];
    MN_TRY(mn_config_int(g, c->arch, "full_attention_interval", false, 1, MN_MAX_LAYERS, &interval, err));
    for (int i = 0; i < c->n_layers; i++) recurrent[i] = (i + 1) % interval != 0;
    MN_TRY(mn_config_ints(g, c, "attention.recurrent_layers", false, 0, 1, recurrent, err));
    for (int i = 0; i < c->n_layers; i++)
        if (recurrent[i]) c->layers[i].n_kv_heads = 0;
    mn_config_mix_headless(c);
    return MN_OK;
}

static mn_status configure_delta(const mn_gguf *g, mn_config *c, mn_error *err) {
    mn_mixer_config *m = &c->mixer;
    *m = (mn_mixer_config){.kind = MN_MIXER_GATED_DELTA, .gate = MN_GATE_SILU, .gates_after_norm = true};
    MN_TRY(mn_config_ssm(g, c, err));
    if (m->v_dim != m->k_dim)
        return mn_fail(err, MN_ERR_FORMAT, "%s: values of %d dimensions cannot go with keys of %d (ssm.state_size).",
                       mn_gguf_path(g), m->v_dim, m->k_dim);
    m->n_channels = (2 * m->n_k_heads + m->n_heads) * m->k_dim;
    return MN_OK;
}

/* Positions of pictures have three numbers, which share the pairs; in a text they are one, which all pairs turn by. */
static mn_status check_sections(const mn_gguf *g, const mn_config *c, mn_error *err) {
    int32_t *items = NULL;
    size_t n = 0;
    bool found = false;
    int64_t sum = 0;
    char key[64];
    snprintf(key, sizeof key, "%s.rope.dimension_sections", c->arch);
    MN_TRY(mn_gguf_get_i32s(g, key, &items, &n, &found, err));
    for (size_t i = 0; i < n && i < 3; i++) sum += items[i];
    free(items);
    if (!found || sum == c->rope.n_rot / 2) return MN_OK;
    return mn_fail(
        err, MN_ERR_UNSUPPORTED,
        "%s: rope.dimension_sections share out %lld of %d rotated pairs; the others would stand still, which "
        "nothing here computes.",
        mn_gguf_path(g), (long long)sum, c->rope.n_rot / 2);
}

static mn_status configure(const mn_gguf *g, mn_config *c, mn_error *err) {
    c->rope_style = MN_ROPE_SPLIT;
    MN_TRY(configure_delta(g, c, err));
    MN_TRY(configure_layers(g, c, err));
    MN_TRY(mn_config_moe(g, c, MN_GATING_SOFTMAX, err));
    c->moe.router.normalise = true;
    if (c->moe.router.n_experts) MN_TRY(mn_config_shared_expert(g, c, 0, err));
    return mn_config_drop_nextn(g, c, err);
}

static mn_status configure_tiled(const mn_gguf *g, mn_config *c, mn_error *err) {
    MN_TRY(configure(g, c, err));
    c->mixer.tiled = true; /* the converter has put the value heads into this order */
    return check_sections(g, c, err);
}

/* q, k, v and the output's gate; the first files had one matrix of them, for each key head its q, k, and the v and
 * gates of its value heads. */
static void bind_inputs(mn_binder *b, const mn_config *c, mn_layer *l) {
    const mn_mixer_config *m = &c->mixer;
    mn_mixer_weights *w = &l->mixer;
    int64_t k = m->k_dim, v = (int64_t)m->n_heads / m->n_k_heads * m->v_dim, inner = (int64_t)m->n_heads * m->v_dim;
    mn_projection all = {0};
    mn_bind_projection_if(b, "ssm_in", c->n_embd, m->n_channels + inner, &all);
    if (all.w.data) {
        mn_bind_picked_rows(b, &all, 0, k, 2 * (k + v), &w->in[0]);
        mn_bind_picked_rows(b, &all, k, k, 2 * (k + v), &w->in[1]);
        mn_bind_picked_rows(b, &all, 2 * k, v, 2 * (k + v), &w->in[2]);
        mn_bind_picked_rows(b, &all, 2 * k + v, v, 2 * (k + v), &w->gate);
        return;
    }
    mn_bind_projection(b, "attn_qkv", c->n_embd, m->n_channels, &w->in[0]);
    mn_bind_projection(b, "attn_gate", c->n_embd, inner, &w->gate);
}

/* beta and decay: apart, or for each key head those of its value heads. */
static void bind_gates(mn_binder *b, const mn_config *c, mn_layer *l) {
    const mn_mixer_config *m = &c->mixer;
    mn_bind_projection_if(b, "ssm_ba", c->n_embd, 2 * m->n_heads, &l->mixer.beta_decay);
    if (l->mixer.beta_decay.w.data) return;
    mn_bind_projection(b, "ssm_beta", c->n_embd, m->n_heads, &l->mixer.beta);
    mn_bind_projection(b, "ssm_alpha", c->n_embd, m->n_heads, &l->mixer.decay);
}

static void bind_delta(mn_binder *b, const mn_config *c, mn_layer *l) {
    const mn_mixer_config *m = &c->mixer;
    mn_mixer_weights *w = &l->mixer;
    bind_inputs(b, c, l);
    bind_gates(b, c, l);
    mn_bind_taps(b, c, "ssm_conv1d", 0, m->n_channels, l);
    w->dt_bias = mn_bind_values(b, "ssm_dt.bias", 1, m->n_heads, true);
    w->a = mn_bind_values(b, "ssm_a", 1, m->n_heads, true);
    mn_bind_unit_norm(b, c, m->k_dim, 1 / sqrtf((float)m->k_dim), &w->q_norm);
    mn_bind_unit_norm(b, c, m->k_dim, 1, &w->k_norm);
    mn_bind_norm(b, "ssm_norm", m->v_dim, &w->out_norm);
    mn_bind_projection(b, "ssm_out", (int64_t)m->n_heads * m->v_dim, c->n_embd, &w->out);
}

/* attn_q makes a query and a gate for each head. */
static void bind_attention(mn_binder *b, const mn_config *c, mn_layer *l) {
    const mn_layer_shape *s = &c->layers[b->layer];
    l->gates_attention = true;
    mn_bind_projection(b, "attn_q", c->n_embd, 2 * (int64_t)s->n_heads * s->head_dim_k, &l->q);
    mn_bind_projection(b, "attn_k", c->n_embd, (int64_t)s->n_kv_heads * s->head_dim_k, &l->k);
    mn_bind_projection(b, "attn_v", c->n_embd, (int64_t)s->n_kv_heads * s->head_dim_v, &l->v);
    mn_bind_projection(b, "attn_output", (int64_t)s->n_heads * s->head_dim_v, c->n_embd, &l->o);
    mn_bind_qk_norms(b, c, l);
}

static void bind_layer(mn_binder *b, const mn_config *c, int layer, mn_layer *l) {
    mn_bind_norm(b, "attn_norm", c->n_embd, &l->attn_norm);
    mn_bind_norm(b, "post_attention_norm", c->n_embd, &l->ffn_norm);
    (c->layers[layer].has_mixer ? bind_delta : bind_attention)(b, c, l);
    mn_bind_mlp(b, c, l);
}

const mn_family mn_family_qwen3next = {"qwen3next", "Qwen3-Next: gated delta nets and experts", configure, bind_layer};
const mn_family mn_family_qwen35 = {"qwen35", "Qwen 3.5: gated delta nets and gated attention", configure_tiled,
                                    bind_layer};
const mn_family mn_family_qwen35moe = {"qwen35moe", "Qwen 3.5 with experts", configure_tiled, bind_layer};
