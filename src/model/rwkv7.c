/* RWKV-7 (Peng et al. 2025, arXiv:2503.14456): no attention; every layer mixes with the token before, keeps a state,
 * and its MLP looks at the token before as well. */
#include "model/family.h"

#include <stdio.h>

static mn_status configure(const mn_gguf *g, mn_config *c, mn_error *err) {
    mn_mixer_config *m = &c->mixer;
    int n_shifts = 2;
    c->norm = MN_NORM_LAYER;
    c->activation = MN_ACT_RELU2;
    c->rope_style = MN_ROPE_STYLE_NONE;
    *m = (mn_mixer_config){.kind = MN_MIXER_RWKV7, .n_taps = 2, .n_channels = 2 * c->n_embd};
    MN_TRY(mn_config_float(g, c->arch, "attention.layer_norm_epsilon", true, &c->norm_eps, err));
    MN_TRY(mn_config_int(g, c->arch, "token_shift_count", false, 2, 2, &n_shifts, err));
    MN_TRY(mn_config_int(g, c->arch, "wkv.head_size", true, 1, 1 << 10, &m->k_dim, err));
    if (c->n_embd % m->k_dim)
        return mn_fail(err, MN_ERR_FORMAT, "%s: %d dimensions do not divide into heads of %d (wkv.head_size).",
                       mn_gguf_path(g), c->n_embd, m->k_dim);
    m->v_dim = m->k_dim;
    m->n_heads = m->n_k_heads = c->n_embd / m->k_dim;
    mn_config_mix_only(c);
    return MN_OK;
}

/* Two thin matrices "NAME1" and "NAME2", whose rank the tensor says, and what is added, "NAME0". */
static void bind_thin(mn_binder *b, const mn_config *c, const char *name, mn_projection *down, mn_projection *up) {
    char full[3][32], added[48];
    for (int i = 0; i < 3; i++) snprintf(full[i], sizeof full[i], "time_mix_%s%d", name, i);
    int64_t rank = mn_bind_n_out(b, full[1]);
    mn_bind_projection(b, full[1], c->n_embd, rank, down);
    mn_bind_projection(b, full[2], rank, c->n_embd, up);
    snprintf(added, sizeof added, "%s.weight", full[0]);
    up->b = mn_bind_values(b, added, 1, c->n_embd, false);
}

static void bind_time_mix(mn_binder *b, const mn_config *c, int layer, mn_layer *l) {
    mn_mixer_weights *w = &l->mixer;
    mn_projection unused[2]; /* the first layer's values are those that later ones mix in: its own parts have no use */
    int64_t n = c->n_embd;
    w->mixes[0] = mn_bind_values(b, "time_mix_lerp_fused.weight", n, MN_RWKV7_MIXES, true);
    mn_bind_projection(b, "time_mix_receptance", n, n, &w->in[0]);
    mn_bind_projection(b, "time_mix_key", n, n, &w->in[1]);
    mn_bind_projection(b, "time_mix_value", n, n, &w->in[2]);
    bind_thin(b, c, "w", &w->decay, &w->decay_out);
    bind_thin(b, c, "a", &w->beta, &w->beta_out);
    bind_thin(b, c, "g", &w->gate, &w->gate_out);
    bind_thin(b, c, "v", layer ? &w->v_mix : &unused[0], layer ? &w->v_mix_out : &unused[1]);
    w->k_k = mn_bind_values(b, "time_mix_k_k.weight", 1, n, true);
    w->k_a = mn_bind_values(b, "time_mix_k_a.weight", 1, n, true);
    w->r_k = mn_bind_values(b, "time_mix_r_k.weight", 1, n, true);
    mn_bind_norm(b, "time_mix_ln", n, &w->out_norm);
    w->out_norm.eps = 64e-5f;
    mn_bind_projection(b, "time_mix_output", n, n, &w->out);
}

static void bind_layer(mn_binder *b, const mn_config *c, int layer, mn_layer *l) {
    int n_ff = c->layers[layer].n_ff;
    mn_bind_norm(b, "attn_norm", c->n_embd, &l->attn_norm);
    mn_bind_norm(b, "attn_norm_2", c->n_embd, &l->ffn_norm);
    bind_time_mix(b, c, layer, l);
    l->mixer.mixes[1] = mn_bind_values(b, "channel_mix_lerp_k.weight", c->n_embd, 1, true);
    mn_bind_projection(b, "channel_mix_key", c->n_embd, n_ff, &l->up);
    mn_bind_projection(b, "channel_mix_value", n_ff, c->n_embd, &l->down);
}

const mn_family mn_family_rwkv7 = {"rwkv7", "RWKV-7: a state of fixed size and no attention", configure, bind_layer};
