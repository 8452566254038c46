#include "mlp/moe_backward.h"

#include "base/checked.h"
#include "kernels/kernels.h"
#include "kernels/matmul_backward.h"
#include "mlp/visits.h"

#include <string.h>

enum { ROWS_GRAIN = 4 }; /* rows that a thread takes at a time between the products */

/* The rows of one expert on their way back. */
typedef struct passage {
    const mn_kernels *kernels;
    const mn_moe_grad *g;
    const mn_visit *visits;
    const float *x;
    int64_t n_embd, n_ff;
    float *in, *d_out, *d_in;       /* [most, n_embd] */
    float *gate, *up, *hidden, *dh; /* [most, n_ff] */
} passage;

static void gather(void *arg, int64_t begin, int64_t end, int thread_index) {
    const passage *p = arg;
    (void)thread_index;
    for (int64_t i = begin; i < end; i++) {
        int64_t from = p->visits[i].row * p->n_embd;
        memcpy(p->in + i * p->n_embd, p->x + from, (size_t)p->n_embd * sizeof *p->x);
        memcpy(p->d_out + i * p->n_embd, p->g->d_out + from, (size_t)p->n_embd * sizeof *p->x);
    }
}

/* Rows of gate, up and d_out W_down become h, d_g and d_u; d_out is weighted for W_down. */
static void back_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    const passage *p = arg;
    (void)thread_index;
    const mn_vec_kernels *vec = &p->kernels->vec;
    for (int64_t i = begin; i < end; i++) {
        float *gate = p->gate + i * p->n_ff, *up = p->up + i * p->n_ff, *dh = p->dh + i * p->n_ff;
        float *hidden = p->hidden + i * p->n_ff, weight = p->visits[i].weight;
        vec->silu_mul(hidden, gate, up, p->n_ff);
        if (p->g->d_weights) p->g->d_weights[p->visits[i].index] = vec->dot(dh, hidden, p->n_ff);
        vec->scale(dh, dh, weight, p->n_ff);
        p->kernels->vec_backward.silu_mul(gate, up, gate, up, dh, p->n_ff);
        vec->scale(p->d_out + i * p->n_embd, p->d_out + i * p->n_embd, weight, p->n_embd);
    }
}

/* An expert visits a row once, so no two items write the same row. */
static void scatter(void *arg, int64_t begin, int64_t end, int thread_index) {
    const passage *p = arg;
    (void)thread_index;
    for (int64_t i = begin; i < end; i++) {
        float *d_x = p->g->d_x + p->visits[i].row * p->n_embd;
        p->kernels->vec.add(d_x, d_x, p->d_in + i * p->n_embd, p->n_embd);
    }
}

static mn_status back_weights(const mn_compute *c, const passage *p, int64_t expert, int64_t n, mn_error *err) {
    const mn_moe_grad *g = p->g;
    int64_t at = expert * p->n_ff * p->n_embd, n_embd = p->n_embd, n_ff = p->n_ff;
    if (g->d_down) MN_TRY(mn_matmul_dw(c, g->d_down + at, p->d_out, n_embd, n_embd, p->hidden, n_ff, n_ff, n, err));
    if (g->d_gate) MN_TRY(mn_matmul_dw(c, g->d_gate + at, p->gate, n_ff, n_ff, p->in, n_embd, n_embd, n, err));
    if (g->d_up) MN_TRY(mn_matmul_dw(c, g->d_up + at, p->up, n_ff, n_ff, p->in, n_embd, n_embd, n, err));
    return MN_OK;
}

static mn_status back_expert(const mn_compute *c, const mn_experts *experts, int64_t expert, passage *p, int64_t n,
                             mn_error *err) {
    mn_tensor gate = mn_tensor_matrix(experts->gate, expert), up = mn_tensor_matrix(experts->up, expert);
    mn_tensor down = mn_tensor_matrix(experts->down, expert);
    int64_t n_embd = p->n_embd, n_ff = p->n_ff;
    mn_pool_run(c->pool, n, ROWS_GRAIN, gather, p);
    MN_TRY(mn_matmul_training(c, (float *const[]){p->gate, p->up}, (const int64_t[]){n_ff, n_ff}, p->in, n_embd, n,
                              (const mn_tensor *const[]){&gate, &up}, 2, err));
    MN_TRY(mn_matmul_dx(c, p->dh, n_ff, false, p->d_out, n_embd, n, &down, err));
    mn_pool_run(c->pool, n, ROWS_GRAIN, back_rows, p);
    MN_TRY(back_weights(c, p, expert, n, err));
    MN_TRY(mn_matmul_dx(c, p->d_in, n_embd, false, p->gate, n_ff, n, &gate, err));
    MN_TRY(mn_matmul_dx(c, p->d_in, n_embd, true, p->up, n_ff, n, &up, err));
    mn_pool_run(c->pool, n, ROWS_GRAIN, scatter, p);
    return MN_OK;
}

static mn_status back_experts(const mn_compute *c, const mn_experts *experts, const mn_moe_grad *g, const float *x,
                              const int32_t *ids, const float *weights, int n_used, int64_t n_rows, mn_error *err) {
    mn_visits v = {0};
    passage p = {.kernels = c->kernels, .g = g, .x = x, .n_embd = experts->gate->ne[0], .n_ff = experts->gate->ne[1]};
    int64_t n_experts = experts->gate->ne[2];
    MN_TRY(mn_visits_sort(c, &v, ids, weights, n_used, n_rows, n_experts, err));
    p.in = mn_arena_alloc(c->scratch, (size_t)v.most, (size_t)(3 * p.n_embd + 4 * p.n_ff) * sizeof *p.in);
    if (!p.in)
        return mn_fail(err, MN_ERR_MEMORY, "no memory for the gradients of %lld rows of an expert.", (long long)v.most);
    p.d_out = p.in + v.most * p.n_embd;
    p.d_in = p.d_out + v.most * p.n_embd;
    p.gate = p.d_in + v.most * p.n_embd;
    p.up = p.gate + v.most * p.n_ff;
    p.hidden = p.up + v.most * p.n_ff;
    p.dh = p.hidden + v.most * p.n_ff;
    for (int64_t e = 0; e < n_experts; e++) {
        int64_t n = v.offsets[e + 1] - v.offsets[e];
        p.visits = v.visits + v.offsets[e];
        if (n > 0) MN_TRY(back_expert(c, experts, e, &p, n, err));
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
