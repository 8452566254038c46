#include "mlp/easy_backward.h"

#include "kernels/kernels.h"

#include <string.h>

enum { ROWS_GRAIN = 16 };

typedef struct mix_job {
    const mn_vec_kernels *vec;
    const mn_easy_mixing *m;
    const mn_easy_grad *g;
    float *out;
    const float *big, *small, *z;
    int64_t n;
    float d_a; /* of the budget */
} mix_job;

static float sigmoid(float z) { return 1 / (1 + expf(-z)); }

static float share_of(const mn_easy_mixing *m, float z) {
    return m->soft ? sigmoid(z) : (float)mn_is_easy(z, m->threshold);
}

static void mix_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const mix_job *j = arg;
    for (int64_t r = begin; r < end; r++) {
        float a = share_of(j->m, j->z[r]), *out = j->out + r * j->n;
        j->vec->scale(out, j->big + r * j->n, 1 - a, j->n);
        j->vec->axpy(out, j->small + r * j->n, a, j->n);
    }
}

void mn_easy_mix(const mn_compute *c, const mn_easy_mixing *m, float *out, const float *big, const float *small,
                 const float *z, int64_t n_rows, int64_t n) {
    mix_job job = {.vec = &c->kernels->vec, .m = m, .out = out, .big = big, .small = small, .z = z, .n = n};
    mn_pool_run(c->pool, n_rows, ROWS_GRAIN, mix_rows, &job);
}

static void back_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const mix_job *j = arg;
    const mn_easy_grad *g = j->g;
    for (int64_t r = begin; r < end; r++) {
        const float *dy = g->dy + r * j->n;
        float a = share_of(j->m, g->z[r]), s = sigmoid(g->z[r]);
        float gain = j->vec->dot(dy, g->small + r * j->n, j->n) - j->vec->dot(dy, g->big + r * j->n, j->n);
        j->vec->axpy(g->d_big + r * j->n, dy, 1 - a, j->n);
        j->vec->axpy(g->d_small + r * j->n, dy, a, j->n);
        g->d_z[r] = s * (1 - s) * (gain + j->d_a);
    }
}

void mn_easy_mix_backward(const mn_compute *c, mn_easy_mixing *m, double scale, const mn_easy_grad *g, int64_t n_rows,
                          int64_t n) {
    mix_job job = {.vec = &c->kernels->vec, .m = m, .g = g, .n = n};
    double sum = 0;
    if (mn_pool_is_dry(c->pool)) return;
    for (int64_t r = 0; r < n_rows; r++) sum += (double)share_of(m, g->z[r]);
    double off = sum / (double)n_rows - m->share;
    m->n_easy += sum;
    m->n_rows += (double)n_rows;
    if (m->coefficient > 0) {
        m->budget_loss += m->coefficient * off * off;
        job.d_a = (float)(2 * m->coefficient * off * scale / (double)n_rows);
    }
    mn_pool_run(c->pool, n_rows, ROWS_GRAIN, back_rows, &job);
}
