/* Searches prose for the tokens that write gates like best. */
#include "train/memory_lessons.h"

#include "base/checked.h"
#include "train/memory_heads.h"
#include "train/top_rows.h"

#include <math.h>
#include <string.h>

typedef struct search {
    const mn_model *model;
    int layer;
    mn_memory_pool *pool;
    mn_top_rows best;
    int64_t n_seen;
} search;

static double dot(const float *a, const float *b, int64_t n) {
    float sum[8] = {0};
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int k = 0; k < 8; k++) sum[k] += a[i + k] * b[i + k];
    for (; i < n; i++) sum[0] += a[i] * b[i];
    return (double)(((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7])));
}

/* The logit of a head's write gate. */
static double logit(const mn_model *m, int layer, int head, const float *y, const float *k) {
    const mn_layer *w = &m->weights.layers[layer];
    int64_t n = m->config.n_embd, k_dim = m->config.layers[layer].head_dim_k;
    double bias = w->infini_write.b ? (double)w->infini_write.b[head] : 0;
    return bias + dot((const float *)w->infini_write.w.data + head * n, y, n) +
           dot(w->infini_write_k + head * k_dim, k + head * k_dim, k_dim);
}

static void look(void *arg, const mn_train_window *window, int64_t i, const float *y, const float *k) {
    search *s = arg;
    int64_t context = s->pool->context;
    double best = -INFINITY;
    if (i - window->document[i] < context - 1) return;
    for (int h = 0; h < s->model->config.layers[s->layer].n_kv_heads; h++)
        if (mn_memory_writes(s->model, s->layer, h)) best = MN_MAX(best, logit(s->model, s->layer, h, y, k));
    int64_t slot = mn_top_rows_offer(&s->best, (float)best, s->n_seen++);
    if (slot >= 0)
        memcpy(s->pool->tokens + slot * context, window->tokens + i - (context - 1), (size_t)context * sizeof(int32_t));
}

static mn_status search_all(search *s, const mn_dataset *prose, int64_t n_tokens, mn_train_batch *b, int n_windows,
                            mn_tape *t, mn_error *err) {
    mn_dataset_cursor cursor = {.source = -1};
    for (int64_t done = 0; done < n_tokens; done += b->n_tokens) {
        MN_TRY(mn_train_batch_fill(b, prose, &cursor, n_windows, err));
        for (s->layer = 0; s->layer < s->model->config.n_layers; s->layer++)
            if (mn_memory_layer_is_alive(s->model, s->layer))
                MN_TRY(mn_train_batch_visit_keys(b, 0, b->n_windows, s->layer, t, look, s, err));
    }
    return MN_OK;
}

mn_status mn_memory_mine(mn_memory_lessons *l, const mn_dataset *prose, mn_train_batch *b, int n_windows, mn_tape *t,
                         mn_error *err) {
    mn_dataset drawn = *prose;
    search s = {.model = b->model, .pool = &l->pool};
    drawn.seed += (uint64_t)l->step;
    MN_TRY(mn_top_rows_open(l->pool.size, &s.best, err));
    mn_status status = search_all(&s, &drawn, l->config->mine_tokens, b, n_windows, t, err);
    l->pool.n = s.best.n;
    mn_top_rows_close(&s.best);
    return status;
}
