#include "mlp/router_backward.h"

#include "base/checked.h"
#include "kernels/kernels.h"
#include "kernels/row_sums.h"

#include <math.h>
#include <string.h>

enum { ROWS_GRAIN = 32 };

typedef struct router_job {
    const mn_kernels *kernels;
    const mn_router *r;
    float *d_logits;
    const float *d_weights, *logits;
    const int32_t *ids;
    float *work;        /* [n_threads, 2, n_experts] */
    const float *loads; /* of the balance loss: its derivative by P, over n_rows */
} router_job;

static void score(const router_job *job, float *s, int64_t row) {
    int n = job->r->n_experts;
    memcpy(s, job->logits + row * n, (size_t)n * sizeof *s);
    if (job->r->gating == MN_GATING_SOFTMAX)
        job->kernels->vec.softmax(s, n);
    else
        for (int i = 0; i < n; i++) s[i] = mn_router_score(job->r, s[i]);
}

/* d_logits += what ds, the gradient of the scores s, means for them; ds is overwritten. */
static void back_scores(const router_job *job, const float *s, float *ds, int64_t row) {
    int n = job->r->n_experts;
    if (job->r->gating == MN_GATING_SOFTMAX)
        job->kernels->vec_backward.softmax(ds, s, ds, n);
    else if (job->r->gating == MN_GATING_SQRT_SOFTPLUS) /* s^2 = softplus, 1 - e^-softplus = sigmoid */
        for (int i = 0; i < n; i++) ds[i] *= s[i] > 0 ? -expm1f(-s[i] * s[i]) / (2 * s[i]) : 0;
    else
        for (int i = 0; i < n; i++) ds[i] *= s[i] * (1 - s[i]);
    job->kernels->vec.add(job->d_logits + row * n, job->d_logits + row * n, ds, n);
}

static void back_weights(void *arg, int64_t begin, int64_t end, int thread_index) {
    const router_job *job = arg;
    const mn_router *r = job->r;
    float *s = job->work + (int64_t)thread_index * 2 * r->n_experts, *ds = s + r->n_experts;
    for (int64_t row = begin; row < end; row++) {
        const int32_t *ids = job->ids + row * r->n_used;
        const float *dw = job->d_weights + row * r->n_used;
        float sum = 0, products = 0;
        score(job, s, row);
        memset(ds, 0, (size_t)r->n_experts * sizeof *ds);
        for (int i = 0; i < r->n_used; i++) {
            sum += s[ids[i]];
            products += dw[i] * s[ids[i]];
        }
        sum += 1e-20f; /* as the forward has it */
        for (int i = 0; i < r->n_used; i++)
            ds[ids[i]] = r->scale * (r->normalise ? (dw[i] - products / sum) / sum : dw[i]);
        back_scores(job, s, ds, row);
    }
}

static mn_status no_memory(const mn_router *r, mn_error *err) {
    return mn_fail(err, MN_ERR_MEMORY, "no memory for the gradients of a router of %d experts.", r->n_experts);
}

static float *take_work(const mn_compute *c, const mn_router *r) {
    return mn_arena_alloc(c->scratch, (size_t)mn_pool_threads(c->pool) * 2 * (size_t)r->n_experts, sizeof(float));
}

mn_status mn_route_backward(const mn_compute *c, const mn_router *router, float *d_logits, const float *d_weights,
                            const float *logits, const int32_t *ids, int64_t n_rows, mn_error *err) {
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    router_job job = {c->kernels, router, d_logits, d_weights, logits, ids, take_work(c, router), NULL};
    if (!job.work) return no_memory(router, err);
    mn_pool_run(c->pool, n_rows, ROWS_GRAIN, back_weights, &job);
    mn_arena_rewind(c->scratch, mark);
    return MN_OK;
}

static float total(const float *s, int n) {
    float sum = 1e-20f;
    for (int i = 0; i < n; i++) sum += s[i];
    return sum;
}

/* sums [n_experts] += the shares of each expert in the scores of the rows, then n_experts of room. */
static void sum_shares(const void *arg, int64_t begin, int64_t end, float *sums) {
    const router_job *job = arg;
    int n = job->r->n_experts;
    float *s = sums + n;
    for (int64_t row = begin; row < end; row++) {
        score(job, s, row);
        job->kernels->vec.axpy(sums, s, 1 / total(s, n), n);
    }
    memset(s, 0, (size_t)n * sizeof *s);
}

/* P_i = s_i / S: the gradient by s_j is (load_j - sum_i load_i P_i) / S. */
static void back_shares(void *arg, int64_t begin, int64_t end, int thread_index) {
    const router_job *job = arg;
    int n = job->r->n_experts;
    float *s = job->work + (int64_t)thread_index * 2 * n, *ds = s + n;
    for (int64_t row = begin; row < end; row++) {
        score(job, s, row);
        float inverse = 1 / total(s, n), mean = job->kernels->vec.dot(job->loads, s, n) * inverse;
        for (int i = 0; i < n; i++) ds[i] = (job->loads[i] - mean) * inverse;
        back_scores(job, s, ds, row);
    }
}

static mn_status balance(const mn_compute *c, router_job *job, double coefficient, double scale, double *loss,
                         int64_t n_rows, mn_error *err) {
    const mn_router *r = job->r;
    size_t n = (size_t)r->n_experts;
    float *shares = mn_arena_zalloc(c->scratch, 2 * n, sizeof *shares);
    float *loads = mn_arena_alloc(c->scratch, n, sizeof *loads);
    int64_t *counts = mn_arena_zalloc(c->scratch, n, sizeof *counts);
    job->work = take_work(c, r);
    if (!shares || !loads || !counts || !job->work) return no_memory(r, err);
    MN_TRY(mn_row_sums(c, shares, 2 * (int64_t)n, n_rows, sum_shares, job, err));
    mn_count_visits(counts, job->ids, n_rows * r->n_used);
    double rows = (double)n_rows, visits = rows * r->n_used;
    for (size_t i = 0; i < n; i++) {
        double slope = coefficient * (double)n * (double)counts[i] / visits;
        *loss += slope * (double)shares[i] / rows;
        loads[i] = (float)(slope * scale / rows);
    }
    job->loads = loads;
    if (job->d_logits) mn_pool_run(c->pool, n_rows, ROWS_GRAIN, back_shares, job);
    return MN_OK;
}

mn_status mn_balance_loss(const mn_compute *c, const mn_router *router, double coefficient, double scale,
                          float *d_logits, double *loss, const float *logits, const int32_t *ids, int64_t n_rows,
                          mn_error *err) {
    if (n_rows == 0) return MN_OK;
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    router_job job = {c->kernels, router, d_logits, NULL, logits, ids, NULL, NULL};
    mn_status status = balance(c, &job, coefficient, scale, loss, n_rows, err);
    mn_arena_rewind(c->scratch, mark);
    return status;
}

void mn_count_visits(int64_t *counts, const int32_t *ids, int64_t n_visits) {
    for (int64_t i = 0; i < n_visits; i++) counts[ids[i]]++;
}

void mn_balance_bias(float *bias, const int64_t *counts, int n_experts, float rate) {
    int64_t sum = 0;
    for (int i = 0; i < n_experts; i++) sum += counts[i];
    for (int i = 0; i < n_experts; i++) {
        int64_t above = counts[i] * n_experts - sum;
        bias[i] += above > 0 ? -rate : above < 0 ? rate : 0;
    }
}
