#include "train/logistic.h"

#include "base/checked.h"
#include "kernels/matmul_backward.h"

#include <math.h>
#include <string.h>

enum { ROWS = 4096, MAX_ROUNDS = 60, MAX_HALVINGS = 30 };
static const double DONE = 1e-9; /* of the objective */

static double logit(const mn_logistic *d, int64_t row, const double *w) {
    const float *x = d->x + row * d->n;
    double z[4] = {0};
    int64_t i = 0;
    for (; i + 4 <= d->n; i += 4)
        for (int k = 0; k < 4; k++) z[k] += w[i + k] * (double)x[i + k];
    for (; i < d->n; i++) z[0] += w[i] * (double)x[i];
    return z[0] + z[1] + z[2] + z[3];
}

static double softplus(double z) { return z > 0 ? z + log1p(exp(-z)) : log1p(exp(z)); }

static double sigmoid(double z) { return 1 / (1 + exp(-z)); }

double mn_logistic_objective(const mn_logistic *d, const double *w, double *gradient) {
    double sum = 0;
    for (int64_t i = 0; i < d->n; i++) {
        double penalty = i + 1 < d->n ? d->l2 * w[i] : 0;
        sum += penalty * w[i] / 2;
        if (gradient) gradient[i] = penalty;
    }
    for (int64_t row = 0; row < d->n_rows; row++) {
        double z = logit(d, row, w), s = (double)d->weights[row], t = (double)d->targets[row];
        sum += s * (softplus(z) - t * z);
        double r = s * (sigmoid(z) - t);
        for (int64_t i = 0; gradient && i < d->n; i++) gradient[i] += r * (double)d->x[row * d->n + i];
    }
    return sum;
}

typedef struct work {
    float *scaled, *part;         /* [ROWS, n], [n, n] */
    double *hessian;              /* [n, n], then its Cholesky factor */
    double *gradient, *step, *at; /* [n] */
} work;

static mn_status open_work(const mn_compute *c, int64_t n, work *out, mn_error *err) {
    size_t k = (size_t)n;
    *out = (work){mn_arena_alloc(c->scratch, ROWS * k, sizeof(float)), mn_arena_alloc(c->scratch, k * k, sizeof(float)),
                  mn_arena_alloc(c->scratch, k * k, sizeof(double)),   mn_arena_alloc(c->scratch, k, sizeof(double)),
                  mn_arena_alloc(c->scratch, k, sizeof(double)),       mn_arena_alloc(c->scratch, k, sizeof(double))};
    if (out->scaled && out->part && out->hessian && out->gradient && out->step && out->at) return MN_OK;
    return mn_fail(err, MN_ERR_MEMORY, "no memory for a logistic regression with %lld features.", (long long)n);
}

/* sum s p (1 - p) x x^T + l2 */
static mn_status make_hessian(const mn_compute *c, const mn_logistic *d, const double *w, const work *k,
                              mn_error *err) {
    int64_t n = d->n;
    memset(k->hessian, 0, (size_t)(n * n) * sizeof *k->hessian);
    for (int64_t first = 0; first < d->n_rows; first += ROWS) {
        int64_t rows = MN_MIN((int64_t)ROWS, d->n_rows - first);
        for (int64_t r = 0; r < rows; r++) {
            double p = sigmoid(logit(d, first + r, w));
            float root = (float)sqrt((double)d->weights[first + r] * p * (1 - p));
            for (int64_t i = 0; i < n; i++) k->scaled[r * n + i] = root * d->x[(first + r) * n + i];
        }
        memset(k->part, 0, (size_t)(n * n) * sizeof *k->part);
        MN_TRY(mn_matmul_dw(c, k->part, k->scaled, n, n, k->scaled, n, n, rows, err));
        for (int64_t i = 0; i < n * n; i++) k->hessian[i] += (double)k->part[i];
    }
    for (int64_t i = 0; i < n; i++) k->hessian[i * n + i] += i + 1 < n ? d->l2 : 1e-9;
    return MN_OK;
}

/* In place, the lower half. False: it is not positive definite. */
static bool factorise(double *a, int64_t n) {
    for (int64_t j = 0; j < n; j++)
        for (int64_t i = j; i < n; i++) {
            double sum = a[i * n + j];
            for (int64_t k = 0; k < j; k++) sum -= a[i * n + k] * a[j * n + k];
            if (i == j && !(sum > 0)) return false;
            a[i * n + j] = i == j ? sqrt(sum) : sum / a[j * n + j];
        }
    return true;
}

/* x = (L L^T)^-1 b */
static void solve(const double *l, int64_t n, const double *b, double *x) {
    for (int64_t i = 0; i < n; i++) {
        x[i] = b[i];
        for (int64_t k = 0; k < i; k++) x[i] -= l[i * n + k] * x[k];
        x[i] /= l[i * n + i];
    }
    for (int64_t i = n - 1; i >= 0; i--) {
        for (int64_t k = i + 1; k < n; k++) x[i] -= l[k * n + i] * x[k];
        x[i] /= l[i * n + i];
    }
}

/* w less as much of the step as makes the objective smaller; the objective there. */
static double search(const mn_logistic *d, const work *k, double *w, double before, double decrement) {
    double length = 1;
    for (int i = 0; i < MAX_HALVINGS; i++, length /= 2) {
        for (int64_t j = 0; j < d->n; j++) k->at[j] = w[j] - length * k->step[j];
        double now = mn_logistic_objective(d, k->at, NULL);
        if (now > before - 1e-4 * length * decrement) continue;
        memcpy(w, k->at, (size_t)d->n * sizeof *w);
        return now;
    }
    return before;
}

static mn_status fit(const mn_compute *c, const mn_logistic *d, double *w, mn_error *err) {
    work k;
    MN_TRY(open_work(c, d->n, &k, err));
    for (int round = 0; round < MAX_ROUNDS; round++) {
        double before = mn_logistic_objective(d, w, k.gradient), decrement = 0;
        MN_TRY(make_hessian(c, d, w, &k, err));
        if (!factorise(k.hessian, d->n))
            return mn_fail(err, MN_ERR_ARGUMENT, "a logistic regression has no minimum; use a larger penalty.");
        solve(k.hessian, d->n, k.gradient, k.step);
        for (int64_t i = 0; i < d->n; i++) decrement += k.gradient[i] * k.step[i];
        if (!(decrement > DONE * (1 + before))) return MN_OK;
        if (search(d, &k, w, before, decrement) >= before) return MN_OK; /* as far as rounding lets it */
    }
    return MN_OK;
}

mn_status mn_logistic_fit(const mn_compute *c, const mn_logistic *d, double *w, mn_error *err) {
    mn_compute exact = *c;
    exact.exact = true;
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    mn_status status = fit(&exact, d, w, err);
    mn_arena_rewind(c->scratch, mark);
    return status;
}
