#include "mlp/moe.h"

#include "base/checked.h"
#include "kernels/kernels.h"

#include <string.h>

/* One (row, expert) pair. */
typedef struct visit {
    int64_t row;
    float weight;
} visit;

/* The visits sorted by expert, rows ascending within: those of expert e are visits[offsets[e]] to [offsets[e + 1]]. */
typedef struct visits {
    int64_t *offsets; /* [n_experts + 1] */
    visit *visits;
    int64_t most; /* of one expert */
} visits;

/* Buffers for the rows of one expert. */
typedef struct buffers {
    float *x, *gate, *up, *out; /* [most, n_embd], [most, n_ff] twice, [most, n_embd] */
} buffers;

static mn_status sort_visits(const mn_compute *c, visits *v, const int32_t *ids, const float *weights, int n_used,
                             int64_t n_rows, int64_t n_experts, mn_error *err) {
    int64_t n = n_rows * n_used;
    v->offsets = mn_arena_zalloc(c->scratch, (size_t)n_experts + 2, sizeof *v->offsets);
    v->visits = mn_arena_alloc(c->scratch, (size_t)n, sizeof *v->visits);
    if (!v->offsets || !v->visits)
        return mn_fail(err, MN_ERR_MEMORY, "no memory to send %lld tokens to experts.", (long long)n_rows);
    /* Counted two places up and summed one place up, an expert's entry is its write position while visits are placed,
     * and ends up as its end: the next one's start. */
    int64_t *positions = v->offsets + 1;
    for (int64_t i = 0; i < n; i++) positions[ids[i] + 1]++;
    for (int64_t e = 0; e < n_experts; e++) {
        v->most = MN_MAX(v->most, positions[e + 1]);
        positions[e + 1] += positions[e];
    }
    for (int64_t i = 0; i < n; i++) v->visits[positions[ids[i]]++] = (visit){i / n_used, weights[i]};
    return MN_OK;
}

static mn_status run_expert(const mn_compute *c, const mn_experts *experts, int64_t expert, const visit *rows,
                            int64_t n, float *out, const float *x, const buffers *b, mn_error *err) {
    int64_t n_embd = experts->gate->ne[0], n_ff = experts->gate->ne[1];
    mn_tensor gate = mn_tensor_matrix(experts->gate, expert), up = mn_tensor_matrix(experts->up, expert);
    mn_tensor down = mn_tensor_matrix(experts->down, expert);
    for (int64_t i = 0; i < n; i++) memcpy(b->x + i * n_embd, x + rows[i].row * n_embd, (size_t)n_embd * sizeof *x);
    MN_TRY(mn_matmul_many(c, (float *const[]){b->gate, b->up}, (const int64_t[]){n_ff, n_ff}, b->x, n_embd, n,
                          (const mn_tensor *const[]){&gate, &up}, 2, err));
    c->kernels->vec.silu_mul(b->gate, b->gate, b->up, n * n_ff);
    MN_TRY(mn_matmul(c, b->out, n_embd, b->gate, n_ff, n, &down, err));
    for (int64_t i = 0; i < n; i++)
        c->kernels->vec.axpy(out + rows[i].row * n_embd, b->out + i * n_embd, rows[i].weight, n_embd);
    return MN_OK;
}

static mn_status run_experts(const mn_compute *c, const mn_experts *experts, float *out, const float *x,
                             const int32_t *ids, const float *weights, int n_used, int64_t n_rows, mn_error *err) {
    int64_t n_embd = experts->gate->ne[0], n_ff = experts->gate->ne[1], n_experts = experts->gate->ne[2];
    visits v = {0};
    MN_TRY(sort_visits(c, &v, ids, weights, n_used, n_rows, n_experts, err));
    size_t row_floats = 2 * ((size_t)n_embd + (size_t)n_ff);
    buffers b = {.x = mn_arena_alloc(c->scratch, (size_t)v.most, row_floats * sizeof(float))};
    if (!b.x) return mn_fail(err, MN_ERR_MEMORY, "no memory for %lld rows of an expert.", (long long)v.most);
    b.gate = b.x + v.most * n_embd;
    b.up = b.gate + v.most * n_ff;
    b.out = b.up + v.most * n_ff;
    memset(out, 0, (size_t)(n_rows * n_embd) * sizeof *out);
    for (int64_t e = 0; e < n_experts; e++) {
        int64_t n = v.offsets[e + 1] - v.offsets[e];
        if (n > 0) MN_TRY(run_expert(c, experts, e, v.visits + v.offsets[e], n, out, x, &b, err));
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
