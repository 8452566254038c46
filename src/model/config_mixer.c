/* What a file says of its recurrent mixers. */
#include "model/config.h"

#include "recurrent/causal_conv.h"

static mn_status check_heads(const mn_gguf *g, const mn_config *c, int inner, mn_error *err) {
    const mn_mixer_config *m = &c->mixer;
    if (inner % m->n_heads || m->n_heads % m->n_k_heads)
        return mn_fail(err, MN_ERR_FORMAT,
                       "%s: %d channels and %d groups do not divide among the %d heads of the state.", mn_gguf_path(g),
                       inner, m->n_k_heads, m->n_heads);
    return MN_OK;
}

mn_status mn_config_ssm(const mn_gguf *g, mn_config *c, mn_error *err) {
    mn_mixer_config *m = &c->mixer;
    int inner = 0;
    m->n_k_heads = 1;
    MN_TRY(mn_config_int(g, c->arch, "ssm.conv_kernel", true, 1, MN_CONV_MAX_TAPS, &m->n_taps, err));
    MN_TRY(mn_config_int(g, c->arch, "ssm.state_size", true, 1, 1 << 12, &m->k_dim, err));
    MN_TRY(mn_config_int(g, c->arch, "ssm.group_count", false, 1, MN_MAX_HEADS, &m->n_k_heads, err));
    MN_TRY(mn_config_int(g, c->arch, "ssm.time_step_rank", true, 1, MN_MAX_HEADS, &m->n_heads, err));
    MN_TRY(mn_config_int(g, c->arch, "ssm.inner_size", true, 1, 1 << 20, &inner, err));
    MN_TRY(check_heads(g, c, inner, err));
    m->v_dim = inner / m->n_heads;
    return MN_OK;
}

mn_status mn_config_mamba2(const mn_gguf *g, mn_config *c, mn_error *err) {
    mn_mixer_config *m = &c->mixer;
    *m = (mn_mixer_config){.kind = MN_MIXER_MAMBA2, .gate = MN_GATE_SILU};
    MN_TRY(mn_config_ssm(g, c, err));
    m->n_channels = m->n_heads * m->v_dim + 2 * m->n_k_heads * m->k_dim;
    return MN_OK;
}

void mn_config_mix_only(mn_config *c) {
    for (mn_layer_shape *l = c->layers; l < c->layers + c->n_layers; l++) l->n_kv_heads = 0;
    mn_config_mix_headless(c);
}

void mn_config_mix_headless(mn_config *c) {
    c->has_empty_layers = true;
    for (mn_layer_shape *l = c->layers; l < c->layers + c->n_layers; l++) {
        l->has_mixer = l->n_kv_heads == 0;
        if (l->has_mixer) l->n_heads = 0;
    }
}
