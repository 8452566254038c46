/* Hyper-connections on the CPU. */
#include "model/backend_cpu_ops.h"

typedef struct streams_job {
    const mn_hyper_config *c;
    const mn_hyper_weights *w;
    mn_rows out, gates, x, y; /* y: the mixes, or what a block gave */
} streams_job;

static void merge_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const streams_job *j = arg;
    for (int64_t r = begin; r < end; r++) {
        float pre[MN_MAX_STREAMS];
        const float *mixes = mn_cpu_row(j->y, r);
        mn_hyper_pre(j->c, j->w->scale, j->w->base, mixes, pre);
        mn_hyper_merge(j->c, pre, mn_cpu_row(j->x, r), j->x.head_stride, j->x.n, mn_cpu_row(j->out, r));
        if (j->gates.buffer) mn_hyper_gates(j->c, j->w->scale, j->w->base, mixes, mn_cpu_row(j->gates, r));
    }
}

mn_status mn_cpu_merge_streams(const mn_step *s, const mn_hyper_weights *w, mn_rows out, mn_rows gates, mn_rows x,
                               mn_rows mixes, mn_error *err) {
    (void)err;
    streams_job j = {&s->model->config.hyper, w, out, gates, x, mixes};
    mn_pool_run(mn_cpu_compute(s)->pool, x.n_rows, mn_cpu_grain(x.n_heads * x.n), merge_rows, &j);
    return MN_OK;
}

static void spread_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const streams_job *j = arg;
    for (int64_t r = begin; r < end; r++)
        mn_hyper_spread(j->c, mn_cpu_row(j->gates, r), mn_cpu_row(j->x, r), mn_cpu_row(j->y, r), j->x.head_stride,
                        j->x.n, mn_cpu_row(j->out, r));
}

mn_status mn_cpu_spread_streams(const mn_step *s, mn_rows out, mn_rows x, mn_rows y, mn_rows gates, mn_error *err) {
    (void)err;
    streams_job j = {.c = &s->model->config.hyper, .out = out, .gates = gates, .x = x, .y = y};
    mn_pool_run(mn_cpu_compute(s)->pool, x.n_rows, mn_cpu_grain(x.n_heads * x.n), spread_rows, &j);
    return MN_OK;
}
