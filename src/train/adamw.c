#include "train/adamw.h"

#include "kernels/kernels.h"

#include <math.h>

enum { WEIGHTS_PER_RANGE = 1 << 13 };

typedef struct adamw_job {
    const mn_vec_backward *vec;
    mn_adam step;
    float *w, *m, *v;
    const float *gradient;
} adamw_job;

static void run(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const adamw_job *job = arg;
    job->vec->adam(job->w + begin, job->m + begin, job->v + begin, job->gradient + begin, &job->step, end - begin);
}

void mn_adamw_step(const mn_compute *c, const mn_adamw *a, float *w, float *m, float *v, const float *gradient,
                   int64_t n) {
    mn_adam step = {.scale = (float)a->scale,
                    .beta1 = (float)a->beta1,
                    .beta2 = (float)a->beta2,
                    .eps = (float)a->epsilon,
                    .rate = (float)(a->rate / (1 - pow(a->beta1, (double)a->step))),
                    .inverse_root = (float)(1 / sqrt(1 - pow(a->beta2, (double)a->step))),
                    .keep = (float)(1 - a->rate * a->decay)};
    adamw_job job = {&c->kernels->vec_backward, step, w, m, v, gradient};
    mn_pool_run(c->pool, n, WEIGHTS_PER_RANGE, run, &job);
}
