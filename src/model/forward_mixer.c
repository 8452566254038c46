/* Recurrent mixers in the forward pass: what is made of a layer's input before the state, and of what it gives. */
#include "model/forward_layer.h"

/* out = narrow ? wide (narrow x) : wide x */
static mn_status project_narrow(const layer_run *r, mn_rows out, const mn_projection *first,
                                const mn_projection *second, mn_rows x, mn_error *err) {
    mn_rows inner;
    if (!second->w.data) return project(r, out, first, x, err);
    MN_TRY(take(r, x, 1, first->w.ne[1], &inner, err));
    MN_TRY(project(r, inner, first, x, err));
    return project(r, out, second, inner, err);
}

/* The channels of the convolution, made and convolved. */
static mn_status make_channels(const layer_run *r, mn_rows y, mn_rows *out, mn_error *err) {
    const mn_mixer_weights *w = &r->w->mixer;
    const mn_projection *ws[3];
    mn_rows x, parts[3];
    int n = 0;
    int64_t first = 0;
    MN_TRY(take(r, y, 1, r->config->mixer.n_channels, &x, err));
    for (; n < 3 && w->in[n].w.data; n++) {
        ws[n] = &w->in[n];
        parts[n] = mn_rows_part(x, first, ws[n]->w.ne[1]);
        first += parts[n].n;
    }
    MN_TRY(r->b->project(r->s, parts, ws, n, y, err));
    MN_TRY(take(r, y, 1, x.n, out, err));
    return r->b->convolve_mixer(r->s, r->layer, *out, x, err);
}

/* n_heads heads of n dimensions, from dimension `first` of every row on. */
static mn_rows heads_of(mn_rows x, int64_t first, int n_heads, int64_t n) {
    x = mn_rows_part(x, first, n);
    x.n_heads = n_heads;
    x.head_stride = n;
    return x;
}

/* One product makes for each key head the betas of its heads, then their decays. */
static mn_status make_gates_together(const layer_run *r, mn_rows y, mn_mixer_inputs *in, mn_error *err) {
    const mn_mixer_config *m = &r->config->mixer;
    int64_t group = m->n_heads / m->n_k_heads;
    mn_rows both;
    MN_TRY(take(r, y, m->n_k_heads, 2 * group, &both, err));
    in->beta = mn_rows_part(both, 0, group);
    in->decay = mn_rows_part(both, group, group);
    return project(r, both, &r->w->mixer.beta_decay, y, err);
}

/* Channels are q, k and v, of which q and k are made as long as their norms say. */
static mn_status make_delta_inputs(const layer_run *r, mn_rows y, mn_rows channels, mn_mixer_inputs *in,
                                   mn_error *err) {
    const mn_mixer_config *m = &r->config->mixer;
    const mn_mixer_weights *w = &r->w->mixer;
    int64_t n_k = (int64_t)m->n_k_heads * m->k_dim, n_decay = m->decays_channels ? m->k_dim : 1;
    in->q = heads_of(channels, 0, m->n_k_heads, m->k_dim);
    in->k = heads_of(channels, n_k, m->n_k_heads, m->k_dim);
    in->v = heads_of(channels, 2 * n_k, m->n_heads, m->v_dim);
    MN_TRY(norm_over(r, &in->q, &w->q_norm, err));
    MN_TRY(norm_over(r, &in->k, &w->k_norm, err));
    if (w->beta_decay.w.data) return make_gates_together(r, y, in, err);
    MN_TRY(take(r, y, m->n_heads, n_decay, &in->decay, err));
    MN_TRY(take(r, y, m->n_heads, 1, &in->beta, err));
    MN_TRY(project_narrow(r, in->decay, &w->decay, &w->decay_out, y, err));
    return project(r, in->beta, &w->beta, y, err);
}

/* Channels are x, B and C. */
static mn_status make_mamba2_inputs(const layer_run *r, mn_rows y, mn_rows channels, mn_mixer_inputs *in,
                                    mn_error *err) {
    const mn_mixer_config *m = &r->config->mixer;
    int64_t n_x = (int64_t)m->n_heads * m->v_dim, n_b = (int64_t)m->n_k_heads * m->k_dim;
    in->v = heads_of(channels, 0, m->n_heads, m->v_dim);
    in->k = heads_of(channels, n_x, m->n_k_heads, m->k_dim);
    in->q = heads_of(channels, n_x + n_b, m->n_k_heads, m->k_dim);
    MN_TRY(take(r, y, m->n_heads, 1, &in->decay, err));
    return project(r, in->decay, &r->w->mixer.decay, y, err);
}

/* *x, normalised by head or group where the layer does that, and gated, in the order of the model. */
static mn_status finish_output(const layer_run *r, mn_rows y, mn_rows *x, mn_error *err) {
    const mn_mixer_config *m = &r->config->mixer;
    const mn_mixer_weights *w = &r->w->mixer;
    mn_rows gate, gated, groups;
    MN_TRY(take(r, y, x->n_heads, x->n, &gate, err));
    MN_TRY(project_narrow(r, gate, &w->gate, &w->gate_out, y, err));
    if (m->gates_after_norm) MN_TRY(norm_over(r, x, &w->out_norm, err));
    MN_TRY(take_over(r, *x, &gated, err));
    MN_TRY(r->b->gate(r->s, m->gate, gated, *x, gate, err));
    *x = gated;
    if (m->gates_after_norm || !w->out_norm.w) return MN_OK;
    groups = heads_of(*x, 0, m->n_k_heads, x->n_heads * x->n / m->n_k_heads);
    MN_TRY(norm_over(r, &groups, &w->out_norm, err));
    *x = groups;
    return MN_OK;
}

/* A convolution between two gates: c conv(b x), b, c and x parts of one projection (LFM2). */
static mn_status mix_short_conv(const layer_run *r, mn_rows y, mn_rows *out, mn_error *err) {
    int64_t n = r->config->mixer.n_channels;
    mn_rows all, product, convolved;
    MN_TRY(take(r, y, 1, 3 * n, &all, err));
    MN_TRY(project(r, all, &r->w->mixer.in[0], y, err));
    MN_TRY(take(r, y, 1, n, &product, err));
    MN_TRY(r->b->gate(r->s, MN_GATE_PLAIN, product, mn_rows_part(all, 2 * n, n), mn_rows_part(all, 0, n), err));
    MN_TRY(take(r, y, 1, n, &convolved, err));
    MN_TRY(r->b->convolve_mixer(r->s, r->layer, convolved, product, err));
    MN_TRY(take_over(r, convolved, out, err));
    return r->b->gate(r->s, MN_GATE_PLAIN, *out, convolved, mn_rows_part(all, n, n), err);
}

/* f of a thin projection, projected back: f none, or as `gate` says. */
static mn_status project_thin(const layer_run *r, mn_rows out, const mn_projection *down, const mn_projection *up,
                              mn_gate gate, mn_rows x, mn_error *err) {
    mn_rows inner, shaped;
    MN_TRY(take(r, x, 1, down->w.ne[1], &inner, err));
    MN_TRY(project(r, inner, down, x, err));
    shaped = inner;
    if (gate != MN_GATE_PLAIN) {
        MN_TRY(take_over(r, inner, &shaped, err));
        MN_TRY(r->b->gate(r->s, gate, shaped, (mn_rows){0}, inner, err));
    }
    return project(r, out, up, shaped, err);
}

static mn_rows mixture(mn_rows all, int index) {
    all.offset += index * all.head_stride;
    all.n_heads = 1;
    return all;
}

/* RWKV-7: six mixtures with the token before, what is projected of each, the state, and a gate. */
static mn_status mix_rwkv7(const layer_run *r, mn_rows y, mn_rows *out, mn_error *err) {
    const mn_mixer_config *m = &r->config->mixer;
    const mn_mixer_weights *w = &r->w->mixer;
    mn_rows x, gate, opened;
    mn_mixer_inputs in = {.v_first = r->v_first};
    MN_TRY(take(r, y, MN_RWKV7_MIXES, y.n, &x, err));
    MN_TRY(r->b->mix_shifted(r->s, r->layer, false, x, y, err));
    mn_rows *const rows[] = {&in.q, &in.decay, &in.k, &in.beta, &gate};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) MN_TRY(take(r, y, m->n_heads, m->k_dim, rows[i], err));
    in.v = r->v_first;
    if (r->layer > 0) MN_TRY(take(r, y, m->n_heads, m->k_dim, &in.v, err));
    MN_TRY(project(r, in.q, &w->in[0], mixture(x, 0), err));
    MN_TRY(project_thin(r, in.decay, &w->decay, &w->decay_out, MN_GATE_TANH, mixture(x, 1), err));
    MN_TRY(project(r, in.k, &w->in[1], mixture(x, 2), err));
    MN_TRY(project(r, in.v, &w->in[2], mixture(x, 3), err));
    MN_TRY(project_thin(r, in.beta, &w->beta, &w->beta_out, MN_GATE_PLAIN, mixture(x, 4), err));
    MN_TRY(project_thin(r, gate, &w->gate, &w->gate_out, MN_GATE_SIGMOID, mixture(x, 5), err));
    if (r->layer > 0) {
        MN_TRY(take(r, y, m->n_heads, m->k_dim, &in.v_mix, err));
        MN_TRY(project_thin(r, in.v_mix, &w->v_mix, &w->v_mix_out, MN_GATE_PLAIN, mixture(x, 3), err));
    }
    MN_TRY(take(r, y, m->n_heads, m->v_dim, out, err));
    MN_TRY(r->b->mix_state(r->s, r->layer, *out, &in, err));
    MN_TRY(take_over(r, *out, &opened, err));
    MN_TRY(r->b->gate(r->s, MN_GATE_PLAIN, opened, *out, gate, err));
    *out = opened;
    return MN_OK;
}

mn_status mn_forward_mixer(const layer_run *r, mn_rows y, mn_rows *out, mn_error *err) {
    const mn_mixer_config *m = &r->config->mixer;
    mn_rows channels;
    mn_mixer_inputs in = {0};
    if (m->kind == MN_MIXER_RWKV7) return mix_rwkv7(r, y, out, err);
    if (m->kind == MN_MIXER_SHORT_CONV) return mix_short_conv(r, y, out, err);
    MN_TRY(make_channels(r, y, &channels, err));
    MN_TRY((m->kind == MN_MIXER_MAMBA2 ? make_mamba2_inputs : make_delta_inputs)(r, y, channels, &in, err));
    MN_TRY(take(r, y, m->n_heads, m->v_dim, out, err));
    MN_TRY(r->b->mix_state(r->s, r->layer, *out, &in, err));
    return finish_output(r, y, out, err);
}
