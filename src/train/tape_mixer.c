/* Recurrent mixers on the tape: convolutions, shares of the token before, states and gates. Every document's state
 * begins with zeros. */
#include "base/checked.h"
#include "kernels/kernels.h"
#include "kernels/row_sums.h"
#include "model/backend_cpu_ops.h"
#include "recurrent/causal_conv_backward.h"
#include "recurrent/gated_delta_backward.h"
#include "recurrent/mamba2_backward.h"
#include "recurrent/rwkv7_backward.h"
#include "train/tape_ops.h"

#include <math.h>

/* The layer's filters as training has moved them; the model's own copy is from when it was opened. */
static mn_status current_conv(const mn_tape *t, const mn_step *s, int layer, mn_causal_conv *out, mn_error *err) {
    *out = mn_cpu_mixer_conv(s->model, layer);
    float *taps = mn_tape_floats(t, out->n_taps * out->n_channels);
    if (!taps) return mn_no_scratch(err);
    mn_mixer_copy_taps(&s->model->config, &s->model->weights.layers[layer].mixer, taps);
    out->taps = taps;
    return MN_OK;
}

mn_status mn_tape_convolve_mixer(const mn_step *s, int layer, mn_rows out, mn_rows x, mn_error *err) {
    mn_tape *t = mn_tape_of(s);
    mn_step in = mn_tape_inner(s);
    mn_causal_conv conv;
    mn_arena_mark mark = mn_arena_get_mark(t->compute->scratch);
    MN_TRY(current_conv(t, s, layer, &conv, err));
    mn_cpu_convolve_by(&in, &conv, layer, out, x);
    mn_arena_rewind(t->compute->scratch, mark);
    return mn_tape_record(t, (mn_tape_entry){.kind = MN_TAPE_CONVOLVE_MIXER, .layer = layer, .out = {out}, .in = {x}},
                          err);
}

/* d_taps [n_taps, n_channels], to the gradients of the file's filters. */
static void give_taps(const mn_tape *t, const mn_step *s, int layer, const float *d_taps) {
    const mn_mixer_config *c = &s->model->config.mixer;
    const mn_mixer_weights *w = &s->model->weights.layers[layer].mixer;
    for (const mn_taps_part *p = w->taps_parts; p < w->taps_parts + w->n_taps_parts; p++) {
        float *to = mn_tape_weight_gradient(t, p->w);
        for (int64_t channel = 0; to && channel < p->n_channels; channel++)
            for (int tap = 0; tap < c->n_taps; tap++)
                to[channel * c->n_taps + c->n_taps - 1 - tap] += d_taps[tap * c->n_channels + p->first + channel];
    }
}

mn_status mn_tape_convolve_mixer_backward(mn_tape *t, const mn_step *s, const mn_tape_entry *e, mn_error *err) {
    mn_rows x = e->in[0], y = e->out[0];
    float *dx = mn_tape_ready(t, x);
    mn_causal_conv conv;
    MN_TRY(current_conv(t, s, e->layer, &conv, err));
    float *d_taps = mn_arena_zalloc(t->compute->scratch, (size_t)conv.n_taps * (size_t)conv.n_channels, sizeof *d_taps);
    if (!d_taps) return mn_no_scratch(err);
    for (const mn_slice *slice = s->slices; slice < s->slices + s->n_slices; slice++) {
        int64_t r = slice->first_row;
        mn_causal_conv_grad g = {mn_tape_gradient(t, y) + r * y.row_stride,
                                 mn_cpu_row(x, r),
                                 y.row_stride,
                                 x.row_stride,
                                 slice->n_rows,
                                 dx + r * x.row_stride,
                                 d_taps,
                                 mn_tape_weight_gradient(t, conv.bias)};
        MN_TRY(mn_causal_conv_backward(t->compute, &conv, &g, err));
    }
    give_taps(t, s, e->layer, d_taps);
    return MN_OK;
}

mn_status mn_tape_mix_shifted(const mn_step *s, int layer, bool before_mlp, mn_rows out, mn_rows x, mn_error *err) {
    mn_step in = mn_tape_inner(s);
    MN_TRY(in.backend->mix_shifted(&in, layer, before_mlp, out, x, err));
    return mn_tape_record(
        mn_tape_of(s),
        (mn_tape_entry){.kind = MN_TAPE_MIX_SHIFTED, .layer = layer, .before_mlp = before_mlp, .out = {out}, .in = {x}},
        err);
}

/* out_t = x_t + (x_{t-1} - x_t) share, of a document; before its first row are zeros:
 * d_x_t = sum d_out_t (1 - share) + d_out_{t+1} share,  d_share = sum_t d_out_t (x_{t-1} - x_t) */
typedef struct shift_job {
    const float *shares, *x, *d_out;
    float *d_x;
    int64_t x_stride, out_stride, head_stride, n, n_rows;
    int n_mixes;
} shift_job;

static void shift_back_rows(const void *arg, int64_t begin, int64_t end, float *sums) {
    const shift_job *j = arg;
    for (int64_t row = begin; row < end; row++)
        for (int mix = 0; mix < j->n_mixes; mix++) {
            const float *x = j->x + row * j->x_stride, *share = j->shares + mix * j->n;
            const float *d = j->d_out + row * j->out_stride + mix * j->head_stride;
            const float *next = row + 1 < j->n_rows ? d + j->out_stride : NULL;
            float *d_x = j->d_x + row * j->x_stride, *sum = sums + mix * j->n;
            for (int64_t i = 0; i < j->n; i++) {
                d_x[i] += d[i] * (1 - share[i]) + (next ? next[i] * share[i] : 0);
                sum[i] += d[i] * ((row > 0 ? x[i - j->x_stride] : 0) - x[i]);
            }
        }
}

mn_status mn_tape_mix_shifted_backward(mn_tape *t, const mn_step *s, const mn_tape_entry *e, mn_error *err) {
    mn_rows x = e->in[0], y = e->out[0];
    const float *shares = s->model->weights.layers[e->layer].mixer.mixes[e->before_mlp];
    float *dx = mn_tape_ready(t, x), *d_shares = mn_tape_weight_gradient(t, shares);
    int64_t n = y.n_heads * x.n;
    if (!d_shares) d_shares = mn_arena_zalloc(t->compute->scratch, (size_t)n, sizeof *d_shares); /* frozen */
    if (!d_shares) return mn_no_scratch(err);
    for (const mn_slice *slice = s->slices; slice < s->slices + s->n_slices; slice++) {
        int64_t r = slice->first_row;
        shift_job job = {shares,
                         mn_cpu_row(x, r),
                         mn_tape_gradient(t, y) + r * y.row_stride,
                         dx + r * x.row_stride,
                         x.row_stride,
                         y.row_stride,
                         y.head_stride,
                         x.n,
                         slice->n_rows,
                         y.n_heads};
        MN_TRY(mn_row_sums(t->compute, d_shares, n, slice->n_rows, shift_back_rows, &job, err));
    }
    return MN_OK;
}

mn_status mn_tape_mix_state(const mn_step *s, int layer, mn_rows out, const mn_mixer_inputs *in, mn_error *err) {
    mn_step inner = mn_tape_inner(s);
    MN_TRY(inner.backend->mix_state(&inner, layer, out, in, err));
    return mn_tape_record(mn_tape_of(s),
                          (mn_tape_entry){.kind = MN_TAPE_MIX_STATE,
                                          .layer = layer,
                                          .out = {out},
                                          .in = {in->q, in->k, in->v, in->decay, in->beta, in->v_mix, in->v_first}},
                          err);
}

/* Of one slice; d: where the gradients of its operands' first row stand, or NULL. */
typedef struct state_call {
    const mn_compute *c;
    const mn_tape *t;
    const mn_model *model;
    const mn_slice *slice;
    int layer;
    const mn_mixer_inputs *in;
    const float *d_out;
    int64_t d_out_stride;
    float *d[7];
} state_call;

static mn_status delta_back(const state_call *x, mn_error *err) {
    mn_gated_delta layer = mn_cpu_gated_delta(x->model, x->layer);
    mn_matrix_rows rows = mn_cpu_mixer_rows(x->slice, x->in->v, x->in);
    mn_delta_gates gates = mn_cpu_delta_gates(x->slice, x->in);
    mn_delta_grad g = {x->d_out,
                       x->d_out_stride,
                       x->d[0],
                       x->d[1],
                       x->d[2],
                       x->d[3],
                       x->d[4],
                       mn_tape_weight_gradient(x->t, layer.a),
                       mn_tape_weight_gradient(x->t, layer.dt_bias)};
    return mn_gated_delta_backward(x->c, &layer, &rows, &gates, &g, MN_MATRIX_CHUNK, err);
}

static mn_status mamba2_back(const state_call *x, mn_error *err) {
    mn_mamba2 layer = mn_cpu_mamba2(x->model, x->layer);
    mn_matrix_rows rows = mn_cpu_mixer_rows(x->slice, x->in->v, x->in);
    mn_mamba2_grad g = {x->d_out,
                        x->d_out_stride,
                        x->d[0],
                        x->d[1],
                        x->d[2],
                        x->d[3],
                        mn_tape_weight_gradient(x->t, layer.a),
                        mn_tape_weight_gradient(x->t, layer.dt_bias),
                        mn_tape_weight_gradient(x->t, layer.d)};
    return mn_mamba2_backward(x->c, &layer, &rows, mn_cpu_row(x->in->decay, x->slice->first_row),
                              x->in->decay.row_stride, &g, MN_MATRIX_CHUNK, err);
}

static mn_status rwkv7_back(const state_call *x, mn_error *err) {
    mn_rwkv7 layer = mn_cpu_rwkv7(x->model, x->layer);
    mn_rwkv7_rows rows = mn_cpu_rwkv7_rows(x->slice, x->in->v, x->in);
    mn_rwkv7_grad g = {.d_out = x->d_out,
                       .d_out_stride = x->d_out_stride,
                       .d_r = x->d[0],
                       .d_k = x->d[1],
                       .d_v = x->d[2],
                       .d_decay = x->d[3],
                       .d_a = x->d[4],
                       .d_v_mix = x->d[5],
                       .d_v_first = x->d[6],
                       .d_k_k = mn_tape_weight_gradient(x->t, layer.k_k),
                       .d_k_a = mn_tape_weight_gradient(x->t, layer.k_a),
                       .d_r_k = mn_tape_weight_gradient(x->t, layer.r_k),
                       .d_norm_w = mn_tape_weight_gradient(x->t, layer.norm_w),
                       .d_norm_b = mn_tape_weight_gradient(x->t, layer.norm_b)};
    return mn_rwkv7_backward(x->c, &layer, &rows, &g, MN_RWKV7_CHUNK, err);
}

mn_status mn_tape_mix_state_backward(mn_tape *t, const mn_step *s, const mn_tape_entry *e, mn_error *err) {
    mn_mixer_inputs in = {e->in[0], e->in[1], e->in[2], e->in[3], e->in[4], e->in[5], e->in[6]};
    mn_mixer_kind kind = s->model->config.mixer.kind;
    mn_rows y = e->out[0];
    float *d[7];
    for (int i = 0; i < 7; i++) d[i] = e->in[i].buffer ? mn_tape_ready(t, e->in[i]) : NULL;
    for (const mn_slice *slice = s->slices; slice < s->slices + s->n_slices; slice++) {
        int64_t r = slice->first_row;
        state_call call = {.c = t->compute,
                           .t = t,
                           .model = s->model,
                           .slice = slice,
                           .layer = e->layer,
                           .in = &in,
                           .d_out = mn_tape_gradient(t, y) + r * y.row_stride,
                           .d_out_stride = y.row_stride};
        for (int i = 0; i < 7; i++) call.d[i] = d[i] ? d[i] + r * e->in[i].row_stride : NULL;
        MN_TRY((kind == MN_MIXER_MAMBA2 ? mamba2_back : kind == MN_MIXER_RWKV7 ? rwkv7_back : delta_back)(&call, err));
    }
    return MN_OK;
}

mn_status mn_tape_gate(const mn_step *s, mn_gate gate, mn_rows out, mn_rows x, mn_rows g, mn_error *err) {
    mn_step in = mn_tape_inner(s);
    MN_TRY(in.backend->gate(&in, gate, out, x, g, err));
    return mn_tape_record(mn_tape_of(s),
                          (mn_tape_entry){.kind = MN_TAPE_GATE, .gate = gate, .out = {out}, .in = {x, g}}, err);
}

enum { GATE_PIECE = 256 };

/* y = f(g) x: dx += dy f(g), dg += dy x f'(g) */
typedef struct gate_job {
    const mn_kernels *kernels;
    mn_gate gate;
    mn_rows x, g, y;
    const float *dy;
    float *dx, *dg;
} gate_job;

static void differentiate_gate(const gate_job *j, const float *g, int64_t n, float *value, float *slope) {
    float s[GATE_PIECE];
    if (j->gate == MN_GATE_TANH)
        for (int64_t i = 0; i < n; i++) s[i] = tanhf(g[i]);
    else if (j->gate != MN_GATE_PLAIN)
        j->kernels->recurrent.sigmoid_mul(s, g, NULL, n);
    switch (j->gate) {
    case MN_GATE_SILU:
        for (int64_t i = 0; i < n; i++) value[i] = g[i] * s[i], slope[i] = s[i] * (1 + g[i] * (1 - s[i]));
        break;
    case MN_GATE_SIGMOID:
        for (int64_t i = 0; i < n; i++) value[i] = s[i], slope[i] = s[i] * (1 - s[i]);
        break;
    case MN_GATE_TANH:
        for (int64_t i = 0; i < n; i++) value[i] = s[i], slope[i] = 1 - s[i] * s[i];
        break;
    case MN_GATE_PLAIN:
        for (int64_t i = 0; i < n; i++) value[i] = g[i], slope[i] = 1;
        break;
    }
}

static int64_t at(mn_rows x, int64_t row, int head) { return row * x.row_stride + head * x.head_stride; }

/* n values of a head from `first` on. */
static void gate_back_piece(const gate_job *j, int64_t row, int h, int64_t first, int64_t n) {
    float value[GATE_PIECE], slope[GATE_PIECE];
    const mn_vec_backward *vec = &j->kernels->vec_backward;
    const float *dy = j->dy + at(j->y, row, h) + first;
    int64_t at_g = at(j->g, row, h) + first, at_x = at(j->x, row, h) + first;
    differentiate_gate(j, mn_cpu_data(j->g) + at_g, n, value, slope);
    if (j->dx) vec->mul_add(j->dx + at_x, dy, value, n);
    if (j->x.buffer) j->kernels->vec.mul(slope, slope, mn_cpu_data(j->x) + at_x, n);
    vec->mul_add(j->dg + at_g, dy, slope, n);
}

static void gate_back_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const gate_job *j = arg;
    for (int64_t row = begin; row < end; row++)
        for (int h = 0; h < j->y.n_heads; h++)
            for (int64_t i = 0; i < j->y.n; i += GATE_PIECE)
                gate_back_piece(j, row, h, i, MN_MIN((int64_t)GATE_PIECE, j->y.n - i));
}

mn_status mn_tape_gate_backward(mn_tape *t, const mn_step *s, const mn_tape_entry *e, mn_error *err) {
    (void)s, (void)err;
    mn_rows x = e->in[0], g = e->in[1], y = e->out[0];
    float *dx = x.buffer ? mn_tape_ready(t, x) : NULL;
    gate_job job = {t->compute->kernels, e->gate, x, g, y, mn_tape_gradient(t, y), dx, mn_tape_ready(t, g)};
    mn_pool_run(t->compute->pool, y.n_rows, mn_cpu_grain(y.n_heads * y.n), gate_back_rows, &job);
    return MN_OK;
}
