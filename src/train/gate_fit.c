#include "train/gate_fit.h"

#include "base/checked.h"
#include "base/random.h"
#include "train/logistic.h"
#include "train/memory_heads.h"
#include "train/top_rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SEED = 1000003, MAX_BATCHES = 20000, STREAM_FIT = 78 };

/* Prose, tokenised once for all rounds. */
typedef struct prose_windows {
    int32_t *tokens, *documents; /* [n, n_ctx] */
    int64_t *n_tokens;           /* [n] */
    int64_t n, capacity, n_ctx, total;
} prose_windows;

/* The rows of one head's regression. */
typedef struct rows {
    float *x; /* [capacity, n] */
    float *targets, *weights;
    int64_t n_rows, capacity, n_positives;
    double *w;      /* [n] */
    double theta;   /* where the gate is to begin to write */
    int64_t n_over; /* tokens of prose above it, of the last search */
    uint8_t *taken; /* [prose tokens]: among the negatives already */
    mn_top_rows best;
    float *best_x; /* [best.capacity, n] */
} rows;

typedef struct fitting {
    const mn_gate_fit_config *config;
    mn_train_batch *b;
    mn_tape *t;
    const mn_model *model;
    int layer, n_heads, n_windows;
    int64_t n, n_embd, k_dim; /* features */
    rows *heads;              /* [n_heads] */
    float *row;               /* [n] */
    mn_random rng;
    prose_windows prose;
    int64_t at;             /* token of the prose that is visited */
    bool draws, keeps_best; /* of a search: prose is drawn into the negatives; the best are kept */
} fitting;

static mn_status no_memory(mn_error *err) { return mn_fail(err, MN_ERR_MEMORY, "no memory to fit write gates."); }

static bool is_fitted(const fitting *f, int head) { return mn_memory_writes(f->model, f->layer, head); }

static void make_row(const fitting *f, int head, const float *y, const float *k, float *x) {
    memcpy(x, y, (size_t)f->n_embd * sizeof *x);
    memcpy(x + f->n_embd, k + head * f->k_dim, (size_t)f->k_dim * sizeof *x);
    x[f->n - 1] = 1;
}

static void add_row(rows *r, const fitting *f, int head, const float *y, const float *k, bool positive) {
    if (r->n_rows == r->capacity) return;
    make_row(f, head, y, k, r->x + r->n_rows * f->n);
    r->targets[r->n_rows] = positive;
    r->weights[r->n_rows++] = positive ? (float)f->config->weight : 1;
    r->n_positives += positive;
}

/* What a token is in the fit: of ordinary text only some are taken, of the needles' sentences and questions all. */
static void take_needle_token(void *arg, const mn_train_window *w, int64_t i, const float *y, const float *k) {
    fitting *f = arg;
    uint8_t role = w->roles[i];
    bool positive = role == MN_ROLE_NEEDLE_VALUE;
    if (role == MN_ROLE_VALUE || role == MN_ROLE_PROMPT) return;
    if (role == MN_ROLE_TEXT && mn_random_below(&f->rng, 16)) return;
    for (int h = 0; h < f->n_heads; h++) {
        rows *r = &f->heads[h];
        bool wanted =
            positive ? r->n_positives < f->config->positives : r->n_rows - r->n_positives < f->config->negatives;
        if (wanted && is_fitted(f, h)) add_row(r, f, h, y, k, positive);
    }
}

static int64_t n_positives(const fitting *f) {
    int64_t most = 0;
    for (int h = 0; h < f->n_heads; h++) most = MN_MAX(most, f->heads[h].n_positives);
    return most;
}

static mn_status collect_needles(fitting *f, const mn_dataset *needles, mn_error *err) {
    mn_dataset drawn = *needles;
    mn_dataset_cursor cursor = {.source = -1};
    drawn.seed += SEED;
    for (int i = 0; i < MAX_BATCHES && n_positives(f) < f->config->positives; i++) {
        MN_TRY(mn_train_batch_fill(f->b, &drawn, &cursor, f->n_windows, err));
        MN_TRY(mn_train_batch_visit_keys(f->b, 0, f->b->n_windows, f->layer, f->t, take_needle_token, f, err));
        if (i == 200 && n_positives(f) == 0) break;
    }
    if (n_positives(f) >= 10) return MN_OK;
    return mn_fail(err, MN_ERR_ARGUMENT,
                   "the sources hold %lld values of needles, too few to fit a write gate to; add a source with "
                   "needles = passkey or key-value.",
                   (long long)n_positives(f));
}

static int64_t prose_capacity(const mn_gate_fit_config *c, int64_t n_ctx, int n_windows) {
    return c->tokens / n_ctx + n_windows + 1;
}

static mn_status read_prose(fitting *f, const mn_dataset *texts, mn_error *err) {
    prose_windows *p = &f->prose;
    mn_dataset drawn = *texts;
    mn_dataset_cursor cursor = {.source = -1};
    drawn.seed += SEED;
    p->n_ctx = f->b->n_ctx;
    p->capacity = prose_capacity(f->config, p->n_ctx, f->n_windows);
    p->tokens = calloc((size_t)(p->capacity * p->n_ctx), sizeof *p->tokens);
    p->documents = calloc((size_t)(p->capacity * p->n_ctx), sizeof *p->documents);
    p->n_tokens = calloc((size_t)p->capacity, sizeof *p->n_tokens);
    if (!p->tokens || !p->documents || !p->n_tokens) return no_memory(err);
    while (p->total < f->config->tokens && p->n + f->n_windows <= p->capacity) {
        MN_TRY(mn_train_batch_fill(f->b, &drawn, &cursor, f->n_windows, err));
        for (int w = 0; w < f->b->n_windows; w++, p->n++) {
            const mn_train_window *x = &f->b->windows[w];
            memcpy(p->tokens + p->n * p->n_ctx, x->tokens, (size_t)p->n_ctx * sizeof *x->tokens);
            memcpy(p->documents + p->n * p->n_ctx, x->document, (size_t)p->n_ctx * sizeof *x->document);
            p->n_tokens[p->n] = x->n_tokens;
            p->total += x->n_tokens;
        }
    }
    return MN_OK;
}

static float logit(const rows *r, const float *x, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += r->w[i] * (double)x[i];
    return (float)sum;
}

/* One token of prose: counted where the gate writes it, kept where it is among the best, perhaps drawn. */
static void look_at_prose(void *arg, const mn_train_window *w, int64_t i, const float *y, const float *k) {
    fitting *f = arg;
    int64_t token = f->at++;
    bool drawn = f->draws && mn_random_double(&f->rng) * (double)f->prose.total < (double)f->config->prose;
    float *x = f->row;
    (void)w, (void)i;
    for (int h = 0; h < f->n_heads; h++) {
        rows *r = &f->heads[h];
        if (!is_fitted(f, h)) continue;
        make_row(f, h, y, k, x);
        float z = logit(r, x, f->n);
        r->n_over += (double)z > r->theta;
        if (r->taken[token]) continue;
        if (drawn) add_row(r, f, h, y, k, false);
        r->taken[token] = drawn;
        int64_t slot = f->keeps_best && !drawn ? mn_top_rows_offer(&r->best, z, token) : -1;
        if (slot >= 0) memcpy(r->best_x + slot * f->n, x, (size_t)f->n * sizeof *x);
    }
}

static mn_status search(fitting *f, mn_error *err) {
    const prose_windows *p = &f->prose;
    f->at = 0;
    for (int h = 0; h < f->n_heads; h++) f->heads[h].n_over = f->heads[h].best.n = 0;
    for (int64_t first = 0; first < p->n; first += f->n_windows) {
        int n = (int)MN_MIN(f->n_windows, p->n - first);
        for (int w = 0; w < n; w++) {
            mn_train_window *x = &f->b->windows[w];
            memcpy(x->tokens, p->tokens + (first + w) * p->n_ctx, (size_t)p->n_ctx * sizeof *x->tokens);
            memcpy(x->document, p->documents + (first + w) * p->n_ctx, (size_t)p->n_ctx * sizeof *x->document);
            x->n_tokens = p->n_tokens[first + w];
        }
        MN_TRY(mn_train_batch_visit_keys(f->b, 0, n, f->layer, f->t, look_at_prose, f, err));
    }
    return MN_OK;
}

static int by_size(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The logit that `recall` of the positives reach; a little below the one that is reached, so that it still is. */
static mn_status set_theta(const fitting *f, rows *r, mn_error *err) {
    float *z = malloc((size_t)r->n_positives * sizeof *z);
    int64_t n = 0;
    if (!z) return no_memory(err);
    for (int64_t i = 0; i < r->n_rows && n < r->n_positives; i++)
        if (r->targets[i] > 0) z[n++] = logit(r, r->x + i * f->n, f->n);
    qsort(z, (size_t)n, sizeof *z, by_size);
    int64_t missed = (int64_t)((1 - f->config->recall) * (double)n);
    r->theta = (double)z[MN_MIN(missed, n - 1)] - 1e-3;
    free(z);
    return MN_OK;
}

static mn_status fit_heads(fitting *f, mn_error *err) {
    for (int h = 0; h < f->n_heads; h++) {
        rows *r = &f->heads[h];
        mn_logistic d = {r->n_rows, f->n, r->x, r->targets, r->weights, f->config->l2};
        if (!is_fitted(f, h)) continue;
        MN_TRY(mn_logistic_fit(f->t->compute, &d, r->w, err));
        MN_TRY(set_theta(f, r, err));
    }
    return MN_OK;
}

static void add_mined(fitting *f) {
    for (int h = 0; h < f->n_heads; h++) {
        rows *r = &f->heads[h];
        for (int64_t i = 0; i < r->best.n && r->n_rows < r->capacity; i++) {
            memcpy(r->x + r->n_rows * f->n, r->best_x + r->best.rows[i].slot * f->n, (size_t)f->n * sizeof *r->x);
            r->targets[r->n_rows] = 0;
            r->weights[r->n_rows++] = 1;
            r->taken[r->best.rows[i].id] = 1;
        }
    }
}

static mn_status open_rows(const fitting *f, rows *r, mn_error *err) {
    const mn_gate_fit_config *c = f->config;
    r->capacity = c->positives + c->negatives + 2 * c->prose + c->rounds * c->mined;
    r->x = calloc((size_t)(r->capacity * f->n), sizeof *r->x);
    r->targets = calloc((size_t)r->capacity, sizeof *r->targets);
    r->weights = calloc((size_t)r->capacity, sizeof *r->weights);
    r->w = calloc((size_t)f->n, sizeof *r->w);
    r->taken = calloc((size_t)f->prose.total + 1, 1);
    r->best_x = calloc((size_t)(c->mined * f->n) + 1, sizeof *r->best_x);
    if (!r->x || !r->targets || !r->weights || !r->w || !r->taken || !r->best_x) return no_memory(err);
    return mn_top_rows_open(c->mined, &r->best, err);
}

static void close_rows(rows *r) {
    free(r->x);
    free(r->targets);
    free(r->weights);
    free(r->w);
    free(r->taken);
    free(r->best_x);
    mn_top_rows_close(&r->best);
}

/* The gate of a head from its fit: sharpen (z - theta). The weights are memory of the training's own. */
static void set_gate(const fitting *f, int head) {
    const mn_layer *w = &f->model->weights.layers[f->layer];
    const rows *r = &f->heads[head];
    float *from_y = (float *)(uintptr_t)w->infini_write.w.data + head * f->n_embd;
    float *from_k = (float *)(uintptr_t)w->infini_write_k + head * f->k_dim;
    float *bias = (float *)(uintptr_t)w->infini_write.b;
    for (int64_t i = 0; i < f->n_embd; i++) from_y[i] = (float)(f->config->sharpen * r->w[i]);
    for (int64_t i = 0; i < f->k_dim; i++) from_k[i] = (float)(f->config->sharpen * r->w[f->n_embd + i]);
    bias[head] = (float)(f->config->sharpen * (r->w[f->n - 1] - r->theta));
}

static void report(const fitting *f, int head, mn_gate_fit_report *out) {
    const rows *r = &f->heads[head];
    int64_t written = 0;
    for (int64_t i = 0; i < r->n_rows; i++)
        written += r->targets[i] > 0 && (double)logit(r, r->x + i * f->n, f->n) > r->theta;
    *out = (mn_gate_fit_report){f->layer,
                                head,
                                r->n_positives,
                                r->n_rows - r->n_positives,
                                f->prose.total,
                                (double)written / (double)r->n_positives,
                                1e6 * (double)r->n_over / (double)f->prose.total};
}

static mn_status fit_layer(fitting *f, const mn_dataset *needles, mn_gate_fit_report *reports, int *n, mn_error *err) {
    for (int h = 0; h < f->n_heads; h++) MN_TRY(open_rows(f, &f->heads[h], err));
    MN_TRY(collect_needles(f, needles, err));
    MN_TRY(fit_heads(f, err));
    for (int64_t round = 0; round <= f->config->rounds; round++) {
        f->draws = round == 0;
        f->keeps_best = round < f->config->rounds;
        MN_TRY(search(f, err));
        if (!f->keeps_best) break; /* the last search counts what the last fit writes */
        add_mined(f);
        MN_TRY(fit_heads(f, err));
    }
    for (int h = 0; h < f->n_heads; h++) {
        if (!is_fitted(f, h)) continue;
        set_gate(f, h);
        report(f, h, &reports[(*n)++]);
    }
    return MN_OK;
}

static mn_status fit_all(fitting *f, const mn_dataset *needles, const mn_dataset *prose, mn_gate_fit_report *reports,
                         int *n, mn_error *err) {
    mn_status status = read_prose(f, prose, err);
    for (int layer = 0; status == MN_OK && layer < f->model->config.n_layers; layer++) {
        const mn_layer_shape *l = &f->model->config.layers[layer];
        bool any = false;
        f->layer = layer;
        f->n_heads = l->n_kv_heads;
        for (int h = 0; h < f->n_heads; h++) any |= is_fitted(f, h);
        if (!any) continue;
        f->n_embd = f->model->config.n_embd;
        f->k_dim = l->head_dim_k;
        f->n = f->n_embd + f->k_dim + 1;
        f->heads = calloc((size_t)f->n_heads, sizeof *f->heads);
        f->row = calloc((size_t)f->n, sizeof *f->row);
        status = f->heads && f->row ? fit_layer(f, needles, reports, n, err) : no_memory(err);
        for (int h = 0; f->heads && h < f->n_heads; h++) close_rows(&f->heads[h]);
        free(f->heads);
        free(f->row);
    }
    return status;
}

mn_status mn_gate_fit(const mn_gate_fit_config *config, const mn_dataset *needles, const mn_dataset *prose,
                      mn_train_batch *b, int n_windows, mn_tape *t, mn_gate_fit_report *reports, int *n,
                      mn_error *err) {
    fitting f = {.config = config, .b = b, .t = t, .model = b->model, .n_windows = n_windows};
    *n = 0;
    mn_random_seed(&f.rng, needles->seed, STREAM_FIT);
    mn_status status = fit_all(&f, needles, prose, reports, n, err);
    free(f.prose.tokens);
    free(f.prose.documents);
    free(f.prose.n_tokens);
    return status;
}

/* Of n features. As many tokens of prose as are wanted are drawn, more or less; rows that stay empty are not touched.
 */
static size_t rows_bytes(const mn_gate_fit_config *c, int64_t n) {
    int64_t n_rows = c->positives + c->negatives + c->prose + c->rounds * c->mined;
    return (size_t)(n_rows * (n + 2) + c->mined * n) * sizeof(float) + (size_t)n * sizeof(double) + (size_t)c->tokens +
           (size_t)c->mined * sizeof(mn_top_row);
}

size_t mn_gate_fit_bytes(const mn_gate_fit_config *c, const mn_model *m, int64_t n_ctx, int n_windows) {
    size_t most = 0, windows = (size_t)prose_capacity(c, n_ctx, n_windows);
    for (int layer = 0; layer < m->config.n_layers; layer++) {
        const mn_layer_shape *l = &m->config.layers[layer];
        size_t bytes = 0;
        for (int h = 0; h < l->n_kv_heads; h++)
            if (mn_memory_writes(m, layer, h)) bytes += rows_bytes(c, m->config.n_embd + l->head_dim_k + 1);
        most = MN_MAX(most, bytes);
    }
    return most + windows * ((size_t)n_ctx * 2 * sizeof(int32_t) + sizeof(int64_t));
}
