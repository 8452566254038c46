/* The tape: small MLPs for easy tokens, which learn from all rows of both MLPs (mlp/easy_backward.h). */
#include "kernels/kernels.h"
#include "kernels/matmul_backward.h"
#include "kernels/rows_backward.h"
#include "train/tape_ops.h"

/* All of x goes both ways. */
mn_status mn_tape_split(const mn_step *s, int layer, mn_split *out, mn_rows x, const int64_t *rows, mn_error *err) {
    mn_tape *t = mn_tape_of(s);
    const mn_layer *w = &s->model->weights.layers[layer];
    *out = (mn_split){.parts = {x, x}, .of_step = rows, .n_rows = x.n_rows};
    MN_TRY(mn_tape_take(s, x.n_rows, 1, 1, &out->scores, err));
    mn_easy_scores(t->compute, mn_cpu_data(out->scores), mn_cpu_data(x), x.row_stride, x.n_rows, w->easy, *w->easy_b,
                   x.n);
    return MN_OK;
}

mn_status mn_tape_join(const mn_step *s, int layer, mn_split *split, int part, mn_rows out, mn_rows y, mn_error *err) {
    mn_tape *t = mn_tape_of(s);
    if (part == MN_BIG) {
        split->held = y;
        return MN_OK;
    }
    t->easy.threshold = s->model->config.easy_threshold;
    mn_easy_mix(t->compute, &t->easy, mn_cpu_data(out), mn_cpu_data(split->held), mn_cpu_data(y),
                mn_cpu_data(split->scores), out.n_rows, out.n);
    return mn_tape_record(t,
                          (mn_tape_entry){.kind = MN_TAPE_EASY,
                                          .layer = layer,
                                          .out = {out},
                                          .in = {split->held, y, split->scores, split->parts[MN_BIG]}},
                          err);
}

/* dx += d_z w */
typedef struct input_job {
    const mn_vec_kernels *vec;
    float *dx;
    const float *d_z, *w;
    int64_t stride, n;
} input_job;

static void input_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const input_job *j = arg;
    for (int64_t r = begin; r < end; r++) j->vec->axpy(j->dx + r * j->stride, j->w, j->d_z[r], j->n);
}

mn_status mn_tape_easy_backward(mn_tape *t, const mn_step *s, const mn_tape_entry *e, mn_error *err) {
    const mn_compute *c = t->compute;
    const mn_layer *w = &s->model->weights.layers[e->layer];
    mn_rows y = e->out[0], big = e->in[0], small = e->in[1], z = e->in[2], x = e->in[3];
    float *d_z = mn_tape_floats(t, y.n_rows);
    if (!d_z) return mn_no_scratch(err);
    mn_easy_grad g = {.dy = mn_tape_gradient(t, y),
                      .big = mn_cpu_data(big),
                      .small = mn_cpu_data(small),
                      .z = mn_cpu_data(z),
                      .d_big = mn_tape_ready(t, big),
                      .d_small = mn_tape_ready(t, small),
                      .d_z = d_z};
    mn_easy_mix_backward(c, &t->easy, (double)t->target.scale * t->target_weights, &g, y.n_rows, y.n);
    input_job job = {&c->kernels->vec, mn_tape_ready(t, x), d_z, w->easy, x.row_stride, x.n};
    mn_pool_run(c->pool, y.n_rows, 16, input_rows, &job);
    float *d_w = mn_tape_weight_gradient(t, w->easy), *d_b = mn_tape_weight_gradient(t, w->easy_b);
    if (d_w) MN_TRY(mn_matmul_dw(c, d_w, d_z, 1, 1, mn_cpu_data(x), x.row_stride, x.n, y.n_rows, err));
    if (d_b) MN_TRY(mn_bias_backward(c, d_b, d_z, 1, y.n_rows, err));
    return MN_OK;
}
