#include "eval/routers.h"

#include "base/checked.h"
#include "base/clock.h"
#include "base/random.h"
#include "eval/perplexity.h"
#include "session/session.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N_DECODED = 64, N_SEARCHES = 8, MAX_REPEATS = 64 };

static const char *const names[MN_WAY_COUNT] = {"large", "small", "learned", "random", "every", "late", "oracle"};
const char *mn_router_way_name(mn_router_way way) { return names[way]; }

int mn_routers_n_results(const mn_routers_params *p) { return 2 + p->n_shares * (MN_WAY_COUNT - MN_WAY_LEARNED); }

/* Lists of a whole text go window by window, in each layer by layer. */
typedef struct comparison {
    mn_session *s;
    const mn_routers_params *p;
    const int32_t *tokens;
    int n_layers, n_vocab;
    int64_t n_pairs;  /* of a window: n_layers * window */
    uint8_t *choices; /* [n_windows][n_pairs] */
    float *scores;    /* the same */
    float *costs;     /* the same; of the oracle */
    float *sorted;    /* room for as many */
    float *losses[2]; /* [n_windows][window]: with large MLPs; of the run under way */
    uint8_t *want;    /* [window] */
    int64_t n_small;  /* pairs of the run under way */
    mn_progress_fn *progress;
    void *progress_arg;
    int64_t done, total; /* runs over the text */
} comparison;

typedef struct scoring {
    const comparison *c;
    const int32_t *tokens; /* of the window */
    float *losses;
} scoring;

static void note_loss(void *arg, int64_t index, const float *logits) {
    const scoring *s = arg;
    if (index + 1 < s->c->p->window)
        s->losses[index] = (float)mn_token_loss(logits, s->c->n_vocab, s->tokens[index + 1]);
}

/* Pairs that took small MLPs since the session was opened. */
static int64_t count_small(const comparison *c) {
    int64_t n = 0;
    for (int layer = 0; layer < c->n_layers; layer++)
        for (int decode = 0; decode < 2; decode++) {
            mn_router_figures f;
            mn_session_router(c->s, layer, decode, &f);
            n += f.n_small;
        }
    return n;
}

/* Sends a window's tokens as choices say (NULL: as the router does). */
static void lead(const comparison *c, int64_t w, const uint8_t *choices, double threshold) {
    mn_easy *easy = &c->s->sequence.easy;
    easy->threshold = (float)threshold;
    easy->choices = choices ? choices + w * c->n_pairs : NULL;
    easy->scores = c->scores + w * c->n_pairs;
    easy->n_choices = c->p->window;
}

/* One run over the text. losses [n_windows][window]; *nats their mean. */
static mn_status run(comparison *c, const uint8_t *choices, double threshold, float *losses, double *nats,
                     mn_error *err) {
    int64_t window = c->p->window, before = count_small(c);
    double sum = 0;
    for (int64_t w = 0; w < c->p->n_windows; w++) {
        scoring s = {c, c->tokens + w * window, losses + w * window};
        lead(c, w, choices, threshold);
        MN_TRY(mn_session_rewind(c->s, 0, err));
        MN_TRY(mn_session_extend(c->s, s.tokens, window, c->want, note_loss, NULL, &s, err));
        for (int64_t t = 0; t + 1 < window; t++) sum += (double)s.losses[t];
    }
    c->n_small = count_small(c) - before;
    *nats = sum / (double)(c->p->n_windows * (window - 1));
    if (c->progress && !c->progress(c->progress_arg, ++c->done, c->total))
        return mn_fail(err, MN_ERR_CANCELLED, "stopped after %lld of %lld runs over the text.", (long long)c->done,
                       (long long)c->total);
    return MN_OK;
}

static int ascending(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

/* The value below which `share` of x [all pairs] lies. */
static float quantile(const comparison *c, const float *x, double share) {
    int64_t n = c->n_pairs * c->p->n_windows;
    memcpy(c->sorted, x, (size_t)n * sizeof *x);
    qsort(c->sorted, (size_t)n, sizeof *c->sorted, ascending);
    return c->sorted[MN_MAX(0, MN_MIN((int64_t)(share * (double)n), n - 1))];
}

/* What every pair's small MLP costs: a layer at a time. */
static mn_status find_costs(comparison *c, mn_error *err) {
    int64_t window = c->p->window, n = c->p->n_windows;
    double nats;
    for (int layer = 0; layer < c->n_layers; layer++) {
        memset(c->choices, MN_BIG, (size_t)(n * c->n_pairs));
        for (int64_t w = 0; w < n; w++) memset(c->choices + w * c->n_pairs + layer * window, MN_SMALL, (size_t)window);
        MN_TRY(run(c, c->choices, 1, c->losses[1], &nats, err));
        for (int64_t w = 0; w < n; w++)
            for (int64_t t = 0; t < window; t++)
                c->costs[w * c->n_pairs + layer * window + t] =
                    c->losses[1][w * window + t] - c->losses[0][w * window + t];
    }
    return MN_OK;
}

static double sigmoid(double z) { return 1 / (1 + exp(-z)); }

/* The threshold at which the routers give the share: scores move with it, for a layer's input depends on the layers
 * before. */
static mn_status search_threshold(comparison *c, double share, mn_routers_result *out, mn_error *err) {
    int64_t n = c->n_pairs * c->p->n_windows;
    double low = -40, high = 40, z = (double)quantile(c, c->scores, 1 - share);
    for (int i = 0; i < N_SEARCHES; i++) {
        out->threshold = sigmoid(z);
        MN_TRY(run(c, NULL, out->threshold, c->losses[1], &out->nats, err));
        out->share = (double)c->n_small / (double)n;
        if (fabs(out->share - share) < 2e-3) break;
        *(out->share > share ? &low : &high) = z;
        z = (double)quantile(c, c->scores, 1 - share);
        if (z <= low || z >= high) z = (fmax(low, -20) + fmin(high, 20)) / 2;
    }
    return MN_OK;
}

/* Choices of all pairs for a way and a share. */
static void choose(const comparison *c, mn_router_way way, double share) {
    int64_t window = c->p->window;
    float cut = way == MN_WAY_ORACLE ? quantile(c, c->costs, share) : 0;
    mn_random rng;
    mn_random_seed(&rng, c->p->seed, 17);
    for (int64_t i = 0; i < c->p->n_windows * c->n_pairs; i++) {
        int64_t t = i % window;
        bool small = way == MN_WAY_SMALL;
        if (way == MN_WAY_RANDOM) small = mn_random_double(&rng) < share;
        if (way == MN_WAY_EVERY) small = floor((double)(t + 1) * share) > floor((double)t * share);
        if (way == MN_WAY_LATE) small = (double)t >= (1 - share) * (double)window;
        if (way == MN_WAY_ORACLE) small = c->costs[i] < cut;
        c->choices[i] = small ? MN_SMALL : MN_BIG;
    }
}

static mn_status measure_loss(comparison *c, mn_routers_result *r, mn_error *err) {
    if (r->way == MN_WAY_LEARNED) return search_threshold(c, r->wanted, r, err);
    choose(c, r->way, r->wanted);
    MN_TRY(run(c, c->choices, 1, c->losses[r->way == MN_WAY_LARGE ? 0 : 1], &r->nats, err));
    r->share = (double)c->n_small / (double)(c->n_pairs * c->p->n_windows);
    return MN_OK;
}

static double mlp_seconds(const comparison *c, bool decode) {
    double sum = 0;
    for (int layer = 0; layer < c->n_layers; layer++) {
        mn_router_figures f;
        mn_session_router(c->s, layer, decode, &f);
        sum += f.big_s + f.small_s + f.router_s;
    }
    return sum;
}

/* Times of one repeat: whole, and in MLPs. */
typedef struct times {
    double whole[2], mlp[2]; /* prefill, decode */
} times;

/* The first window, its last tokens one by one. */
static mn_status time_once(comparison *c, const mn_routers_result *r, times *out, mn_error *err) {
    int64_t n_prompt = c->p->window - N_DECODED;
    if (r->way != MN_WAY_LEARNED) choose(c, r->way, r->wanted);
    lead(c, 0, r->way == MN_WAY_LEARNED ? NULL : c->choices, r->threshold);
    MN_TRY(mn_session_rewind(c->s, 0, err));
    double mlp = mlp_seconds(c, false), began = mn_clock_seconds();
    MN_TRY(mn_session_extend(c->s, c->tokens, n_prompt, NULL, NULL, NULL, NULL, err));
    out->whole[0] = (mn_clock_seconds() - began) / (double)n_prompt;
    out->mlp[0] = (mlp_seconds(c, false) - mlp) / (double)n_prompt;
    mlp = mlp_seconds(c, true);
    began = mn_clock_seconds();
    for (int64_t t = n_prompt; t < c->p->window; t++)
        MN_TRY(mn_session_extend(c->s, c->tokens + t, 1, NULL, NULL, NULL, NULL, err));
    out->whole[1] = (mn_clock_seconds() - began) / N_DECODED;
    out->mlp[1] = (mlp_seconds(c, true) - mlp) / N_DECODED;
    return MN_OK;
}

/* In turns, so that what else the machine does falls on all alike, and the fastest: it only adds. t [n_repeats][n]. */
static mn_status time_all(comparison *c, mn_routers_result *results, int n, times *t, mn_error *err) {
    for (int k = -1; k < c->p->n_repeats; k++) /* the first warms up */
        for (int i = 0; i < n; i++) MN_TRY(time_once(c, &results[i], &t[MN_MAX(k, 0) * n + i], err));
    for (int i = 0; i < n; i++)
        for (int decode = 0; decode < 2; decode++) {
            double whole = INFINITY, mlp = INFINITY;
            for (int k = 0; k < c->p->n_repeats; k++) {
                whole = fmin(whole, t[k * n + i].whole[decode]);
                mlp = fmin(mlp, t[k * n + i].mlp[decode]);
            }
            *(decode ? &results[i].decode : &results[i].prefill) = (mn_routers_speed){1 / whole, mlp};
        }
    return MN_OK;
}

static mn_status time_results(comparison *c, mn_routers_result *results, int n, mn_error *err) {
    if (c->p->n_repeats == 0) return MN_OK;
    times *t = calloc((size_t)(c->p->n_repeats * n), sizeof *t);
    if (!t) return mn_fail(err, MN_ERR_MEMORY, "no memory for %d measurements.", c->p->n_repeats * n);
    mn_status status = time_all(c, results, n, t, err);
    free(t);
    return status;
}

static mn_status compare(comparison *c, mn_routers_result *out, mn_error *err) {
    int n = 0;
    out[n++] = (mn_routers_result){.way = MN_WAY_LARGE};
    out[n++] = (mn_routers_result){.way = MN_WAY_SMALL, .wanted = 1};
    for (int i = 0; i < c->p->n_shares; i++)
        for (int way = MN_WAY_LEARNED; way < MN_WAY_COUNT; way++)
            out[n++] = (mn_routers_result){.way = (mn_router_way)way, .wanted = c->p->shares[i]};
    for (int i = 0; i < n; i++) {
        MN_TRY(measure_loss(c, &out[i], err));
        if (out[i].way == MN_WAY_LARGE) MN_TRY(find_costs(c, err));
    }
    return time_results(c, out, n, err);
}

static mn_status check(const mn_session *s, const mn_routers_params *p, int64_t n, mn_error *err) {
    const mn_config *c = &s->engine->model.config;
    for (int i = 0; i < c->n_layers; i++)
        if (!c->layers[i].n_ff_small)
            return mn_fail(err, MN_ERR_UNSUPPORTED,
                           "layer %d has no small MLP; ways to choose between two are compared where every layer has "
                           "both.",
                           i);
    if (p->window <= N_DECODED || p->window > mn_session_n_ctx(s))
        return mn_fail(err, MN_ERR_ARGUMENT, "a window of %lld tokens is outside %d to the session's %lld.",
                       (long long)p->window, N_DECODED + 1, (long long)mn_session_n_ctx(s));
    if (p->n_windows < 1 || n / p->window < p->n_windows)
        return mn_fail(err, MN_ERR_ARGUMENT, "a text of %lld tokens is too short for %lld windows of %lld.",
                       (long long)n, (long long)p->n_windows, (long long)p->window);
    for (int i = 0; i < p->n_shares; i++)
        if (!(p->shares[i] > 0 && p->shares[i] < 1))
            return mn_fail(err, MN_ERR_ARGUMENT, "a share of %g is outside 0 to 1.", p->shares[i]);
    return p->n_shares <= MN_ROUTERS_MAX_SHARES && p->n_repeats >= 0 && p->n_repeats <= MAX_REPEATS
               ? MN_OK
               : mn_fail(err, MN_ERR_ARGUMENT, "more than %d shares or %d repeats.", MN_ROUTERS_MAX_SHARES,
                         MAX_REPEATS);
}

static mn_status open_lists(comparison *c, mn_error *err) {
    size_t n = (size_t)(c->p->n_windows * c->n_pairs), m = (size_t)(c->p->n_windows * c->p->window);
    c->choices = calloc(n, 1);
    c->scores = calloc(n, sizeof *c->scores);
    c->costs = calloc(n, sizeof *c->costs);
    c->sorted = calloc(n, sizeof *c->sorted);
    c->losses[0] = calloc(m, sizeof(float));
    c->losses[1] = calloc(m, sizeof(float));
    c->want = malloc((size_t)c->p->window);
    if (!c->choices || !c->scores || !c->costs || !c->sorted || !c->losses[0] || !c->losses[1] || !c->want)
        return mn_fail(err, MN_ERR_MEMORY, "no memory for %zu choices; use fewer windows.", n);
    memset(c->want, 1, (size_t)c->p->window);
    return MN_OK;
}

static void close_lists(comparison *c) {
    mn_easy *easy = &c->s->sequence.easy;
    easy->choices = NULL;
    easy->scores = NULL;
    easy->n_choices = 0;
    easy->threshold = c->s->engine->model.config.easy_threshold;
    free(c->choices);
    free(c->scores);
    free(c->costs);
    free(c->sorted);
    free(c->losses[0]);
    free(c->losses[1]);
    free(c->want);
}

mn_status mn_routers_compare(mn_session *session, const mn_routers_params *p, const int32_t *tokens, int64_t n,
                             mn_progress_fn *progress, void *arg, mn_routers_result *out, mn_error *err) {
    MN_TRY(check(session, p, n, err));
    const mn_config *config = &session->engine->model.config;
    comparison c = {.s = session,
                    .p = p,
                    .tokens = tokens,
                    .n_layers = config->n_layers,
                    .n_vocab = config->n_vocab,
                    .n_pairs = config->n_layers * p->window,
                    .progress = progress,
                    .progress_arg = arg,
                    .total = 2 + config->n_layers + p->n_shares * (4 + N_SEARCHES)};
    mn_status status = open_lists(&c, err);
    if (status == MN_OK) status = compare(&c, out, err);
    if (status == MN_OK) status = mn_session_rewind(session, 0, err);
    close_lists(&c);
    return status;
}
