#include "convert/small_mlp_fit.h"

#include "base/checked.h"
#include "convert/mlp_watch.h"
#include "kernels/matmul.h"
#include "kernels/matmul_backward.h"
#include "train/logistic.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What passes over the text add up. */
typedef struct fitting {
    mn_compute compute; /* exact */
    const mn_model *model;
    const mn_small_wish *wish;
    mn_small_fit *fits;
    float *norms;    /* of one layer: |column of W_down|^2; room for the widest */
    double **energy; /* [n_layers][n_ff] */
    float **moments; /* [n_layers]: sum h^T h [n][n], then sum h^T y [n][n_embd] */
    float **rows;    /* [n_layers][n_tokens][n_embd + 1], a 1 behind each */
    float *errors;   /* [n_layers][n_tokens] */
    float *sizes;    /* the same, of |y|^2 */
} fitting;

static mn_status no_memory(mn_error *err) {
    return mn_fail(err, MN_ERR_MEMORY, "no memory to fit small MLPs; use a shorter calibration text.");
}

static mn_status not_finite(const fitting *f, int layer, mn_error *err) {
    return mn_fail(err, MN_ERR_FORMAT,
                   "%s: the MLP of layer %d makes values that are not finite, of which no small one can be made; the "
                   "file may be damaged.",
                   mn_gguf_path(f->model->gguf), layer);
}

static mn_status add_energy(void *arg, const mn_mlp_rows *r, mn_error *err) {
    const fitting *f = arg;
    (void)err;
    if (f->fits[r->layer].n == 0) return MN_OK;
    int64_t n_ff = f->model->config.layers[r->layer].n_ff;
    for (int64_t t = 0; t < r->n; t++)
        for (int64_t i = 0; i < n_ff; i++)
            f->energy[r->layer][i] += (double)r->hidden[t * n_ff + i] * (double)r->hidden[t * n_ff + i];
    return MN_OK;
}

/* Each row's sum of squares, times what stands there. */
static void times_row_norms(const mn_tensor *w, double *out, float *row) {
    for (int64_t r = 0; w->data && r < w->ne[1]; r++) {
        double sum = 0;
        mn_to_f32(w->type, (const char *)w->data + (size_t)r * mn_tensor_row_bytes(w), row, w->ne[0]);
        for (int64_t i = 0; i < w->ne[0]; i++) sum += (double)row[i] * (double)row[i];
        out[r] *= sum;
    }
}

static void times_column_norms(const mn_tensor *w, double *out, float *row) {
    double *sums = (double *)(void *)row;
    float *at = (float *)(void *)(sums + w->ne[0]);
    memset(sums, 0, (size_t)w->ne[0] * sizeof *sums);
    for (int64_t r = 0; r < w->ne[1]; r++) {
        mn_to_f32(w->type, (const char *)w->data + (size_t)r * mn_tensor_row_bytes(w), at, w->ne[0]);
        for (int64_t i = 0; i < w->ne[0]; i++) sums[i] += (double)at[i] * (double)at[i];
    }
    for (int64_t i = 0; i < w->ne[0]; i++) out[i] *= sums[i];
}

/* The n largest of weights [n_ff], by index. Equal ones: the first. */
static void pick_units(const double *weights, int64_t n_ff, mn_small_fit *fit) {
    int64_t at = 0;
    for (int64_t i = 0; i < n_ff; i++) {
        int64_t above = 0;
        for (int64_t j = 0; j < n_ff; j++) above += weights[j] > weights[i] || (weights[j] == weights[i] && j < i);
        if (above < fit->n) fit->units[at++] = i;
    }
}

/* W_0: the units' own columns. */
static void take_columns(const mn_tensor *down, mn_small_fit *fit, float *row) {
    for (int64_t r = 0; r < down->ne[1]; r++) {
        mn_to_f32(down->type, (const char *)down->data + (size_t)r * mn_tensor_row_bytes(down), row, down->ne[0]);
        for (int64_t i = 0; i < fit->n; i++) fit->down[r * fit->n + i] = row[fit->units[i]];
    }
}

static mn_status choose_units(fitting *f, int layer, mn_error *err) {
    const mn_layer *l = &f->model->weights.layers[layer];
    int64_t n_ff = f->model->config.layers[layer].n_ff;
    double *energy = f->energy[layer];
    if (f->wish->n_tokens == 0) {
        for (int64_t i = 0; i < n_ff; i++) energy[i] = 1;
        times_row_norms(&l->up.w, energy, f->norms);
        times_row_norms(&l->gate.w, energy, f->norms);
    }
    times_column_norms(&l->down.w, energy, f->norms);
    for (int64_t i = 0; i < n_ff; i++)
        if (!isfinite(energy[i])) return not_finite(f, layer, err);
    pick_units(energy, n_ff, &f->fits[layer]);
    take_columns(&l->down.w, &f->fits[layer], f->norms);
    return MN_OK;
}

/* The hidden units of the small MLP, in scratch. */
static float *small_hidden(const fitting *f, const mn_mlp_rows *r) {
    const mn_small_fit *fit = &f->fits[r->layer];
    int64_t n_ff = f->model->config.layers[r->layer].n_ff;
    float *h = mn_arena_alloc(f->compute.scratch, (size_t)(r->n * fit->n), sizeof *h);
    for (int64_t t = 0; h && t < r->n; t++)
        for (int64_t i = 0; i < fit->n; i++) h[t * fit->n + i] = r->hidden[t * n_ff + fit->units[i]];
    return h;
}

/* What W_down gives: y without the bias, in scratch where there is one. */
static const float *products(const fitting *f, const mn_mlp_rows *r) {
    const float *bias = f->model->weights.layers[r->layer].down.b;
    int64_t n_embd = f->model->config.n_embd;
    if (!bias) return r->y;
    float *y = mn_arena_alloc(f->compute.scratch, (size_t)(r->n * n_embd), sizeof *y);
    for (int64_t i = 0; y && i < r->n * n_embd; i++) y[i] = r->y[i] - bias[i % n_embd];
    return y;
}

static mn_status add_moments(void *arg, const mn_mlp_rows *r, mn_error *err) {
    const fitting *f = arg;
    const mn_compute *c = &f->compute;
    int64_t n = f->fits[r->layer].n, n_embd = f->model->config.n_embd;
    float *m = f->moments[r->layer];
    if (n == 0) return MN_OK;
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    float *h = small_hidden(f, r);
    const float *y = products(f, r);
    if (!h || !y) return no_memory(err);
    MN_TRY(mn_matmul_dw(c, m, h, n, n, h, n, n, r->n, err));
    MN_TRY(mn_matmul_dw(c, m + n * n, h, n, n, y, n_embd, n_embd, r->n, err));
    mn_arena_rewind(c->scratch, mark);
    return MN_OK;
}

/* a [n][n], symmetric and positive, becomes L with a = L L^T in its lower half. */
static void cholesky(double *a, int64_t n) {
    for (int64_t j = 0; j < n; j++) {
        for (int64_t i = j; i < n; i++) {
            double sum = a[i * n + j];
            for (int64_t k = 0; k < j; k++) sum -= a[i * n + k] * a[j * n + k];
            a[i * n + j] = i == j ? sqrt(fmax(sum, 1e-300)) : sum / a[j * n + j];
        }
    }
}

typedef struct solve_job {
    const double *l; /* lower half of [n][n] */
    const float *hy; /* [n][n_embd] */
    double ridge;
    mn_small_fit *fit;
    int64_t n_embd;
    double *work; /* [n_threads][n] */
} solve_job;

/* Rows of W: (L L^T) w = h^T y + ridge w_0. */
static void solve_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    const solve_job *j = arg;
    int64_t n = j->fit->n;
    double *x = j->work + thread_index * n;
    for (int64_t r = begin; r < end; r++) {
        float *w = j->fit->down + r * n;
        for (int64_t i = 0; i < n; i++) {
            x[i] = (double)j->hy[i * j->n_embd + r] + j->ridge * (double)w[i];
            for (int64_t k = 0; k < i; k++) x[i] -= j->l[i * n + k] * x[k];
            x[i] /= j->l[i * n + i];
        }
        for (int64_t i = n - 1; i >= 0; i--) {
            x[i] /= j->l[i * n + i];
            for (int64_t k = 0; k < i; k++) x[k] -= j->l[i * n + k] * x[i];
        }
        for (int64_t i = 0; i < n; i++) w[i] = (float)x[i];
    }
}

static mn_status fit_down(const fitting *f, int layer, mn_error *err) {
    mn_small_fit *fit = &f->fits[layer];
    const float *m = f->moments[layer];
    int64_t n = fit->n;
    if (n == f->model->config.layers[layer].n_ff) return MN_OK; /* a copy */
    int n_threads = mn_pool_threads(f->compute.pool);
    double *l = calloc((size_t)n * (size_t)n + (size_t)n_threads * (size_t)n, sizeof *l), trace = 0;
    if (!l) return no_memory(err);
    for (int64_t i = 0; i < n; i++) trace += (double)m[i * n + i];
    solve_job job = {l, m + n * n, 0.01 * trace / (double)n + 1e-30, fit, f->model->config.n_embd, l + n * n};
    for (int64_t i = 0; i < n * n; i++) l[i] = (double)m[i] + (i % (n + 1) == 0 ? job.ridge : 0);
    cholesky(l, n);
    mn_pool_run(f->compute.pool, job.n_embd, 8, solve_rows, &job);
    free(l);
    for (int64_t i = 0; i < job.n_embd * n; i++)
        if (!isfinite(fit->down[i])) return not_finite(f, layer, err);
    return MN_OK;
}

/* Inputs, and how far the small MLP is from the whole one. */
static mn_status note_errors(void *arg, const mn_mlp_rows *r, mn_error *err) {
    const fitting *f = arg;
    const mn_compute *c = &f->compute;
    mn_small_fit *fit = &f->fits[r->layer];
    int64_t n_embd = f->model->config.n_embd;
    if (fit->n == 0) return MN_OK;
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    mn_tensor down = {.type = MN_F32, .n_dims = 2, .ne = {fit->n, n_embd, 1, 1}, .data = fit->down};
    float *h = small_hidden(f, r), *y = mn_arena_alloc(c->scratch, (size_t)(r->n * n_embd), sizeof *y);
    const float *wanted = products(f, r);
    if (!h || !y || !wanted) return no_memory(err);
    MN_TRY(mn_matmul(c, y, n_embd, h, fit->n, r->n, &down, err));
    for (int64_t t = 0; t < r->n; t++) {
        float *row = f->rows[r->layer] + (r->first + t) * (n_embd + 1);
        double error = 0, size = 0;
        memcpy(row, r->x + t * n_embd, (size_t)n_embd * sizeof *row);
        row[n_embd] = 1;
        for (int64_t i = 0; i < n_embd; i++) {
            double whole = (double)wanted[t * n_embd + i], d = whole - (double)y[t * n_embd + i];
            error += d * d;
            size += whole * whole;
        }
        f->errors[r->layer * f->wish->n_tokens + r->first + t] = (float)error;
        f->sizes[r->layer * f->wish->n_tokens + r->first + t] = (float)size;
    }
    mn_arena_rewind(c->scratch, mark);
    return MN_OK;
}

static int ascending(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

/* The value below which `share` of x [n] lies; sorted: room for n. */
static float quantile(const float *x, int64_t n, double share, float *sorted) {
    memcpy(sorted, x, (size_t)n * sizeof *x);
    qsort(sorted, (size_t)n, sizeof *sorted, ascending);
    return sorted[MN_MIN((int64_t)(share * (double)n), n - 1)];
}

/* Moves the bias so that `share` of the tokens have a score above 0. work [2][n_tokens]. */
static void set_share(const fitting *f, int layer, const double *w, float *work) {
    int64_t n = f->wish->n_tokens, n_embd = f->model->config.n_embd;
    mn_small_fit *fit = &f->fits[layer];
    float *z = work, *sorted = work + n;
    for (int64_t i = 0; i <= n_embd; i++) fit->router[i] = (float)w[i];
    for (int64_t t = 0; t < n; t++) {
        double sum = 0;
        for (int64_t i = 0; i <= n_embd; i++) sum += (double)f->rows[layer][t * (n_embd + 1) + i] * w[i];
        z[t] = (float)sum;
    }
    float cut = quantile(z, n, 1 - f->wish->share, sorted);
    fit->router[n_embd] -= cut;
    const float *errors = f->errors + layer * n, *sizes = f->sizes + layer * n;
    double all[2] = {0, 0}, easy[2] = {0, 0};
    for (int64_t t = 0; t < n; t++) {
        all[0] += (double)errors[t];
        all[1] += (double)sizes[t];
        easy[0] += z[t] > cut ? (double)errors[t] : 0;
        easy[1] += z[t] > cut ? (double)sizes[t] : 0;
    }
    fit->error = all[0] / fmax(all[1], 1e-30);
    fit->easy_error = easy[0] / fmax(easy[1], 1e-30);
}

static mn_status fit_router(const fitting *f, int layer, mn_error *err) {
    int64_t n = f->wish->n_tokens, n_embd = f->model->config.n_embd;
    float *work = calloc((size_t)n, 2 * sizeof *work), *targets = calloc((size_t)n, 2 * sizeof *targets);
    double *w = calloc((size_t)n_embd + 1, sizeof *w);
    mn_status status = work && targets && w ? MN_OK : no_memory(err);
    if (status == MN_OK) {
        float cut = quantile(f->errors + layer * n, n, f->wish->share, work);
        for (int64_t t = 0; t < n; t++) {
            targets[t] = f->errors[layer * n + t] < cut;
            targets[n + t] = 1;
        }
        mn_logistic data = {n, n_embd + 1, f->rows[layer], targets, targets + n, 1e-2 * (double)n};
        status = mn_logistic_fit(&f->compute, &data, w, err);
    }
    if (status == MN_OK) set_share(f, layer, w, work);
    free(work);
    free(targets);
    free(w);
    return status;
}

static mn_status open_layer(fitting *f, int layer, mn_error *err) {
    mn_small_fit *fit = &f->fits[layer];
    size_t n = (size_t)fit->n, n_embd = (size_t)f->model->config.n_embd, n_tokens = (size_t)f->wish->n_tokens;
    if (n == 0) return MN_OK;
    f->energy[layer] = calloc((size_t)f->model->config.layers[layer].n_ff, sizeof(double));
    fit->units = calloc(n, sizeof *fit->units);
    fit->down = calloc(n * n_embd, sizeof *fit->down);
    fit->router = calloc(n_embd + 1, sizeof *fit->router);
    fit->error = fit->easy_error = NAN;
    if (n_tokens) {
        f->moments[layer] = calloc(n * (n + n_embd), sizeof(float));
        f->rows[layer] = calloc(n_tokens * (n_embd + 1), sizeof(float));
    }
    bool held = f->energy[layer] && fit->units && fit->down && fit->router;
    return held && (!n_tokens || (f->moments[layer] && f->rows[layer])) ? MN_OK : no_memory(err);
}

static mn_status open_all(fitting *f, mn_error *err) {
    const mn_config *c = &f->model->config;
    size_t n = (size_t)c->n_layers, widest = (size_t)MN_MAX(c->n_ff, c->n_embd);
    f->norms = calloc(widest, sizeof(double) + sizeof(float));
    f->energy = calloc(n, sizeof *f->energy);
    f->moments = calloc(n, sizeof *f->moments);
    f->rows = calloc(n, sizeof *f->rows);
    f->errors = calloc(n * (size_t)f->wish->n_tokens + 1, sizeof *f->errors);
    f->sizes = calloc(n * (size_t)f->wish->n_tokens + 1, sizeof *f->sizes);
    if (!f->norms || !f->energy || !f->moments || !f->rows || !f->errors || !f->sizes) return no_memory(err);
    for (int i = 0; i < c->n_layers; i++) MN_TRY(open_layer(f, i, err));
    return MN_OK;
}

static void close_all(fitting *f) {
    for (int i = 0; i < f->model->config.n_layers; i++) {
        if (f->energy) free(f->energy[i]);
        if (f->moments) free(f->moments[i]);
        if (f->rows) free(f->rows[i]);
    }
    free(f->norms);
    free(f->energy);
    free(f->moments);
    free(f->rows);
    free(f->errors);
    free(f->sizes);
}

static mn_status pass(fitting *f, mn_mlp_rows_fn *visit, mn_error *err) {
    const mn_small_wish *w = f->wish;
    if (w->n_tokens == 0) return MN_OK;
    return mn_mlp_watch(&f->compute, f->model, w->tokens, w->n_tokens, w->window, visit, f, err);
}

static mn_status run(fitting *f, mn_error *err) {
    int n_layers = f->model->config.n_layers;
    MN_TRY(open_all(f, err));
    MN_TRY(pass(f, add_energy, err));
    for (int i = 0; i < n_layers; i++)
        if (f->fits[i].n) MN_TRY(choose_units(f, i, err));
    if (f->wish->n_tokens == 0) return MN_OK;
    MN_TRY(pass(f, add_moments, err));
    for (int i = 0; i < n_layers; i++)
        if (f->fits[i].n) MN_TRY(fit_down(f, i, err));
    MN_TRY(pass(f, note_errors, err));
    for (int i = 0; i < n_layers; i++)
        if (f->fits[i].n) MN_TRY(fit_router(f, i, err));
    return MN_OK;
}

mn_status mn_small_fit_all(const mn_compute *compute, const mn_model *model, const mn_small_wish *wish,
                           mn_small_fit *fits, mn_error *err) {
    fitting f = {.compute = *compute, .model = model, .wish = wish, .fits = fits};
    f.compute.exact = true;
    if (wish->n_tokens == 1) return mn_fail(err, MN_ERR_ARGUMENT, "a calibration text of one token is too short.");
    mn_status status = run(&f, err);
    close_all(&f);
    return status;
}

void mn_small_fit_release(mn_small_fit *fits, int n_layers) {
    for (int i = 0; i < n_layers; i++) {
        free(fits[i].units);
        free(fits[i].down);
        free(fits[i].router);
        fits[i] = (mn_small_fit){0};
    }
}
