#include "mlp/moe_backward.h"

#include "base/checked.h"
#include "kernels/kernels.h"
#include "kernels/matmul_backward.h"
#include "kernels/rows_backward.h"
#include "mlp/activation_backward.h"
#include "mlp/visits.h"

#include <string.h>

enum { ROWS_GRAIN = 4 }; /* rows that a thread takes at a time between the products */

/* The rows of one expert on their way back. */
typedef struct passage {
    const mn_kernels *kernels;
    const mn_experts *experts;
    const mn_moe_grad *g;
    int64_t expert; /* under way */
    const mn_visit *visits;
    const float *x;
    int64_t n_embd, n_ff;
    float *in, *d_out, *d_in;       /* [most, n_embd] */
    float *gate, *up, *hidden, *dh; /* [most, n_ff] */
    float *found;                   /* [most]: weight d_out . y */
} passage;

static bool is_gated(const passage *p) { return p->experts->gate->data != NULL; }

static void gather(void *arg, int64_t begin, int64_t end, int thread_index) {
    const passage *p = arg;
    (void)thread_index;
    for (int64_t i = begin; i < end; i++) {
        int64_t from = p->visits[i].row * p->n_embd;
        p->kernels->vec.scale(p->in + i * p->n_embd, p->x + from, p->experts->weighs_input ? p->visits[i].weight : 1,
                              p->n_embd);
        memcpy(p->d_out + i * p->n_embd, p->g->d_out + from, (size_t)p->n_embd * sizeof *p->x);
    }
}

/* x += the expert's bias */
static void add_bias(const passage *p, float *x, const float *bias, int64_t n) {
    if (bias) p->kernels->vec.add(x, x, bias + p->expert * n, n);
}

/* Rows of gate, up and d_out W_down become h, d_g and d_u; d_out is multiplied by f for W_down. */
static void back_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    const passage *p = arg;
    (void)thread_index;
    const mn_vec_kernels *vec = &p->kernels->vec;
    const mn_experts *e = p->experts;
    float scale = e->scale ? e->scale[p->expert] : 1;
    for (int64_t i = begin; i < end; i++) {
        float *gate = is_gated(p) ? p->gate + i * p->n_ff : NULL, *up = p->up + i * p->n_ff, *dh = p->dh + i * p->n_ff;
        float *hidden = p->hidden + i * p->n_ff, *d_out = p->d_out + i * p->n_embd;
        float weight = e->weighs_input ? 1 : p->visits[i].weight;
        if (gate) add_bias(p, gate, e->gate_b, p->n_ff);
        add_bias(p, up, e->up_b, p->n_ff);
        mn_activate(vec, e->activation, hidden, gate, up, p->n_ff);
        float found = vec->dot(dh, hidden, p->n_ff);
        if (e->down_b) found += vec->dot(d_out, e->down_b + p->expert * p->n_embd, p->n_embd);
        if (p->g->d_weights && !e->weighs_input) p->g->d_weights[p->visits[i].index] = scale * found;
        p->found[i] = weight * found;
        vec->scale(dh, dh, scale * weight, p->n_ff);
        mn_activate_backward(p->kernels, e->activation, gate, up, gate, up, dh, p->n_ff);
        vec->scale(d_out, d_out, scale * weight, p->n_embd);
    }
}

/* An expert visits a row once, so no two items write the same row. */
static void scatter(void *arg, int64_t begin, int64_t end, int thread_index) {
    const passage *p = arg;
    (void)thread_index;
    const mn_vec_kernels *vec = &p->kernels->vec;
    for (int64_t i = begin; i < end; i++) {
        const float *d_in = p->d_in + i * p->n_embd, *x = p->x + p->visits[i].row * p->n_embd;
        float *d_x = p->g->d_x + p->visits[i].row * p->n_embd;
        vec->axpy(d_x, d_in, p->experts->weighs_input ? p->visits[i].weight : 1, p->n_embd);
        if (p->g->d_weights && p->experts->weighs_input)
            p->g->d_weights[p->visits[i].index] = vec->dot(d_in, x, p->n_embd);
    }
}

/* Where an expert's matrix begins in the gradient of a stack. */
static float *matrix_of(float *stack, const mn_tensor *t, int64_t expert) {
    size_t floats = t->matrix_bytes / sizeof(float);
    return stack + expert * (floats ? (int64_t)floats : t->ne[0] * t->ne[1]);
}

static mn_status back_weights(const mn_compute *c, const passage *p, int64_t n, mn_error *err) {
    const mn_moe_grad *g = p->g;
    const mn_experts *e = p->experts;
    int64_t n_embd = p->n_embd, n_ff = p->n_ff;
    if (g->d_down)
        MN_TRY(mn_matmul_dw(c, matrix_of(g->d_down, e->down, p->expert), p->d_out, n_embd, n_embd, p->hidden, n_ff,
                            n_ff, n, err));
    if (g->d_gate && is_gated(p))
        MN_TRY(mn_matmul_dw(c, matrix_of(g->d_gate, e->gate, p->expert), p->gate, n_ff, n_ff, p->in, n_embd, n_embd, n,
                            err));
    if (g->d_up)
        MN_TRY(mn_matmul_dw(c, matrix_of(g->d_up, e->up, p->expert), p->up, n_ff, n_ff, p->in, n_embd, n_embd, n, err));
    return MN_OK;
}

static mn_status back_vectors(const mn_compute *c, const passage *p, int64_t n, mn_error *err) {
    const mn_moe_grad *g = p->g;
    if (g->d_down_b) MN_TRY(mn_bias_backward(c, g->d_down_b + p->expert * p->n_embd, p->d_out, p->n_embd, n, err));
    if (g->d_gate_b) MN_TRY(mn_bias_backward(c, g->d_gate_b + p->expert * p->n_ff, p->gate, p->n_ff, n, err));
    if (g->d_up_b) MN_TRY(mn_bias_backward(c, g->d_up_b + p->expert * p->n_ff, p->up, p->n_ff, n, err));
    if (!g->d_scale || mn_pool_is_dry(c->pool)) return MN_OK;
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)p->found[i];
    g->d_scale[p->expert] += (float)sum;
    return MN_OK;
}

static mn_status back_expert(const mn_compute *c, passage *p, int64_t n, mn_error *err) {
    const mn_experts *e = p->experts;
    bool gated = is_gated(p);
    mn_tensor gate = gated ? mn_tensor_matrix(e->gate, p->expert) : (mn_tensor){0};
    mn_tensor up = mn_tensor_matrix(e->up, p->expert), down = mn_tensor_matrix(e->down, p->expert);
    int64_t n_embd = p->n_embd, n_ff = p->n_ff;
    mn_pool_run(c->pool, n, ROWS_GRAIN, gather, p);
    MN_TRY(mn_matmul_training(c, (float *const[]){p->up, p->gate}, (const int64_t[]){n_ff, n_ff}, p->in, n_embd, n,
                              (const mn_tensor *const[]){&up, &gate}, 1 + gated, err));
    MN_TRY(mn_matmul_dx(c, p->dh, n_ff, false, p->d_out, n_embd, n, &down, err));
    mn_pool_run(c->pool, n, ROWS_GRAIN, back_rows, p);
    MN_TRY(back_weights(c, p, n, err));
    MN_TRY(back_vectors(c, p, n, err));
    MN_TRY(mn_matmul_dx(c, p->d_in, n_embd, false, p->up, n_ff, n, &up, err));
    if (gated) MN_TRY(mn_matmul_dx(c, p->d_in, n_embd, true, p->gate, n_ff, n, &gate, err));
    mn_pool_run(c->pool, n, ROWS_GRAIN, scatter, p);
    return MN_OK;
}

static mn_status back_experts(const mn_compute *c, const mn_experts *experts, const mn_moe_grad *g, const float *x,
                              const int32_t *ids, const float *weights, int n_used, int64_t n_rows, mn_error *err) {
    mn_visits v = {0};
    passage p = {.kernels = c->kernels,
                 .experts = experts,
                 .g = g,
                 .x = x,
                 .n_embd = experts->up->ne[0],
                 .n_ff = experts->up->ne[1]};
    int64_t n_experts = experts->up->ne[2];
    MN_TRY(mn_visits_sort(c, &v, ids, weights, n_used, n_rows, n_experts, err));
    p.in = mn_arena_alloc(c->scratch, (size_t)v.most, (size_t)(3 * p.n_embd + 4 * p.n_ff + 1) * sizeof *p.in);
    if (!p.in)
        return mn_fail(err, MN_ERR_MEMORY, "no memory for the gradients of %lld rows of an expert.", (long long)v.most);
    p.d_out = p.in + v.most * p.n_embd;
    p.d_in = p.d_out + v.most * p.n_embd;
    p.gate = p.d_in + v.most * p.n_embd;
    p.up = p.gate + v.most * p.n_ff;
    p.hidden = p.up + v.most * p.n_ff;
    p.dh = p.hidden + v.most * p.n_ff;
    p.found = p.dh + v.most * p.n_ff;
    for (p.expert = 0; p.expert < n_experts; p.expert++) {
        int64_t n = v.offsets[p.expert + 1] - v.offsets[p.expert];
        p.visits = v.visits + v.offsets[p.expert];
        if (n > 0) MN_TRY(back_expert(c, &p, n, err));
    }
    return MN_OK;
}

mn_status mn_moe_backward(const mn_compute *c, const mn_experts *experts, const mn_moe_grad *g, const float *x,
                          const int32_t *ids, const float *weights, int n_used, int64_t n_rows, mn_error *err) {
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    mn_status status = back_experts(c, experts, g, x, ids, weights, n_used, n_rows, err);
    mn_arena_rewind(c->scratch, mark);
    return status;
}
