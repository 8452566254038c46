/* Hyper-connections on the tape. */
#include "kernels/row_sums.h"
#include "model/backend_cpu_ops.h"
#include "model/hyper_connections_backward.h"
#include "train/tape_ops.h"

enum { N_SCALES = 3, MAX_MIXES = (2 + MN_MAX_STREAMS) * MN_MAX_STREAMS };

mn_status mn_tape_merge_streams(const mn_step *s, const mn_hyper_weights *w, mn_rows out, mn_rows gates, mn_rows x,
                                mn_rows mixes, mn_error *err) {
    mn_step in = mn_tape_inner(s);
    MN_TRY(in.backend->merge_streams(&in, w, out, gates, x, mixes, err));
    return mn_tape_record(
        mn_tape_of(s),
        (mn_tape_entry){.kind = MN_TAPE_MERGE_STREAMS, .hyper = w, .out = {out, gates}, .in = {x, mixes}}, err);
}

typedef struct streams_job {
    const mn_tape *t;
    const mn_hyper_config *c;
    const mn_hyper_weights *w;
    mn_rows out, gates, x, y; /* y: the mixes, or what a block gave */
    float *d_out, *d_gates, *d_x, *d_y;
} streams_job;

/* sums: of the scales, then of the base. */
static void merge_back_rows(const void *arg, int64_t begin, int64_t end, float *sums) {
    const streams_job *j = arg;
    const mn_hyper_weights *w = j->w;
    for (int64_t r = begin; r < end; r++) {
        float pre[MN_MAX_STREAMS], d_pre[MN_MAX_STREAMS] = {0};
        const float *m = mn_cpu_row(j->y, r);
        mn_hyper_grad g = {j->d_y + r * j->y.row_stride, sums, sums + N_SCALES};
        mn_hyper_pre(j->c, w->scale, w->base, m, pre);
        mn_hyper_merge_backward(j->c, pre, mn_cpu_row(j->x, r), j->x.head_stride, j->x.n,
                                j->d_out + r * j->out.row_stride, d_pre, j->d_x + r * j->x.row_stride);
        mn_hyper_pre_backward(j->c, w->scale, w->base, m, d_pre, g);
        if (j->d_gates) mn_hyper_gates_backward(j->c, w->scale, w->base, m, j->d_gates + r * j->gates.row_stride, g);
    }
}

mn_status mn_tape_merge_streams_backward(mn_tape *t, const mn_step *s, const mn_tape_entry *e, mn_error *err) {
    mn_rows x = e->in[0], mixes = e->in[1];
    float sums[N_SCALES + MAX_MIXES] = {0};
    streams_job job = {t, &s->model->config.hyper, e->hyper, e->out[0], e->out[1], x, mixes, NULL, NULL, NULL, NULL};
    job.d_out = mn_tape_ready(t, e->out[0]);
    if (e->out[1].buffer) job.d_gates = mn_tape_ready(t, e->out[1]);
    job.d_x = mn_tape_ready(t, x);
    job.d_y = mn_tape_ready(t, mixes);
    MN_TRY(mn_row_sums(t->compute, sums, N_SCALES + mixes.n, x.n_rows, merge_back_rows, &job, err));
    float *d_scale = mn_tape_weight_gradient(t, e->hyper->scale), *d_base = mn_tape_weight_gradient(t, e->hyper->base);
    for (int i = 0; d_scale && i < (job.d_gates ? N_SCALES : 1); i++) d_scale[i] += sums[i];
    for (int64_t i = 0; d_base && i < mixes.n; i++) d_base[i] += sums[N_SCALES + i];
    return MN_OK;
}

mn_status mn_tape_spread_streams(const mn_step *s, mn_rows out, mn_rows x, mn_rows y, mn_rows gates, mn_error *err) {
    mn_step in = mn_tape_inner(s);
    MN_TRY(in.backend->spread_streams(&in, out, x, y, gates, err));
    return mn_tape_record(mn_tape_of(s),
                          (mn_tape_entry){.kind = MN_TAPE_SPREAD_STREAMS, .out = {out}, .in = {x, y, gates}}, err);
}

static void spread_back_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const streams_job *j = arg;
    for (int64_t r = begin; r < end; r++)
        mn_hyper_spread_backward(j->c, mn_cpu_row(j->gates, r), mn_cpu_row(j->x, r), mn_cpu_row(j->y, r),
                                 j->x.head_stride, j->x.n, j->d_out + r * j->out.row_stride,
                                 j->d_gates + r * j->gates.row_stride, j->d_x + r * j->x.row_stride,
                                 j->d_y + r * j->y.row_stride);
}

mn_status mn_tape_spread_streams_backward(mn_tape *t, const mn_step *s, const mn_tape_entry *e, mn_error *err) {
    (void)err;
    mn_rows x = e->in[0];
    streams_job job = {t,
                       &s->model->config.hyper,
                       NULL,
                       e->out[0],
                       e->in[2],
                       x,
                       e->in[1],
                       mn_tape_gradient(t, e->out[0]),
                       mn_tape_ready(t, e->in[2]),
                       mn_tape_ready(t, x),
                       mn_tape_ready(t, e->in[1])};
    mn_pool_run(t->compute->pool, x.n_rows, mn_cpu_grain(x.n_heads * x.n), spread_back_rows, &job);
    return MN_OK;
}
