#include "mlp/router.h"

#include "kernels/kernels.h"

#include <math.h>
#include <string.h>

enum { ROWS_GRAIN = 64 }; /* rows of a thread at a time */

mn_status mn_router_check(const mn_router *r, mn_error *err) {
    if (r->gating != MN_GATING_SOFTMAX && r->gating != MN_GATING_SIGMOID && r->gating != MN_GATING_SQRT_SOFTPLUS)
        return mn_fail(
            err, MN_ERR_UNSUPPORTED,
            "expert gating function %d is neither softmax (1) nor sigmoid (2) nor the square root of softplus (4).",
            (int)r->gating);
    if (r->n_used < 1 || r->n_used > r->n_experts)
        return mn_fail(err, MN_ERR_FORMAT, "a token cannot go to %d of %d experts.", r->n_used, r->n_experts);
    if (r->n_groups <= 1) return MN_OK;
    if (r->n_experts % r->n_groups)
        return mn_fail(err, MN_ERR_FORMAT, "%d experts do not divide into %d groups.", r->n_experts, r->n_groups);
    int size = r->n_experts / r->n_groups;
    if (r->n_groups_used < 1 || r->n_groups_used > r->n_groups || r->n_used > size * r->n_groups_used)
        return mn_fail(err, MN_ERR_FORMAT, "%d experts cannot be chosen from %d of %d groups of %d.", r->n_used,
                       r->n_groups_used, r->n_groups, size);
    if (r->group_top < 1 || r->group_top > size)
        return mn_fail(err, MN_ERR_FORMAT, "the best %d experts of a group of %d cannot be summed.", r->group_top,
                       size);
    return MN_OK;
}

/* Takes the largest score that is not taken yet; the lowest index among equals. */
static int take_best(const float *scores, bool *taken, int n) {
    int best = -1;
    for (int i = 0; i < n; i++)
        if (!taken[i] && (best < 0 || scores[i] > scores[best])) best = i;
    taken[best] = true;
    return best;
}

/* Scratch of one thread. */
typedef struct row_scratch {
    float *s, *scores, *group_scores; /* [n_experts], [n_experts], [n_groups] */
    bool *taken, *group_taken;        /* [n_experts], [n_groups] */
} row_scratch;

/* Marks the experts of all but the best groups as taken. */
static void leave_out_groups(const mn_router *r, const row_scratch *t) {
    int size = r->n_experts / r->n_groups;
    for (int g = 0; g < r->n_groups; g++) {
        t->group_scores[g] = 0;
        for (int i = 0; i < r->group_top; i++)
            t->group_scores[g] += t->scores[g * size + take_best(t->scores + g * size, t->taken + g * size, size)];
    }
    memset(t->group_taken, 0, (size_t)r->n_groups);
    memset(t->taken, 1, (size_t)r->n_experts);
    for (int i = 0; i < r->n_groups_used; i++)
        memset(t->taken + take_best(t->group_scores, t->group_taken, r->n_groups) * size, 0, (size_t)size);
}

float mn_router_score(const mn_router *r, float logit) {
    if (r->gating == MN_GATING_SIGMOID) return 1 / (1 + expf(-logit));
    return sqrtf(fmaxf(logit, 0) + log1pf(expf(-fabsf(logit))));
}

static void score(const mn_router *r, const mn_kernels *kernels, const float *logits, const row_scratch *t) {
    memcpy(t->s, logits, (size_t)r->n_experts * sizeof *logits);
    if (r->gating == MN_GATING_SOFTMAX)
        kernels->vec.softmax(t->s, r->n_experts);
    else
        for (int i = 0; i < r->n_experts; i++) t->s[i] = mn_router_score(r, t->s[i]);
    /* Scores that nothing is added to rank as logits do, which round less where sigmoid saturates. */
    bool by_logits = !r->selection_bias && r->n_groups <= 1;
    for (int i = 0; i < r->n_experts; i++) {
        t->scores[i] = by_logits ? logits[i] : t->s[i] + (r->selection_bias ? r->selection_bias[i] : 0);
        if (isnan(t->scores[i])) t->scores[i] = -INFINITY;
    }
}

static void finish_weights(const mn_router *r, float *weights) {
    float sum = 0;
    for (int i = 0; i < r->n_used; i++) sum += weights[i];
    /* 1e-20 keeps experts that all underflowed to 0 from becoming 0 / 0, and is lost in any other sum. */
    float factor = r->normalise ? r->scale / (sum + 1e-20f) : r->scale;
    for (int i = 0; i < r->n_used; i++) weights[i] *= factor;
}

static void route_row(const mn_router *r, const mn_kernels *kernels, int32_t *ids, float *weights, const float *logits,
                      const row_scratch *t) {
    score(r, kernels, logits, t);
    memset(t->taken, 0, (size_t)r->n_experts);
    if (r->n_groups > 1) leave_out_groups(r, t);
    for (int i = 0; i < r->n_used; i++) {
        ids[i] = take_best(t->scores, t->taken, r->n_experts);
        weights[i] = t->s[ids[i]];
    }
    finish_weights(r, weights);
}

void mn_router_weigh(const mn_router *r, const mn_kernels *kernels, const int32_t *ids, float *scores, float *weights) {
    if (r->gating == MN_GATING_SOFTMAX) kernels->vec.softmax(scores, r->n_experts);
    for (int i = 0; i < r->n_used; i++)
        weights[i] = r->gating == MN_GATING_SOFTMAX ? scores[ids[i]] : mn_router_score(r, scores[ids[i]]);
    finish_weights(r, weights);
}

typedef struct route_job {
    const mn_router *r;
    const mn_kernels *kernels;
    int32_t *ids;
    float *weights;
    const float *logits;
    float *floats; /* [n_threads, 3, n_experts] */
    bool *flags;   /* [n_threads, 2, n_experts] */
} route_job;

static void route_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    const route_job *job = arg;
    const mn_router *r = job->r;
    float *floats = job->floats + (int64_t)thread_index * 3 * r->n_experts;
    bool *flags = job->flags + (int64_t)thread_index * 2 * r->n_experts;
    row_scratch t = {floats, floats + r->n_experts, floats + 2 * r->n_experts, flags, flags + r->n_experts};
    for (int64_t row = begin; row < end; row++)
        route_row(r, job->kernels, job->ids + row * r->n_used, job->weights + row * r->n_used,
                  job->logits + row * r->n_experts, &t);
}

/* On a dry pool all rows stay with these: the most rows that one can get. */
void mn_route_alike(const mn_router *r, int32_t *ids, int64_t n_rows) {
    for (int64_t i = 0; i < n_rows * r->n_used; i++) ids[i] = (int32_t)(i % r->n_used);
}

mn_status mn_route(const mn_compute *c, const mn_router *r, int32_t *ids, float *weights, const float *logits,
                   int64_t n_rows, mn_error *err) {
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    size_t n = (size_t)mn_pool_threads(c->pool) * (size_t)r->n_experts;
    route_job job = {r, c->kernels, ids, weights, logits, NULL, NULL};
    job.floats = mn_arena_alloc(c->scratch, n, 3 * sizeof *job.floats);
    job.flags = mn_arena_alloc(c->scratch, n, 2 * sizeof *job.flags);
    if (!job.floats || !job.flags)
        return mn_fail(err, MN_ERR_MEMORY, "no memory to route tokens to %d experts.", r->n_experts);
    mn_route_alike(r, ids, n_rows);
    mn_pool_run(c->pool, n_rows, ROWS_GRAIN, route_rows, &job);
    mn_arena_rewind(c->scratch, mark);
    return MN_OK;
}
