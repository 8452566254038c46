/* Recurrent states of a step on the CPU: short convolutions, linear attention, Infini-attention. Each slice advances
 * the state of its own sequence. */
#include "base/checked.h"
#include "kernels/kernels.h"
#include "model/backend_cpu_ops.h"
#include "recurrent/linear.h"
#include "recurrent/short_conv.h"

#include <string.h>

/* Rows of a thread's share, more than any convolution looks back. */
enum { CONVOLVED_ROWS = 64 };

typedef struct convolution {
    float *out;
    const float *x, *history, *taps;
    int n_taps, n_channels;
} convolution;

/* The history of later rows is the rows before them. */
static void convolve_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const convolution *job = arg;
    int64_t at = begin * job->n_channels, n_held = (int64_t)(job->n_taps - 1) * job->n_channels;
    mn_short_conv(job->out + at, job->x + at, begin == 0 ? job->history : job->x + at - n_held, job->taps, job->n_taps,
                  job->n_channels, end - begin);
}

static void convolve(const mn_step *s, const mn_slice *slice, mn_rows out, mn_rows x, const float *taps,
                     float *history) {
    convolution job = {mn_cpu_row(out, slice->first_row), mn_cpu_row(x, slice->first_row), history, taps,
                       s->model->config.n_conv_taps,      (int)(x.n_heads * x.n)};
    mn_pool_run(mn_cpu_compute(s)->pool, slice->n_rows, MN_MAX(CONVOLVED_ROWS, job.n_taps), convolve_rows, &job);
    mn_short_conv_advance(history, job.x, job.n_taps, job.n_channels, slice->n_rows);
}

mn_status mn_cpu_convolve(const mn_step *s, int layer, mn_rows q_out, mn_rows k_out, mn_rows q, mn_rows k,
                          mn_error *err) {
    (void)err;
    const mn_layer *w = &s->model->weights.layers[layer];
    for (const mn_slice *slice = s->slices; slice < s->slices + s->n_slices; slice++) {
        convolve(s, slice, q_out, q, w->q_conv, mn_sequence_q_history(slice->sequence, layer));
        convolve(s, slice, k_out, k, w->k_conv, mn_sequence_k_history(slice->sequence, layer));
    }
    return MN_OK;
}

/* The rows of one slice, without gaps. */
typedef struct mixing {
    const mn_slice *slice;
    float *out;
    const float *softmax, *y, *q, *k, *v;
} mixing;

/* Write gates [n_rows, n_kv_heads]: the layer's own, or 1 for all. */
static mn_status make_write_gates(const mn_step *s, const mixing *m, int layer, float *gates, mn_error *err) {
    const mn_compute *c = mn_cpu_compute(s);
    const mn_layer *w = &s->model->weights.layers[layer];
    const mn_infini_spec *spec = &m->slice->sequence->attn.infini;
    mn_infini shape = mn_attn_infini_shape(&m->slice->sequence->attn, &s->model->config, layer);
    int64_t n_rows = m->slice->n_rows, n_embd = s->model->config.n_embd;
    if (!spec->model_writes || spec->shape.rule != MN_INFINI_DELTA_EXACT) {
        mn_infini_open_gates(c, &shape, gates, n_rows);
        return MN_OK;
    }
    MN_TRY(mn_matmul(c, gates, shape.n_kv_heads, m->y, n_embd, n_rows, &w->infini_write.w, err));
    mn_infini_write_gates(c, &shape, gates, w->infini_write.b, w->infini_write_k, m->k, spec->write_threshold, n_rows);
    return MN_OK;
}

/* Infini-attention: the memory is read and written, and mixed with what softmax attention gave. */
static mn_status mix_infini(const mn_step *s, const mixing *m, int layer, mn_error *err) {
    const mn_compute *c = mn_cpu_compute(s);
    const mn_sequence *t = m->slice->sequence;
    const mn_infini_spec *spec = &t->attn.infini;
    mn_infini shape = mn_attn_infini_shape(&t->attn, &s->model->config, layer);
    int64_t n_rows = m->slice->n_rows;
    float *recalled = mn_cpu_floats(s, n_rows, (int64_t)shape.n_heads * shape.v_dim);
    float *gates = mn_cpu_floats(s, n_rows, shape.n_kv_heads);
    if (!recalled || !gates) return mn_no_scratch(err);
    MN_TRY(make_write_gates(s, m, layer, gates, err));
    MN_TRY(mn_infini_step(c, &shape, mn_sequence_recurrent_state(t, &s->model->config, layer), recalled, m->q, m->k,
                          m->v, gates, n_rows, t->n_tokens, err));
    const float *mixing_gate = spec->model_mixes ? s->model->weights.layers[layer].infini_gate : NULL;
    mn_infini_mix(c, &shape, m->out, m->softmax, recalled, mixing_gate, spec->share, n_rows);
    return MN_OK;
}

static mn_status mix_slice(const mn_step *s, const mixing *m, int layer, mn_error *err) {
    const mn_sequence *t = m->slice->sequence;
    mn_linear shape = mn_attn_linear_shape(&s->model->config, layer);
    if (mn_attn_is_linear(&t->attn, layer)) {
        return mn_linear_step(mn_cpu_compute(s), &shape, mn_sequence_recurrent_state(t, &s->model->config, layer),
                              m->out, m->q, m->k, m->v, m->slice->n_rows, err);
    }
    if (t->attn.infini.shape.segment) return mix_infini(s, m, layer, err);
    size_t bytes = (size_t)m->slice->n_rows * (size_t)(shape.n_heads * shape.v_dim) * sizeof *m->out;
    if (m->out != m->softmax) memcpy(m->out, m->softmax, bytes);
    return MN_OK;
}

mn_status mn_cpu_mix_recurrent(const mn_step *s, int layer, mn_rows out, mn_rows softmax, mn_rows y, mn_rows q,
                               mn_rows k, mn_rows v, mn_error *err) {
    mn_arena *scratch = mn_cpu_compute(s)->scratch;
    for (const mn_slice *slice = s->slices; slice < s->slices + s->n_slices; slice++) {
        int64_t r = slice->first_row;
        mixing m = {slice,
                    mn_cpu_row(out, r),
                    mn_cpu_row(softmax, r),
                    mn_cpu_row(y, r),
                    mn_cpu_row(q, r),
                    mn_cpu_row(k, r),
                    mn_cpu_row(v, r)};
        mn_arena_mark mark = mn_arena_get_mark(scratch);
        MN_TRY(mix_slice(s, &m, layer, err));
        mn_arena_rewind(scratch, mark);
    }
    return MN_OK;
}
