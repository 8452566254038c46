/* Tensors of recurrent mixers. */
#include "model/weights.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

float *mn_bind_floats(mn_binder *b, int64_t n) {
    float *floats = b->status == MN_OK ? mn_arena_zalloc(b->arena, (size_t)n, sizeof *floats) : NULL;
    if (!floats && b->status == MN_OK)
        b->status = mn_fail(b->err, MN_ERR_MEMORY, "no memory for %lld numbers of a layer.", (long long)n);
    return floats;
}

void mn_bind_taps(mn_binder *b, const mn_config *c, const char *name, int64_t first, int64_t n_channels, mn_layer *l) {
    int n_taps = c->mixer.n_taps;
    int64_t all = c->mixer.n_channels;
    char full[64];
    snprintf(full, sizeof full, "%s.weight", name);
    const float *w = mn_bind_values(b, full, n_taps, n_channels, true);
    float *taps = l->mixer.taps ? (float *)l->mixer.taps : mn_bind_floats(b, n_taps * all);
    if (!w || !taps) return;
    l->mixer.taps = taps;
    l->mixer.taps_parts[l->mixer.n_taps_parts++] = (mn_taps_part){w, first, n_channels};
    mn_mixer_copy_taps(c, &l->mixer, taps);
}

void mn_mixer_copy_taps(const mn_config *c, const mn_mixer_weights *w, float *taps) {
    int n_taps = c->mixer.n_taps;
    int64_t all = c->mixer.n_channels;
    for (const mn_taps_part *p = w->taps_parts; p < w->taps_parts + w->n_taps_parts; p++)
        for (int64_t channel = 0; channel < p->n_channels; channel++)
            for (int tap = 0; tap < n_taps; tap++)
                taps[tap * all + p->first + channel] = p->w[channel * n_taps + n_taps - 1 - tap];
}

/* x / sqrt(sum x^2 + eps) = x / (sqrt(n) sqrt(mean x^2 + eps / n)) */
void mn_bind_unit_norm(mn_binder *b, const mn_config *c, int64_t n, float length, mn_norm *out) {
    float *w = mn_bind_floats(b, n);
    if (!w) return;
    for (int64_t i = 0; i < n; i++) w[i] = length / sqrtf((float)n);
    *out = (mn_norm){.w = w, .eps = c->norm_eps / (float)n};
}

void mn_bind_picked_rows(mn_binder *b, const mn_projection *whole, int64_t first, int64_t n, int64_t period,
                         mn_projection *out) {
    if (b->status != MN_OK || !whole->w.data) return;
    size_t row_bytes = mn_tensor_row_bytes(&whole->w);
    int64_t n_groups = whole->w.ne[1] / period;
    char *copy = mn_arena_alloc(b->arena, (size_t)(n_groups * n), row_bytes);
    if (!copy) {
        b->status = mn_fail(b->err, MN_ERR_MEMORY, "no memory for a part of tensor %s.", whole->w.name);
        return;
    }
    for (int64_t g = 0; g < n_groups; g++)
        memcpy(copy + (size_t)(g * n) * row_bytes,
               (const char *)whole->w.data + (size_t)(g * period + first) * row_bytes, (size_t)n * row_bytes);
    *out = (mn_projection){.w = whole->w};
    out->w.ne[1] = n_groups * n;
    out->w.bytes = (size_t)(n_groups * n) * row_bytes;
    out->w.data = copy;
}

void mn_bind_mamba2(mn_binder *b, const mn_config *c, mn_layer *l) {
    const mn_mixer_config *m = &c->mixer;
    mn_mixer_weights *w = &l->mixer;
    int64_t inner = (int64_t)m->n_heads * m->v_dim;
    mn_projection in;
    mn_bind_projection(b, "ssm_in", c->n_embd, inner + m->n_channels + m->n_heads, &in);
    w->gate = mn_projection_rows(&in, 0, inner);
    w->in[0] = mn_projection_rows(&in, inner, m->n_channels);
    w->decay = mn_projection_rows(&in, inner + m->n_channels, m->n_heads);
    mn_bind_taps(b, c, "ssm_conv1d", 0, m->n_channels, l);
    w->taps_bias = mn_bind_values(b, "ssm_conv1d.bias", 1, m->n_channels, false);
    w->dt_bias = mn_bind_values(b, "ssm_dt.bias", 1, m->n_heads, true);
    w->a = mn_bind_values(b, "ssm_a", 1, m->n_heads, true);
    w->d = mn_bind_values(b, "ssm_d", 1, m->n_heads, true);
    w->out_norm = (mn_norm){.w = mn_bind_values(b, "ssm_norm.weight", inner / m->n_k_heads, m->n_k_heads, false),
                            .by_head = true};
    mn_bind_projection(b, "ssm_out", inner, c->n_embd, &w->out);
}
