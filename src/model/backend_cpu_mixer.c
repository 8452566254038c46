/* Recurrent mixers of a step on the CPU: each slice advances the state of its own sequence. */
#include "kernels/kernels.h"
#include "model/backend_cpu_ops.h"

#include <string.h>

mn_causal_conv mn_cpu_mixer_conv(const mn_model *m, int layer) {
    const mn_mixer_config *c = &m->config.mixer;
    const mn_mixer_weights *w = &m->weights.layers[layer].mixer;
    return (mn_causal_conv){c->n_taps, c->n_channels, w->taps, w->taps_bias, c->n_heads > 0};
}

void mn_cpu_convolve_by(const mn_step *s, const mn_causal_conv *conv, int layer, mn_rows out, mn_rows x) {
    const mn_config *c = &s->model->config;
    for (const mn_slice *slice = s->slices; slice < s->slices + s->n_slices; slice++)
        mn_causal_conv_step(mn_cpu_compute(s), conv, mn_cpu_row(out, slice->first_row), out.row_stride,
                            mn_cpu_row(x, slice->first_row), x.row_stride,
                            mn_sequence_mixer_history(slice->sequence, c, layer), slice->n_rows);
}

mn_status mn_cpu_convolve_mixer(const mn_step *s, int layer, mn_rows out, mn_rows x, mn_error *err) {
    (void)err;
    mn_causal_conv conv = mn_cpu_mixer_conv(s->model, layer);
    mn_cpu_convolve_by(s, &conv, layer, out, x);
    return MN_OK;
}

mn_matrix_rows mn_cpu_mixer_rows(const mn_slice *slice, mn_rows out, const mn_mixer_inputs *in) {
    int64_t r = slice->first_row;
    return (mn_matrix_rows){.q = mn_cpu_row(in->q, r),
                            .k = mn_cpu_row(in->k, r),
                            .v = mn_cpu_row(in->v, r),
                            .q_stride = in->q.row_stride,
                            .k_stride = in->k.row_stride,
                            .v_stride = in->v.row_stride,
                            .out = mn_cpu_row(out, r),
                            .out_stride = out.row_stride,
                            .n_rows = slice->n_rows};
}

mn_gated_delta mn_cpu_gated_delta(const mn_model *model, int layer) {
    const mn_mixer_config *m = &model->config.mixer;
    const mn_mixer_weights *w = &model->weights.layers[layer].mixer;
    return (mn_gated_delta){
        {m->n_heads, m->n_k_heads, m->k_dim, m->v_dim, m->tiled, m->decays_channels, true}, w->a, w->dt_bias};
}

mn_delta_gates mn_cpu_delta_gates(const mn_slice *slice, const mn_mixer_inputs *in) {
    return (mn_delta_gates){mn_cpu_row(in->decay, slice->first_row),
                            mn_cpu_row(in->beta, slice->first_row),
                            in->decay.row_stride,
                            in->beta.row_stride,
                            in->beta.n,
                            in->beta.head_stride};
}

static mn_status step_delta(const mn_step *s, const mn_slice *slice, int layer, mn_rows out, const mn_mixer_inputs *in,
                            mn_error *err) {
    mn_gated_delta delta = mn_cpu_gated_delta(s->model, layer);
    mn_matrix_rows rows = mn_cpu_mixer_rows(slice, out, in);
    mn_delta_gates gates = mn_cpu_delta_gates(slice, in);
    return mn_gated_delta_step(mn_cpu_compute(s), &delta,
                               mn_sequence_mixer_state(slice->sequence, &s->model->config, layer), &rows, &gates, err);
}

mn_mamba2 mn_cpu_mamba2(const mn_model *model, int layer) {
    const mn_mixer_config *m = &model->config.mixer;
    const mn_mixer_weights *w = &model->weights.layers[layer].mixer;
    return (mn_mamba2){{m->n_heads, m->n_k_heads, m->k_dim, m->v_dim, false, false, false}, w->a, w->dt_bias, w->d};
}

static mn_status step_mamba2(const mn_step *s, const mn_slice *slice, int layer, mn_rows out, const mn_mixer_inputs *in,
                             mn_error *err) {
    mn_mamba2 mamba2 = mn_cpu_mamba2(s->model, layer);
    mn_matrix_rows rows = mn_cpu_mixer_rows(slice, out, in);
    return mn_mamba2_step(mn_cpu_compute(s), &mamba2,
                          mn_sequence_mixer_state(slice->sequence, &s->model->config, layer), &rows,
                          mn_cpu_row(in->decay, slice->first_row), in->decay.row_stride, err);
}

typedef struct shift {
    const mn_kernels *kernels;
    const float *mixes, *history;
    mn_rows out, x; /* of one slice */
} shift;

static void shift_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const shift *j = arg;
    for (int64_t r = begin; r < end; r++) {
        const float *x = mn_cpu_row(j->x, r), *before = r > 0 ? mn_cpu_row(j->x, r - 1) : j->history;
        for (int mix = 0; mix < j->out.n_heads; mix++)
            j->kernels->recurrent.mix(mn_cpu_row(j->out, r) + mix * j->out.head_stride, x, before,
                                      j->mixes + mix * j->x.n, j->x.n);
    }
}

static mn_rows rows_of_slice(mn_rows x, const mn_slice *slice) {
    x.offset += slice->first_row * x.row_stride;
    x.n_rows = slice->n_rows;
    return x;
}

mn_status mn_cpu_mix_shifted(const mn_step *s, int layer, bool before_mlp, mn_rows out, mn_rows x, mn_error *err) {
    (void)err;
    const mn_compute *c = mn_cpu_compute(s);
    for (const mn_slice *slice = s->slices; slice < s->slices + s->n_slices; slice++) {
        float *history = mn_sequence_mixer_history(slice->sequence, &s->model->config, layer) + (before_mlp ? x.n : 0);
        shift j = {c->kernels, s->model->weights.layers[layer].mixer.mixes[before_mlp], history,
                   rows_of_slice(out, slice), rows_of_slice(x, slice)};
        mn_pool_run(c->pool, slice->n_rows, mn_cpu_grain(out.n_heads * x.n), shift_rows, &j);
        if (!mn_pool_is_dry(c->pool))
            memcpy(history, mn_cpu_row(j.x, slice->n_rows - 1), (size_t)x.n * sizeof *history);
    }
    return MN_OK;
}

mn_rwkv7 mn_cpu_rwkv7(const mn_model *model, int layer) {
    const mn_mixer_config *m = &model->config.mixer;
    const mn_mixer_weights *w = &model->weights.layers[layer].mixer;
    return (mn_rwkv7){m->n_heads, m->k_dim, w->k_k, w->k_a, w->r_k, w->out_norm.w, w->out_norm.b, w->out_norm.eps};
}

mn_rwkv7_rows mn_cpu_rwkv7_rows(const mn_slice *slice, mn_rows out, const mn_mixer_inputs *in) {
    int64_t r = slice->first_row;
    bool mixes = in->v_mix.buffer != NULL;
    return (mn_rwkv7_rows){.r = mn_cpu_row(in->q, r),
                           .decay = mn_cpu_row(in->decay, r),
                           .k = mn_cpu_row(in->k, r),
                           .v = mn_cpu_row(in->v, r),
                           .a = mn_cpu_row(in->beta, r),
                           .r_stride = in->q.row_stride,
                           .decay_stride = in->decay.row_stride,
                           .k_stride = in->k.row_stride,
                           .v_stride = in->v.row_stride,
                           .a_stride = in->beta.row_stride,
                           .v_mix = mixes ? mn_cpu_row(in->v_mix, r) : NULL,
                           .v_first = mixes ? mn_cpu_row(in->v_first, r) : NULL,
                           .v_mix_stride = in->v_mix.row_stride,
                           .v_first_stride = in->v_first.row_stride,
                           .out = mn_cpu_row(out, r),
                           .out_stride = out.row_stride,
                           .n_rows = slice->n_rows};
}

static mn_status step_rwkv7(const mn_step *s, const mn_slice *slice, int layer, mn_rows out, const mn_mixer_inputs *in,
                            mn_error *err) {
    mn_rwkv7 rwkv7 = mn_cpu_rwkv7(s->model, layer);
    mn_rwkv7_rows rows = mn_cpu_rwkv7_rows(slice, out, in);
    return mn_rwkv7_step(mn_cpu_compute(s), &rwkv7, mn_sequence_mixer_state(slice->sequence, &s->model->config, layer),
                         &rows, err);
}

typedef mn_status step_fn(const mn_step *s, const mn_slice *slice, int layer, mn_rows out, const mn_mixer_inputs *in,
                          mn_error *err);

mn_status mn_cpu_mix_state(const mn_step *s, int layer, mn_rows out, const mn_mixer_inputs *in, mn_error *err) {
    mn_mixer_kind kind = s->model->config.mixer.kind;
    step_fn *step = kind == MN_MIXER_MAMBA2 ? step_mamba2 : kind == MN_MIXER_RWKV7 ? step_rwkv7 : step_delta;
    for (const mn_slice *slice = s->slices; slice < s->slices + s->n_slices; slice++)
        MN_TRY(step(s, slice, layer, out, in, err));
    return MN_OK;
}
