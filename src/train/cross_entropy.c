#include "train/cross_entropy.h"

#include "base/checked.h"
#include "kernels/kernels.h"
#include "kernels/matmul_backward.h"
#include "kernels/rows_backward.h"

#include <math.h>
#include <string.h>

enum { TILE_BYTES = 8 << 20, MIN_TILE_ROWS = 128, MAX_TILE_ROWS = 1024 };

/* A tile of rows that count, and the work of its threads. */
typedef struct tile {
    const mn_compute *c;
    const mn_cross_entropy *e;
    int64_t n_vocab, n_embd, n; /* n: rows of the tile */
    const int64_t *rows;
    float *x, *logits, *teacher, *d_x; /* [n, n_embd], [n, n_vocab] twice, [n, n_embd] */
    double *losses, *label_losses;     /* [n] */
    float *work;                       /* [n_threads, 3, n_vocab] */
} tile;

static float weight_of(const mn_cross_entropy *e, int64_t row) { return e->weights ? e->weights[row] : 1; }

static bool has_label(const mn_cross_entropy *e, int64_t row) { return e->labels && e->labels[row] >= 0; }

static mn_status list_rows(const mn_cross_entropy *e, int64_t *rows, int64_t *n, mn_error *err) {
    *n = 0;
    for (int64_t r = 0; r < e->n_rows; r++) {
        if (weight_of(e, r) == 0 || !(has_label(e, r) || e->teacher)) continue;
        if (has_label(e, r) && e->labels[r] >= e->w->ne[1])
            return mn_fail(err, MN_ERR_ARGUMENT, "label %d of row %lld is outside the vocabulary of %lld tokens.",
                           (int)e->labels[r], (long long)r, (long long)e->w->ne[1]);
        rows[(*n)++] = r;
    }
    return MN_OK;
}

static void gather(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const tile *t = arg;
    for (int64_t i = begin; i < end; i++)
        memcpy(t->x + i * t->n_embd, t->e->x + t->rows[i] * t->n_embd, (size_t)t->n_embd * sizeof *t->x);
}

static void scatter(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const tile *t = arg;
    for (int64_t i = begin; i < end; i++)
        memcpy(t->e->d_x + t->rows[i] * t->n_embd, t->d_x + i * t->n_embd, (size_t)t->n_embd * sizeof *t->x);
}

static void finish_logits(const tile *t, float *l) {
    const mn_cross_entropy *e = t->e;
    if (e->bias) t->c->kernels->vec.add(l, l, e->bias, t->n_vocab);
    for (int64_t i = 0; e->softcap > 0 && i < t->n_vocab; i++) l[i] = e->softcap * tanhf(l[i] / e->softcap);
}

/* -log p[label], and l becomes p - onehot. */
static double label_part(const tile *t, float *l, int32_t label) {
    double logit = (double)l[label], loss = t->c->kernels->vec_backward.log_sum_exp(l, t->n_vocab) - logit;
    l[label] -= 1;
    return loss;
}

/* Room of one thread: logits as they were, softmax(l / T), and how far the two are apart. */
typedef struct row_work {
    float *kept, *s, *apart;
} row_work;

/* KL(t || s), and teacher becomes s - t. */
static double teacher_part(const tile *t, float *teacher, const row_work *w) {
    const mn_vec_kernels *vec = &t->c->kernels->vec;
    const mn_vec_backward *backward = &t->c->kernels->vec_backward;
    int64_t n = t->n_vocab;
    float inverse = 1 / t->e->temperature;
    vec->scale(teacher, teacher, inverse, n);
    vec->scale(w->s, w->kept, inverse, n);
    vec->scale(w->apart, w->s, -1, n);
    vec->add(w->apart, w->apart, teacher, n);
    double loss = backward->log_sum_exp(w->s, n) - backward->log_sum_exp(teacher, n);
    loss += (double)vec->dot(teacher, w->apart, n);
    vec->scale(teacher, teacher, -1, n);
    vec->add(teacher, teacher, w->s, n);
    return loss;
}

/* Of the soft-cap's operand: its output is l. */
static void back_softcap(float *gradient, const float *l, float softcap, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        float capped = l[i] / softcap;
        gradient[i] *= (1 - capped) * (1 + capped);
    }
}

/* Logits of a row become their gradient. */
static void run_row(const tile *t, int64_t i, const row_work *w) {
    const mn_cross_entropy *e = t->e;
    const mn_vec_kernels *vec = &t->c->kernels->vec;
    int64_t n = t->n_vocab, row = t->rows[i];
    float *l = t->logits + i * n, weight = weight_of(e, row), share = e->teacher ? e->share : 0;
    finish_logits(t, l);
    if (e->teacher || e->softcap > 0) memcpy(w->kept, l, (size_t)n * sizeof *l);
    double label = 0, distilled = 0;
    if (has_label(e, row))
        label = label_part(t, l, e->labels[row]);
    else
        memset(l, 0, (size_t)n * sizeof *l);
    vec->scale(l, l, (1 - share) * weight * e->scale, n);
    if (e->teacher) {
        distilled = teacher_part(t, t->teacher + i * n, w);
        vec->axpy(l, t->teacher + i * n, share * e->temperature * weight * e->scale, n);
    }
    if (e->softcap > 0) back_softcap(l, w->kept, e->softcap, n);
    double square = (double)e->temperature * (double)e->temperature;
    t->label_losses[i] = (double)weight * (1 - (double)share) * label;
    t->losses[i] = t->label_losses[i] + (e->teacher ? (double)weight * (double)share * square * distilled : 0);
}

static void run_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    const tile *t = arg;
    row_work w = {.kept = t->work + thread_index * 3 * t->n_vocab};
    w.s = w.kept + t->n_vocab;
    w.apart = w.s + t->n_vocab;
    for (int64_t i = begin; i < end; i++) run_row(t, i, &w);
}

static mn_status back_tile(const tile *t, mn_error *err) {
    const mn_cross_entropy *e = t->e;
    if (e->d_bias) MN_TRY(mn_bias_backward(t->c, e->d_bias, t->logits, t->n_vocab, t->n, err));
    if (e->d_w)
        MN_TRY(mn_matmul_dw(t->c, e->d_w, t->logits, t->n_vocab, t->n_vocab, t->x, t->n_embd, t->n_embd, t->n, err));
    if (!e->d_x) return MN_OK;
    MN_TRY(mn_matmul_dx(t->c, t->d_x, t->n_embd, false, t->logits, t->n_vocab, t->n, e->w, err));
    mn_pool_run(t->c->pool, t->n, 16, scatter, (void *)(uintptr_t)t);
    return MN_OK;
}

static mn_status run_tile(const tile *t, mn_loss *loss, mn_error *err) {
    const mn_cross_entropy *e = t->e;
    mn_pool_run(t->c->pool, t->n, 16, gather, (void *)(uintptr_t)t);
    MN_TRY(mn_matmul_training(t->c, &(float *){t->logits}, &t->n_vocab, t->x, t->n_embd, t->n, &e->w, 1, err));
    if (e->teacher) MN_TRY(e->teacher(e->teacher_arg, t->rows, t->n, t->teacher, err));
    mn_pool_run(t->c->pool, t->n, 1, run_rows, (void *)(uintptr_t)t);
    for (int64_t i = 0; i < t->n && !mn_pool_is_dry(t->c->pool); i++) {
        loss->loss += t->losses[i];
        loss->label += t->label_losses[i];
        loss->weights += (double)weight_of(e, t->rows[i]);
    }
    loss->n_rows += t->n;
    return back_tile(t, err);
}

static int64_t tile_rows(int64_t n_vocab) {
    int64_t n = TILE_BYTES / (int64_t)sizeof(float) / n_vocab;
    return MN_MAX(MN_MIN(n, (int64_t)MAX_TILE_ROWS), (int64_t)MIN_TILE_ROWS);
}

static mn_status take_scratch(tile *t, int64_t n, mn_error *err) {
    mn_arena *scratch = t->c->scratch;
    size_t logits = (size_t)(n * t->n_vocab);
    t->x = mn_arena_alloc(scratch, 2 * (size_t)(n * t->n_embd), sizeof *t->x);
    t->logits = mn_arena_alloc(scratch, t->e->teacher ? 2 * logits : logits, sizeof *t->logits);
    t->losses = mn_arena_alloc(scratch, 2 * (size_t)n, sizeof *t->losses);
    t->work = mn_arena_alloc(scratch, (size_t)mn_pool_threads(t->c->pool) * 3 * (size_t)t->n_vocab, sizeof *t->work);
    if (!t->x || !t->logits || !t->losses || !t->work)
        return mn_fail(err, MN_ERR_MEMORY, "no memory for the logits of %lld tokens.", (long long)n);
    t->d_x = t->x + n * t->n_embd;
    t->teacher = t->logits + logits;
    t->label_losses = t->losses + n;
    return MN_OK;
}

static mn_status run(const mn_compute *c, const mn_cross_entropy *e, mn_loss *loss, mn_error *err) {
    tile t = {.c = c, .e = e, .n_vocab = e->w->ne[1], .n_embd = e->w->ne[0]};
    int64_t *rows = mn_arena_alloc(c->scratch, (size_t)e->n_rows, sizeof *rows), n_all;
    bool dry = mn_pool_is_dry(c->pool);
    if (!rows) return mn_fail(err, MN_ERR_MEMORY, "no memory for the labels of %lld tokens.", (long long)e->n_rows);
    MN_TRY(list_rows(e, rows, &n_all, err));
    if (dry) n_all = MN_MIN(e->n_rows, tile_rows(t.n_vocab)); /* a tile stands for all */
    int64_t most = MN_MIN(tile_rows(t.n_vocab), n_all);
    if (e->d_x && !dry) memset(e->d_x, 0, (size_t)(e->n_rows * t.n_embd) * sizeof *e->d_x);
    MN_TRY(take_scratch(&t, MN_MAX(most, INT64_C(1)), err));
    for (int64_t first = 0; first < n_all; first += most) {
        t.rows = rows + first;
        t.n = MN_MIN(most, n_all - first);
        MN_TRY(run_tile(&t, loss, err));
    }
    return MN_OK;
}

mn_status mn_cross_entropy_run(const mn_compute *c, const mn_cross_entropy *e, mn_loss *loss, mn_error *err) {
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    mn_status status = run(c, e, loss, err);
    mn_arena_rewind(c->scratch, mark);
    return status;
}
