#include "mlp/moe.h"

#include "base/checked.h"
#include "base/file.h"
#include "kernels/kernels.h"
#include "mlp/visits.h"

#include <string.h>

enum { ROWS_GRAIN = 4 }; /* rows that a thread takes at a time between the products */

/* The rows of one expert on their way through it. */
typedef struct passage {
    const mn_vec_kernels *vec;
    const mn_experts *experts;
    int64_t expert; /* under way */
    const mn_visit *visits;
    float *out;
    const float *x;
    float *in, *gate, *up, *down; /* [most, n_embd], [most, n_ff] twice, [most, n_embd] */
    int64_t n_embd, n_ff;
} passage;

static void gather(void *arg, int64_t begin, int64_t end, int thread_index) {
    const passage *p = arg;
    (void)thread_index;
    for (int64_t i = begin; i < end; i++) {
        const float *x = p->x + p->visits[i].row * p->n_embd;
        if (p->experts->weighs_input)
            p->vec->scale(p->in + i * p->n_embd, x, p->visits[i].weight, p->n_embd);
        else
            memcpy(p->in + i * p->n_embd, x, (size_t)p->n_embd * sizeof *x);
    }
}

/* x += the expert's bias */
static void add_bias(const passage *p, float *x, const float *bias, int64_t n) {
    if (bias) p->vec->add(x, x, bias + p->expert * n, n);
}

static void activate(void *arg, int64_t begin, int64_t end, int thread_index) {
    const passage *p = arg;
    (void)thread_index;
    for (int64_t i = begin; i < end; i++) {
        float *gate = p->gate + i * p->n_ff, *up = p->up + i * p->n_ff;
        bool gated = p->experts->gate->data != NULL;
        if (gated) add_bias(p, gate, p->experts->gate_b, p->n_ff);
        add_bias(p, up, p->experts->up_b, p->n_ff);
        mn_activate(p->vec, p->experts->activation, gate, gated ? gate : NULL, up, p->n_ff);
    }
}

/* An expert visits a row once, so no two items write the same row. */
static void scatter(void *arg, int64_t begin, int64_t end, int thread_index) {
    const passage *p = arg;
    (void)thread_index;
    float scale = p->experts->scale ? p->experts->scale[p->expert] : 1;
    for (int64_t i = begin; i < end; i++) {
        float *down = p->down + i * p->n_embd, weight = p->experts->weighs_input ? 1 : p->visits[i].weight;
        add_bias(p, down, p->experts->down_b, p->n_embd);
        p->vec->axpy(p->out + p->visits[i].row * p->n_embd, down, scale * weight, p->n_embd);
    }
}

static mn_status run_expert(const mn_compute *c, const mn_experts *experts, int64_t expert, passage *p, int64_t n,
                            mn_error *err) {
    mn_tensor up = mn_tensor_matrix(experts->up, expert), down = mn_tensor_matrix(experts->down, expert);
    mn_tensor gate = experts->gate->data ? mn_tensor_matrix(experts->gate, expert) : (mn_tensor){0};
    mn_pool_run(c->pool, n, ROWS_GRAIN, gather, p);
    MN_TRY(mn_matmul_many(c, (float *const[]){p->up, p->gate}, (const int64_t[]){p->n_ff, p->n_ff}, p->in, p->n_embd, n,
                          (const mn_tensor *const[]){&up, &gate}, gate.data ? 2 : 1, err));
    mn_pool_run(c->pool, n, ROWS_GRAIN, activate, p);
    MN_TRY(mn_matmul(c, p->down, p->n_embd, p->gate, p->n_ff, n, &down, err));
    mn_pool_run(c->pool, n, ROWS_GRAIN, scatter, p);
    return MN_OK;
}

/* Reading one expert's weights goes on while another is multiplied. */
static void ask_for(const mn_experts *experts, const mn_visits *v, int64_t n_experts) {
    const mn_tensor *const stacks[] = {experts->gate, experts->up, experts->down};
    for (int64_t e = 0; e < n_experts; e++)
        for (int i = 0; v->offsets[e + 1] > v->offsets[e] && i < 3; i++) {
            if (!stacks[i]->data) continue;
            mn_tensor m = mn_tensor_matrix(stacks[i], e);
            mn_mapping_will_need(m.data, m.bytes);
        }
}

static mn_status run_experts(const mn_compute *c, const mn_experts *experts, float *out, const float *x,
                             const int32_t *ids, const float *weights, int n_used, int64_t n_rows, mn_error *err) {
    int64_t n_embd = experts->up->ne[0], n_ff = experts->up->ne[1], n_experts = experts->up->ne[2];
    mn_visits v = {0};
    MN_TRY(mn_visits_sort(c, &v, ids, weights, n_used, n_rows, n_experts, err));
    passage p = {.vec = &c->kernels->vec, .experts = experts, .out = out, .x = x, .n_embd = n_embd, .n_ff = n_ff};
    p.in = mn_arena_alloc(c->scratch, (size_t)v.most, 2 * (size_t)(n_embd + n_ff) * sizeof *p.in);
    if (!p.in) return mn_fail(err, MN_ERR_MEMORY, "no memory for %lld rows of an expert.", (long long)v.most);
    p.gate = p.in + v.most * n_embd;
    p.up = p.gate + v.most * n_ff;
    p.down = p.up + v.most * n_ff;
    memset(out, 0, (size_t)(n_rows * n_embd) * sizeof *out);
    if (experts->on_disk && !mn_pool_is_dry(c->pool)) ask_for(experts, &v, n_experts);
    for (int64_t e = 0; e < n_experts; e++) {
        int64_t n = v.offsets[e + 1] - v.offsets[e];
        p.visits = v.visits + v.offsets[e];
        p.expert = e;
        if (n > 0) MN_TRY(run_expert(c, experts, e, &p, n, err));
    }
    return MN_OK;
}

mn_status mn_moe(const mn_compute *c, const mn_experts *experts, float *out, const float *x, const int32_t *ids,
                 const float *weights, int n_used, int64_t n_rows, mn_error *err) {
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    mn_status status = run_experts(c, experts, out, x, ids, weights, n_used, n_rows, err);
    mn_arena_rewind(c->scratch, mark);
    return status;
}

const mn_technique mn_moe_about = {
    .name = "mixture of experts",
    .paper = "Shazeer et al. 2017 (arXiv:1701.06538)",
    .file = "src/mlp/moe.c",
    .test = "tests/mlp/moe_test.c",
    .exact = true,
    .training = MN_TRAINING_DONE,
};
