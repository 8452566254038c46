/* Fitting the parametric law to runs, as Hoffmann et al. 2022 did (arXiv 2203.15556, section 3.3 and appendix D.2):
 *
 *     minimise  sum_i Huber(LSE(a - alpha ln N_i, b - beta ln D_i, e) - ln L_i),  A = exp a, B = exp b, E = exp e
 *
 * with delta 1e-3, from a grid of 4500 starts. Here ln N and ln D are counted from their means: then a and alpha, which
 * otherwise nearly undo each other, are almost independent, and more starts find the way.
 */
#include <mnemo/scaling.h>

#include "base/checked.h"
#include "base/pool.h"
#include "base/random.h"
#include "base/status.h"

#include <math.h>
#include <nlopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE, TEXT, FLOOR, ALPHA, BETA, N_CONSTANTS }; /* a, b, e, alpha, beta */
enum { N_STARTS = 5 * 5 * 5 * 6 * 6, MIN_RUNS = 6, MIN_DIFFERENT = 3, SLICE = 60, MAX_EVALUATIONS = 2000 };

static const double delta = 1e-3;

/* The runs as logarithms, counted from the means. */
typedef struct data {
    size_t n;
    double *log_params, *log_tokens, *log_loss;
    double mean_log_params, mean_log_tokens;
} data;

/* One minimisation: the runs, and how often each counts (NULL = once). */
typedef struct problem {
    const data *data;
    const uint16_t *weights;
} problem;

static double huber(double residual, double *slope) {
    double size = fabs(residual);
    *slope = size <= delta ? residual : copysign(delta, residual);
    return size <= delta ? residual * residual / 2 : delta * (size - delta / 2);
}

/* Objective and, unless gradient is NULL, its gradient over the five constants. Called by NLopt. */
static double objective(unsigned n_constants, const double *c, double *gradient, void *arg) {
    const problem *p = arg;
    double sum = 0, g[N_CONSTANTS] = {0};
    for (size_t i = 0; i < p->data->n; i++) {
        double weight = p->weights ? p->weights[i] : 1;
        if (weight == 0) continue;
        double x = p->data->log_params[i], y = p->data->log_tokens[i];
        double size = c[SIZE] - c[ALPHA] * x, text = c[TEXT] - c[BETA] * y, largest = fmax(c[FLOOR], fmax(size, text));
        double exp_size = exp(size - largest), exp_text = exp(text - largest), exp_floor = exp(c[FLOOR] - largest);
        double total = exp_size + exp_text + exp_floor, slope;
        sum += weight * huber(largest + log(total) - p->data->log_loss[i], &slope);
        double share = weight * slope / total;
        g[SIZE] += share * exp_size;
        g[TEXT] += share * exp_text;
        g[FLOOR] += share * exp_floor;
        g[ALPHA] -= share * exp_size * x;
        g[BETA] -= share * exp_text * y;
    }
    if (gradient) memcpy(gradient, g, n_constants * sizeof *g);
    return sum;
}

/* Moves c to the nearest minimum; returns the objective there, or INFINITY where NLopt gave up. */
static double descend(const problem *p, double c[N_CONSTANTS]) {
    nlopt_opt optimiser = nlopt_create(NLOPT_LD_LBFGS, N_CONSTANTS);
    if (!optimiser) return INFINITY;
    double best = INFINITY;
    nlopt_set_min_objective(optimiser, objective, (void *)p);
    nlopt_set_ftol_rel(optimiser, 1e-14);
    nlopt_set_maxeval(optimiser, MAX_EVALUATIONS);
    /* Its status does not matter: a search that ended in rounding noise has still found what best says. */
    nlopt_optimize(optimiser, c, &best);
    nlopt_destroy(optimiser);
    return isfinite(best) ? best : INFINITY;
}

static void start_at(const data *d, int index, double c[N_CONSTANTS]) {
    int rest = index;
    double a = 5.0 * (rest % 6), b = 5.0 * (rest / 6 % 6);
    c[FLOOR] = -1 + 0.5 * (rest / 36 % 5);
    c[ALPHA] = 0.5 * (rest / 180 % 5);
    c[BETA] = 0.5 * (rest / 900);
    c[SIZE] = a - c[ALPHA] * d->mean_log_params;
    c[TEXT] = b - c[BETA] * d->mean_log_tokens;
}

static mn_scaling_law law_of(const data *d, const double c[N_CONSTANTS]) {
    return (mn_scaling_law){.name = "fit",
                            .family = MN_SCALING_PARAMETRIC,
                            .E = exp(c[FLOOR]),
                            .A = exp(c[SIZE] + c[ALPHA] * d->mean_log_params),
                            .B = exp(c[TEXT] + c[BETA] * d->mean_log_tokens),
                            .alpha = c[ALPHA],
                            .beta = c[BETA],
                            .gamma = 1,
                            .counts = "parameters as counted in the runs"};
}

/* ---- many minimisations, shared among threads ---- */

typedef double (*constants)[N_CONSTANTS];

typedef struct search {
    const data *data;
    constants found;    /* [n] */
    double *objectives; /* [n] */
    int64_t first;      /* of the slice that runs now */
    uint64_t seed;      /* of the resampling */
    const double *from; /* where each resample starts */
    uint16_t *weights;  /* [n_threads][data->n] */
} search;

static void descend_starts(void *arg, int64_t begin, int64_t end, int thread_index) {
    search *s = arg;
    (void)thread_index;
    problem p = {.data = s->data};
    for (int64_t i = s->first + begin; i < s->first + end; i++) {
        start_at(s->data, (int)i, s->found[i]);
        s->objectives[i] = descend(&p, s->found[i]);
    }
}

static void descend_resamples(void *arg, int64_t begin, int64_t end, int thread_index) {
    search *s = arg;
    size_t n = s->data->n;
    problem p = {.data = s->data, .weights = s->weights + (size_t)thread_index * n};
    for (int64_t i = s->first + begin; i < s->first + end; i++) {
        uint16_t *weights = s->weights + (size_t)thread_index * n;
        mn_random rng;
        mn_random_seed(&rng, s->seed, (uint64_t)i);
        memset(weights, 0, n * sizeof *weights);
        for (size_t draw = 0; draw < n; draw++) weights[mn_random_below(&rng, (uint32_t)n)]++;
        memcpy(s->found[i], s->from, sizeof *s->found);
        s->objectives[i] = descend(&p, s->found[i]);
    }
}

/* Runs n minimisations in slices, so that the caller is told between them how far it is. */
static mn_status run_search(search *s, mn_pool *pool, mn_pool_fn *fn, const char *stage, int64_t n,
                            const mn_scaling_fit_options *options, mn_error *err) {
    for (s->first = 0; s->first < n; s->first += SLICE) {
        if (options->progress && !options->progress(options->progress_arg, stage, s->first, n))
            return mn_fail(err, MN_ERR_CANCELLED, "the fit was stopped after %lld of %lld searches.",
                           (long long)s->first, (long long)n);
        mn_pool_run(pool, MN_MIN(n - s->first, (int64_t)SLICE), 1, fn, s);
    }
    return MN_OK;
}

static mn_status find_best(search *s, mn_pool *pool, const mn_scaling_fit_options *options, mn_scaling_fit *out,
                           double best[N_CONSTANTS], mn_error *err) {
    MN_TRY(run_search(s, pool, descend_starts, "fitting", N_STARTS, options, err));
    int at = 0;
    for (int i = 1; i < N_STARTS; i++)
        if (s->objectives[i] < s->objectives[at]) at = i;
    memcpy(best, s->found[at], sizeof *s->found);
    out->law = law_of(s->data, best);
    out->objective = s->objectives[at];
    const mn_scaling_law *law = &out->law;
    if (isfinite(law->A) && isfinite(law->B) && law->alpha > 0 && law->beta > 0) return MN_OK;
    return mn_fail(err, MN_ERR_ARGUMENT,
                   "the %zu runs do not follow the law: the best fit has alpha %.3g and beta %.3g, where more size and "
                   "more text must both lower the loss.",
                   s->data->n, law->alpha, law->beta);
}

/* Welford's running variance of one constant over the resamples. */
static double spread(const search *s, int64_t n, double (*constant)(const mn_scaling_law *)) {
    double mean = 0, sum = 0;
    for (int64_t i = 0; i < n; i++) {
        mn_scaling_law law = law_of(s->data, s->found[i]);
        double value = constant(&law), step = value - mean;
        mean += step / (double)(i + 1);
        sum += step * (value - mean);
    }
    return sqrt(sum / (double)(n - 1));
}

static double get_e(const mn_scaling_law *law) { return law->E; }
static double get_a(const mn_scaling_law *law) { return law->A; }
static double get_b(const mn_scaling_law *law) { return law->B; }
static double get_alpha(const mn_scaling_law *law) { return law->alpha; }
static double get_beta(const mn_scaling_law *law) { return law->beta; }

static mn_status bootstrap(search *s, mn_pool *pool, const mn_scaling_fit_options *options, mn_scaling_fit *out,
                           mn_error *err) {
    int64_t n = options->n_bootstrap;
    MN_TRY(run_search(s, pool, descend_resamples, "resampling", n, options, err));
    out->n_bootstrap = options->n_bootstrap;
    out->se = (mn_scaling_law){.E = spread(s, n, get_e),
                               .A = spread(s, n, get_a),
                               .B = spread(s, n, get_b),
                               .alpha = spread(s, n, get_alpha),
                               .beta = spread(s, n, get_beta)};
    return MN_OK;
}

/* ---- the way in ---- */

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Numbers different values; values are sorted on return. */
static size_t count_different(double *values, size_t n) {
    qsort(values, n, sizeof *values, compare);
    size_t different = n > 0;
    for (size_t i = 1; i < n; i++) different += values[i] != values[i - 1];
    return different;
}

static mn_status check_runs(const mn_scaling_run *runs, size_t n, double *scratch, mn_error *err) {
    if (n < MIN_RUNS || n > UINT16_MAX)
        return mn_fail(err, MN_ERR_ARGUMENT, "%zu runs; a fit of five constants takes %d to %d.", n, MIN_RUNS,
                       UINT16_MAX);
    for (size_t i = 0; i < n; i++)
        if (!(runs[i].params > 0 && runs[i].tokens > 0 && runs[i].loss > 0) || !isfinite(runs[i].params) ||
            !isfinite(runs[i].tokens) || !isfinite(runs[i].loss))
            return mn_fail(err, MN_ERR_ARGUMENT,
                           "run %zu is %g params, %g tokens, loss %g; all must be above 0 and finite.", i + 1,
                           runs[i].params, runs[i].tokens, runs[i].loss);
    for (size_t i = 0; i < n; i++) scratch[i] = runs[i].params;
    size_t n_sizes = count_different(scratch, n);
    for (size_t i = 0; i < n; i++) scratch[i] = runs[i].tokens;
    size_t n_texts = count_different(scratch, n);
    if (n_sizes >= MIN_DIFFERENT && n_texts >= MIN_DIFFERENT) return MN_OK;
    return mn_fail(
        err, MN_ERR_ARGUMENT,
        "the runs have %zu different sizes and %zu different numbers of tokens; at least %d of each are needed "
        "to tell floor, scale and exponent apart.",
        n_sizes, n_texts, MIN_DIFFERENT);
}

static double take_logs(double *out, size_t n, const double *first, size_t stride) {
    double mean = 0;
    for (size_t i = 0; i < n; i++) mean += log(first[i * stride]) / (double)n;
    for (size_t i = 0; i < n; i++) out[i] = log(first[i * stride]) - mean;
    return mean;
}

/* memory holds 3 n doubles. */
static data prepare(const mn_scaling_run *runs, size_t n, double *memory) {
    data d = {.n = n, .log_params = memory, .log_tokens = memory + n, .log_loss = memory + 2 * n};
    size_t stride = sizeof *runs / sizeof(double);
    d.mean_log_params = take_logs(d.log_params, n, &runs->params, stride);
    d.mean_log_tokens = take_logs(d.log_tokens, n, &runs->tokens, stride);
    for (size_t i = 0; i < n; i++) d.log_loss[i] = log(runs[i].loss);
    return d;
}

static mn_status fit(search *s, mn_pool *pool, const mn_scaling_fit_options *options, mn_scaling_fit *out,
                     mn_error *err) {
    size_t n_searches = (size_t)MN_MAX(N_STARTS, options->n_bootstrap);
    s->found = malloc(n_searches * sizeof *s->found);
    s->objectives = malloc(n_searches * sizeof *s->objectives);
    s->weights = calloc((size_t)mn_pool_threads(pool) * s->data->n, sizeof *s->weights);
    double best[N_CONSTANTS];
    mn_status status = s->found && s->objectives && s->weights
                           ? find_best(s, pool, options, out, best, err)
                           : mn_fail(err, MN_ERR_MEMORY, "no memory for %zu searches.", n_searches);
    s->from = best;
    if (!status && options->n_bootstrap > 0) status = bootstrap(s, pool, options, out, err);
    free(s->found);
    free(s->objectives);
    free(s->weights);
    return status;
}

mn_status mn_scaling_fit_runs(const mn_scaling_run *runs, size_t n_runs, const mn_scaling_fit_options *options,
                              mn_scaling_fit *out, mn_error *err) {
    *out = (mn_scaling_fit){.n_runs = n_runs};
    if (options->n_bootstrap < 0 || options->n_bootstrap == 1 || options->n_bootstrap > 1000000)
        return mn_fail(err, MN_ERR_ARGUMENT, "%d resamples; take 2 to 1000000, or 0 for no standard errors.",
                       options->n_bootstrap);
    double *memory = calloc(MN_MAX(n_runs, (size_t)1), 3 * sizeof *memory);
    if (!memory) return mn_fail(err, MN_ERR_MEMORY, "no memory for %zu runs.", n_runs);
    mn_pool *pool = NULL;
    mn_status status = check_runs(runs, n_runs, memory, err);
    if (!status) status = mn_pool_create(options->n_threads, &pool, err);
    if (!status) {
        data d = prepare(runs, n_runs, memory);
        search s = {.data = &d, .seed = options->seed};
        status = fit(&s, pool, options, out, err);
    }
    mn_pool_destroy(pool);
    free(memory);
    return status;
}

double mn_scaling_fit_objective(const mn_scaling_law *law, const mn_scaling_run *runs, size_t n_runs) {
    double sum = 0, slope;
    for (size_t i = 0; i < n_runs; i++)
        sum += huber(log(mn_scaling_loss(law, runs[i].params, runs[i].tokens) / runs[i].loss), &slope);
    return sum;
}
