#include "train/muon.h"

#include "base/checked.h"
#include "kernels/kernels.h"
#include "kernels/matmul_backward.h"
#include "train/clip.h"

#include <math.h>
#include <string.h>

enum { N_STEPS = 5, FLOATS_PER_RANGE = 1 << 13 };

static const float A = 3.4445f, B = -4.7750f, C = 2.0315f;

/* out = by_x x + by_y y, n numbers; y NULL: nothing is added. */
typedef struct sum_job {
    const mn_vec_kernels *vec;
    float *out;
    const float *x, *y;
    float by_x, by_y;
} sum_job;

static void sum_range(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const sum_job *job = arg;
    job->vec->scale(job->out + begin, job->x + begin, job->by_x, end - begin);
    if (job->y) job->vec->axpy(job->out + begin, job->y + begin, job->by_y, end - begin);
}

static void sum(const mn_compute *c, float *out, const float *x, float by_x, const float *y, float by_y, int64_t n) {
    sum_job job = {&c->kernels->vec, out, x, y, by_x, by_y};
    mn_pool_run(c->pool, n, FLOATS_PER_RANGE, sum_range, &job);
}

static mn_tensor matrix_of(const float *data, int64_t n_out, int64_t n_in) {
    return (mn_tensor){.type = MN_F32, .n_dims = 2, .ne = {n_in, n_out, 1, 1}, .data = data};
}

/* out [n, n] = x x^T, or x^T x of a tall one: n is the smaller side. */
static mn_status square(const mn_compute *c, float *out, const float *x, int64_t n_out, int64_t n_in, mn_error *err) {
    if (n_out <= n_in) {
        mn_tensor w = matrix_of(x, n_out, n_in);
        const mn_tensor *ws = &w;
        return mn_matmul_training(c, &out, &n_out, x, n_in, n_out, &ws, 1, err);
    }
    memset(out, 0, (size_t)(n_in * n_in) * sizeof *out);
    return mn_matmul_dw(c, out, x, n_in, n_in, x, n_in, n_in, n_out, err);
}

/* next += polynomial x, or x polynomial of a tall one. */
static mn_status add_product(const mn_compute *c, float *next, const float *polynomial, const float *x, int64_t n_out,
                             int64_t n_in, mn_error *err) {
    mn_tensor wide = matrix_of(x, n_out, n_in), tall = matrix_of(polynomial, n_in, n_in);
    if (n_out <= n_in) return mn_matmul_dx(c, next, n_in, true, polynomial, n_out, n_out, &wide, err);
    return mn_matmul_dx(c, next, n_in, true, x, n_in, n_out, &tall, err);
}

static mn_status iterate(const mn_compute *c, float *x, int64_t n_out, int64_t n_in, mn_error *err) {
    int64_t n = n_out * n_in, side = MN_MIN(n_out, n_in);
    float *next = mn_arena_alloc(c->scratch, (size_t)n, sizeof *next), *from = x;
    float *a = mn_arena_alloc(c->scratch, 2 * (size_t)(side * side), sizeof *a), *polynomial = a + side * side;
    double squares = 0;
    if (!next || !a)
        return mn_fail(err, MN_ERR_MEMORY, "no memory for Muon's step of a matrix of %lld by %lld.", (long long)n_out,
                       (long long)n_in);
    MN_TRY(mn_sum_squares(c, x, n, &squares, err));
    sum(c, x, x, (float)(1 / (sqrt(squares) + 1e-7)), NULL, 0, n);
    for (int i = 0; i < N_STEPS; i++) {
        float *to = from == x ? next : x;
        MN_TRY(square(c, a, from, n_out, n_in, err));
        MN_TRY(square(c, polynomial, a, side, side, err));
        sum(c, polynomial, polynomial, C, a, B, side * side);
        sum(c, to, from, A, NULL, 0, n);
        MN_TRY(add_product(c, to, polynomial, from, n_out, n_in, err));
        from = to;
    }
    if (from != x) memcpy(x, from, (size_t)n * sizeof *x);
    return MN_OK;
}

mn_status mn_newton_schulz(const mn_compute *c, float *x, int64_t n_out, int64_t n_in, mn_error *err) {
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    mn_status status = iterate(c, x, n_out, n_in, err);
    mn_arena_rewind(c->scratch, mark);
    return status;
}

mn_status mn_muon_step(const mn_compute *c, const mn_muon *p, float *w, float *m, const float *gradient, int64_t n_out,
                       int64_t n_in, mn_error *err) {
    int64_t n = n_out * n_in;
    float kept = (float)p->momentum, fresh = (float)((1 - p->momentum) * p->scale);
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    float *u = mn_arena_alloc(c->scratch, (size_t)n, sizeof *u);
    if (!u) return mn_fail(err, MN_ERR_MEMORY, "no memory for Muon's step of %lld weights.", (long long)n);
    sum(c, m, m, kept, gradient, fresh, n);
    sum(c, u, m, kept, gradient, fresh, n);
    mn_status status = mn_newton_schulz(c, u, n_out, n_in, err);
    double size = sqrt(fmax(1, (double)n_out / (double)n_in));
    if (status == MN_OK) sum(c, w, w, (float)(1 - p->rate * p->decay), u, (float)(-p->rate * size), n);
    mn_arena_rewind(c->scratch, mark);
    return status;
}
