#include "convert/mlp_watch.h"

#include "base/checked.h"
#include "model/backend_cpu.h"
#include "model/forward.h"

#include <string.h>

/* A backend that tells what the products of MLPs are given and make. */
typedef struct watching {
    mn_backend backend; /* first: a step knows it by this address */
    mn_status (*project)(const mn_step *s, const mn_rows *outs, const mn_projection *const *ws, int n_ws, mn_rows x,
                         mn_error *err);
    mn_mlp_rows rows;
    mn_mlp_rows_fn *visit;
    void *arg;
} watching;

static mn_status watch_project(const mn_step *s, const mn_rows *outs, const mn_projection *const *ws, int n_ws,
                               mn_rows x, mn_error *err) {
    watching *w = (watching *)(uintptr_t)s->backend;
    MN_TRY(w->project(s, outs, ws, n_ws, x, err));
    const mn_layer *l = &s->model->weights.layers[w->rows.layer];
    if (ws[0] == &l->up) w->rows.x = mn_cpu_data(x);
    if (ws[0] != &l->down) return MN_OK;
    w->rows.hidden = mn_cpu_data(x);
    w->rows.y = mn_cpu_data(outs[0]);
    w->rows.n = x.n_rows;
    return w->visit(w->arg, &w->rows, err);
}

static mn_status run_window(watching *w, const mn_model *model, mn_sequence *t, const int32_t *tokens, int64_t n,
                            mn_error *err) {
    mn_slice slice = {t, 0, n};
    mn_batch batch = {.tokens = tokens, .n_rows = n, .slices = &slice, .n_slices = 1, .n_wanted = n};
    mn_forward_pass pass = mn_forward_pass_of(&w->backend, model, &batch);
    mn_arena_mark mark = w->backend.mark(&pass.step);
    t->n_tokens = 0;
    if (t->state) memset(t->state, 0, t->state_bytes);
    mn_sequence_drop_after(t, 0);
    mn_status status = mn_forward_begin(&pass, err);
    for (w->rows.layer = 0; status == MN_OK && w->rows.layer < model->config.n_layers; w->rows.layer++)
        status = mn_forward_layer(&pass, w->rows.layer, err);
    w->backend.rewind(&pass.step, mark);
    return status;
}

mn_status mn_mlp_watch(const mn_compute *compute, const mn_model *model, const int32_t *tokens, int64_t n_tokens,
                       int64_t window, mn_mlp_rows_fn *visit, void *arg, mn_error *err) {
    const mn_config *c = &model->config;
    watching w = {.backend = mn_backend_cpu(compute), .visit = visit, .arg = arg};
    mn_sequence sequence;
    mn_sequence_params params = {&c->rope, mn_attn_of_model(c), window, MN_F32, MN_F32};
    w.project = w.backend.project;
    w.backend.project = watch_project;
    MN_TRY(mn_sequence_init(&sequence, c, &params, err));
    mn_status status = MN_OK;
    for (w.rows.first = 0; status == MN_OK && w.rows.first < n_tokens; w.rows.first += window)
        status = run_window(&w, model, &sequence, tokens + w.rows.first, MN_MIN(window, n_tokens - w.rows.first), err);
    mn_sequence_release(&sequence);
    return status;
}
