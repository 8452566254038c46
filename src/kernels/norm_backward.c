#include "kernels/norm_backward.h"

#include "base/checked.h"
#include "kernels/kernels.h"
#include "kernels/row_sums.h"

enum { FLOATS_PER_RANGE = 1 << 13 };

typedef struct norm_job {
    const mn_norm_grad *g;
    const mn_vec_backward *vec;
} norm_job;

/* sums: dw [n], then db [n]; or NULL. */
static void back_rows(const void *arg, int64_t begin, int64_t end, float *sums) {
    const norm_job *job = arg;
    const mn_norm_grad *g = job->g;
    int n = g->x.n;
    float *dw = sums, *db = sums ? sums + n : NULL;
    for (int64_t r = begin; r < end; r++)
        for (int h = 0; h < g->x.n_heads; h++) {
            const float *x = mn_vector_at(&g->x, r, h), *dy = mn_vector_at(&g->dy, r, h);
            float *dx = mn_vector_at(&g->dx, r, h);
            if (g->layer_norm)
                job->vec->layer_norm(dx, g->add, dw, db, x, dy, g->w, g->eps, n);
            else
                job->vec->rms_norm(dx, g->add, dw, x, dy, g->w, g->eps, n);
        }
}

static void back_range(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    back_rows(arg, begin, end, NULL);
}

mn_status mn_norm_backward(const mn_compute *c, const mn_norm_grad *g, mn_error *err) {
    norm_job job = {g, &c->kernels->vec_backward};
    int n = g->x.n;
    if (!g->dw && !g->db) {
        int64_t row_floats = MN_MAX((int64_t)g->x.n_heads * n, INT64_C(1));
        mn_pool_run(c->pool, g->n_rows, MN_MAX(FLOATS_PER_RANGE / row_floats, INT64_C(1)), back_range, &job);
        return MN_OK;
    }
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    float *sums = mn_arena_zalloc(c->scratch, 2 * (size_t)n, sizeof *sums);
    if (!sums) return mn_fail(err, MN_ERR_MEMORY, "no memory for the gradients of a norm of %d weights.", n);
    mn_status status = mn_row_sums(c, sums, 2 * n, g->n_rows, back_rows, &job, err);
    if (status == MN_OK && g->dw) c->kernels->vec.add(g->dw, g->dw, sums, n);
    if (status == MN_OK && g->db) c->kernels->vec.add(g->db, g->db, sums + n, n);
    mn_arena_rewind(c->scratch, mark);
    return status;
}
