#include "mlp/easy.h"

#include "kernels/kernels.h"

enum { ROWS_GRAIN = 64 };

typedef struct scores_job {
    const mn_vec_kernels *vec;
    float *z;
    const float *x, *w;
    float b;
    int64_t x_stride, n_embd;
} scores_job;

static void score_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const scores_job *j = arg;
    for (int64_t r = begin; r < end; r++) j->z[r] = j->vec->dot(j->x + r * j->x_stride, j->w, j->n_embd) + j->b;
}

void mn_easy_scores(const mn_compute *c, float *z, const float *x, int64_t x_stride, int64_t n_rows, const float *w,
                    float b, int64_t n_embd) {
    scores_job job = {&c->kernels->vec, z, x, w, b, x_stride, n_embd};
    mn_pool_run(c->pool, n_rows, ROWS_GRAIN, score_rows, &job);
}

double mn_easy_share(const mn_easy_count *c) {
    int64_t n = c->n_rows[MN_BIG] + c->n_rows[MN_SMALL];
    return n ? (double)c->n_rows[MN_SMALL] / (double)n : NAN;
}

double mn_easy_saved(const mn_easy_count *c, double *all) {
    if (c->n_rows[MN_BIG] == 0) return NAN;
    double each = c->seconds[MN_BIG] / (double)c->n_rows[MN_BIG];
    *all = each * (double)(c->n_rows[MN_BIG] + c->n_rows[MN_SMALL]);
    return each * (double)c->n_rows[MN_SMALL] - c->seconds[MN_SMALL] - c->router_seconds;
}

const mn_technique mn_easy_about = {
    .name = "small MLP for easy tokens",
    .paper = "Alizadeh et al. 2024 (arXiv:2410.10846)",
    .flag = "--router-threshold T",
    .file = "src/mlp/easy.c",
    .test = "tests/session/easy_test.c",
    .exact = false,
    .training = MN_TRAINING_NEEDED,
};
