#include "recurrent/infini_gates_backward.h"

#include "base/checked.h"
#include "kernels/kernels.h"
#include "kernels/row_sums.h"

#include <math.h>
#include <string.h>

typedef struct gates_job {
    const mn_kernels *kernels;
    const mn_infini *shape;
    const mn_write_gates_grad *g;
    double *losses; /* [n_rows] */
} gates_job;

static float sigmoid(float x) { return 1 / (1 + expf(-x)); }

/* log(1 + e^x) */
static double softplus(double x) { return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)); }

/* The gradient of x for one gate; its loss is added. */
static float back_gate(const gates_job *job, int64_t i, const float *k, int head, double *loss) {
    const mn_write_gates_grad *g = job->g;
    int k_dim = job->shape->k_dim;
    float bias = g->bias ? g->bias[head] : 0;
    float x = g->products[i] + bias + job->kernels->vec.dot(g->w_key + (int64_t)head * k_dim, k, k_dim);
    float b = sigmoid(x), d = g->d_gates && b > g->threshold ? g->d_gates[i] * b * (1 - b) : 0;
    if (!g->labels || g->label_weights[i] == 0) return d;
    *loss += (double)g->label_weights[i] * (softplus((double)x) - (double)g->labels[i] * (double)x);
    return d + g->scale * g->label_weights[i] * (b - g->labels[i]);
}

/* sums: d_bias [n_kv_heads], d_w_key [n_kv_heads, k_dim] */
static void back_rows(const void *arg, int64_t begin, int64_t end, float *sums) {
    const gates_job *job = arg;
    const mn_write_gates_grad *g = job->g;
    int n = job->shape->n_kv_heads, k_dim = job->shape->k_dim;
    for (int64_t row = begin; row < end; row++) {
        job->losses[row] = 0;
        for (int head = 0; head < n; head++) {
            int64_t i = row * n + head;
            const float *k = g->k + i * k_dim;
            float d = back_gate(job, i, k, head, &job->losses[row]);
            g->d_products[i] = d;
            sums[head] += d;
            job->kernels->vec.axpy(sums + n + (int64_t)head * k_dim, k, d, k_dim);
            if (g->d_k) job->kernels->vec.axpy(g->d_k + i * k_dim, g->w_key + (int64_t)head * k_dim, d, k_dim);
        }
    }
}

static mn_status no_memory(mn_error *err) {
    return mn_fail(err, MN_ERR_MEMORY, "no memory for the gradients of a memory's gates.");
}

mn_status mn_write_gates_backward(const mn_compute *c, const mn_infini *shape, const mn_write_gates_grad *g,
                                  double *loss, mn_error *err) {
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    int64_t n = shape->n_kv_heads, n_keys = n * shape->k_dim;
    float *sums = mn_arena_zalloc(c->scratch, (size_t)(n + n_keys), sizeof *sums);
    gates_job job = {c->kernels, shape, g, mn_arena_zalloc(c->scratch, (size_t)g->n_rows, sizeof *job.losses)};
    mn_status status = no_memory(err);
    if (sums && job.losses) status = mn_row_sums(c, sums, n + n_keys, g->n_rows, back_rows, &job, err);
    if (status == MN_OK) {
        for (int64_t row = 0; row < g->n_rows; row++) *loss += job.losses[row];
        if (g->d_bias) c->kernels->vec.add(g->d_bias, g->d_bias, sums, n);
        if (g->d_w_key) c->kernels->vec.add(g->d_w_key, g->d_w_key, sums + n, n_keys);
    }
    mn_arena_rewind(c->scratch, mark);
    return status;
}

typedef struct harden_job {
    float *gates;
    const float *labels, *label_weights;
} harden_job;

static void harden(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const harden_job *job = arg;
    for (int64_t i = begin; i < end; i++) {
        bool wanted = job->labels && job->label_weights[i] > 0 && job->labels[i] >= 0.5f;
        job->gates[i] = wanted || job->gates[i] > 0 ? 1 : 0;
    }
}

void mn_write_gates_harden(const mn_compute *c, const mn_infini *shape, float *gates, const float *labels,
                           const float *label_weights, int64_t n_rows) {
    harden_job job = {gates, labels, label_weights};
    mn_pool_run(c->pool, n_rows * shape->n_kv_heads, 1024, harden, &job);
}

typedef struct mix_job {
    const mn_vec_kernels *vec;
    const mn_infini *shape;
    const mn_infini_mix_grad *g;
} mix_job;

/* sums: d_gate [n_heads] */
static void back_mix(const void *arg, int64_t begin, int64_t end, float *sums) {
    const mix_job *job = arg;
    const mn_infini_mix_grad *g = job->g;
    int n_heads = job->shape->n_heads, n = job->shape->v_dim;
    for (int64_t i = begin * n_heads; i < end * n_heads; i++) {
        int head = (int)(i % n_heads);
        float share = g->gate ? sigmoid(g->gate[head]) : g->share;
        const float *d = g->d_out + i * n;
        sums[head] +=
            share * (1 - share) * (job->vec->dot(d, g->mem + i * n, n) - job->vec->dot(d, g->local + i * n, n));
        job->vec->scale(g->d_mem + i * n, d, share, n);
        job->vec->scale(g->d_local + i * n, d, 1 - share, n);
    }
}

mn_status mn_infini_mix_backward(const mn_compute *c, const mn_infini *shape, const mn_infini_mix_grad *g,
                                 mn_error *err) {
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    float *sums = mn_arena_zalloc(c->scratch, (size_t)shape->n_heads, sizeof *sums);
    mix_job job = {&c->kernels->vec, shape, g};
    mn_status status = no_memory(err);
    if (sums) status = mn_row_sums(c, sums, shape->n_heads, g->n_rows, back_mix, &job, err);
    if (status == MN_OK && g->gate && g->d_gate) c->kernels->vec.add(g->d_gate, g->d_gate, sums, shape->n_heads);
    mn_arena_rewind(c->scratch, mark);
    return status;
}
