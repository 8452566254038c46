/* Mixtures of experts on the tape. */
#include "kernels/kernels.h"
#include "kernels/matmul_backward.h"
#include "kernels/rows_backward.h"
#include "mlp/hash_layer.h"
#include "mlp/moe_backward.h"
#include "mlp/router_backward.h"
#include "model/backend_cpu_ops.h"
#include "train/tape_ops.h"

mn_status mn_tape_experts(const mn_step *s, int layer, mn_rows out, mn_rows x, mn_rows routed, const int64_t *rows,
                          mn_error *err) {
    mn_step in = mn_tape_inner(s);
    MN_TRY(in.backend->experts(&in, layer, out, x, routed, rows, err));
    return mn_tape_record(
        mn_tape_of(s),
        (mn_tape_entry){.kind = MN_TAPE_EXPERTS, .layer = layer, .out = {out}, .in = {x, routed}, .rows = rows}, err);
}

/* What the router said of each row, made again as the forward made it, and its gradient. */
typedef struct routing {
    mn_router router;
    float *logits, *d_logits;   /* [n_rows, n_experts] */
    float *weights, *d_weights; /* [n_rows, n_used] */
    int32_t *ids;
} routing;

typedef struct bias_job {
    const mn_vec_kernels *vec;
    float *x;
    const float *bias;
    int64_t n;
} bias_job;

static void bias_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const bias_job *j = arg;
    for (int64_t r = begin; r < end; r++) j->vec->add(j->x + r * j->n, j->x + r * j->n, j->bias, j->n);
}

static mn_status route_again(const mn_tape *t, const mn_step *s, const mn_tape_entry *e, routing *out, mn_error *err) {
    const mn_compute *c = t->compute;
    const mn_layer *w = &s->model->weights.layers[e->layer];
    mn_rows routed = e->in[1];
    *out = (routing){.router = s->model->config.moe.router};
    int64_t n = routed.n_rows, n_experts = out->router.n_experts, n_used = out->router.n_used;
    out->logits = mn_tape_floats(t, n * n_experts);
    out->d_logits = mn_tape_floats(t, n * n_experts);
    out->weights = mn_tape_floats(t, n * n_used);
    out->d_weights = mn_tape_floats(t, n * n_used);
    out->ids = mn_arena_alloc(c->scratch, (size_t)(n * n_used), sizeof *out->ids);
    if (!out->logits || !out->d_logits || !out->weights || !out->d_weights || !out->ids) return mn_no_scratch(err);
    out->router.selection_bias = w->router_bias;
    MN_TRY(mn_matmul(c, out->logits, n_experts, mn_cpu_data(routed), routed.row_stride, n, &w->router.w, err));
    bias_job job = {&c->kernels->vec, out->logits, w->router.b, n_experts};
    if (job.bias) mn_pool_run(c->pool, n, mn_cpu_grain(n_experts), bias_rows, &job);
    if (!w->experts_of_token) return mn_route(c, &out->router, out->ids, out->weights, out->logits, n, err);
    if (!mn_pool_is_dry(c->pool)) memcpy(out->d_logits, out->logits, (size_t)(n * n_experts) * sizeof(float));
    mn_route_by_hash(c, &out->router, w->experts_of_token, s->tokens, e->rows, out->ids, out->weights, out->d_logits,
                     n); /* which may overwrite what it is given */
    return MN_OK;
}

/* From the gradient of the weights to the router and what it looked at. */
static mn_status back_router(mn_tape *t, const mn_layer *w, const routing *r, mn_rows routed, mn_error *err) {
    const mn_compute *c = t->compute;
    int64_t n = routed.n_rows, n_experts = r->router.n_experts;
    if (!mn_pool_is_dry(c->pool)) memset(r->d_logits, 0, (size_t)(n * n_experts) * sizeof(float));
    MN_TRY(mn_route_backward(c, &r->router, r->d_logits, r->d_weights, r->logits, r->ids, n, err));
    if (t->balance > 0 && !w->experts_of_token) /* no gradient moves a table */
        MN_TRY(mn_balance_loss(c, &r->router, t->balance, t->target.scale * t->target_weights, r->d_logits,
                               &t->balance_loss, r->logits, r->ids, n, err));
    MN_TRY(mn_matmul_dx(c, mn_tape_ready(t, routed), routed.row_stride, true, r->d_logits, n_experts, n, &w->router.w,
                        err));
    float *dw = mn_tape_weight_gradient(t, w->router.w.data), *db = mn_tape_weight_gradient(t, w->router.b);
    if (db) MN_TRY(mn_bias_backward(c, db, r->d_logits, n_experts, n, err));
    if (!dw) return MN_OK;
    return mn_matmul_dw(c, dw, r->d_logits, n_experts, n_experts, mn_cpu_data(routed), routed.row_stride, routed.n, n,
                        err);
}

mn_status mn_tape_experts_backward(mn_tape *t, const mn_step *s, const mn_tape_entry *e, mn_error *err) {
    const mn_layer *w = &s->model->weights.layers[e->layer];
    mn_experts stacks = mn_cpu_experts(s->model, e->layer);
    mn_rows x = e->in[0], routed = e->in[1];
    routing r;
    MN_TRY(route_again(t, s, e, &r, err));
    mn_moe_grad g = {.d_out = mn_tape_gradient(t, e->out[0]),
                     .d_x = mn_tape_ready(t, x),
                     .d_weights = r.d_weights,
                     .d_gate = mn_tape_weight_gradient(t, w->expert_gate.data),
                     .d_up = mn_tape_weight_gradient(t, w->expert_up.data),
                     .d_down = mn_tape_weight_gradient(t, w->expert_down.data),
                     .d_gate_b = mn_tape_weight_gradient(t, w->expert_gate_b),
                     .d_up_b = mn_tape_weight_gradient(t, w->expert_up_b),
                     .d_down_b = mn_tape_weight_gradient(t, w->expert_down_b),
                     .d_scale = mn_tape_weight_gradient(t, w->expert_scale)};
    int n_used = r.router.n_used, n_experts = r.router.n_experts;
    MN_TRY(mn_moe_backward(t->compute, &stacks, &g, mn_cpu_data(x), r.ids, r.weights, n_used, x.n_rows, err));
    if (t->visits) mn_count_visits(t->visits + (int64_t)e->layer * n_experts, r.ids, x.n_rows * n_used);
    return back_router(t, w, &r, routed, err);
}
