#include "model/nonfinite.h"

#include "base/checked.h"
#include "tensor/dtype.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHECKED_VALUES = 1 << 12 };

/* By the bits of the exponent: a comparison of numbers would stop the compiler from taking many at once. */
bool mn_is_finite(const float *x, int64_t n) {
    uint32_t none = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        none |= (uint32_t)((bits & 0x7f800000u) == 0x7f800000u);
    }
    return !none;
}

/* The index of the first value that is no number, -1 when all are. */
static int64_t find_in(const float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (!mn_is_finite(x + i, 1)) return i;
    return -1;
}

typedef struct search {
    const mn_model *model;
    int64_t *first; /* [the file's tensors], as mn_find_nonfinite */
} search;

/* Tensors are whole blocks, and CHECKED_VALUES is a multiple of every block. */
int64_t mn_find_nonfinite(const mn_tensor *t) {
    float values[CHECKED_VALUES];
    int64_t n = t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
    for (int64_t at = 0; at < n; at += CHECKED_VALUES) {
        int64_t part = MN_MIN(n - at, (int64_t)CHECKED_VALUES);
        mn_to_f32(t->type, (const char *)t->data + mn_dtype_row_bytes(t->type, at), values, part);
        if (!mn_is_finite(values, part)) return at + find_in(values, part);
    }
    return -1;
}

static void search_tensors(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const search *s = arg;
    for (int64_t i = begin; i < end; i++)
        s->first[i] = s->model->weights.is_bound[i] ? mn_find_nonfinite(mn_gguf_tensor_at(s->model->gguf, i)) : -1;
}

static mn_status fail_tensor(const mn_model *m, const mn_tensor *t, int64_t at, mn_error *err) {
    char where[32] = "";
    int layer;
    int64_t n = t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
    if (sscanf(t->name, "blk.%d.", &layer) == 1) snprintf(where, sizeof where, " of layer %d", layer);
    return mn_fail(err, MN_ERR_FORMAT,
                   "%s: tensor %s%s holds NaN or infinity (value %lld of %lld), so that no logits can be computed; the "
                   "file is damaged, download or convert it again.",
                   mn_gguf_path(m->gguf), t->name, where, (long long)at + 1, (long long)n);
}

/* MN_OK when all weights are numbers. */
static mn_status search_weights(const mn_model *m, mn_pool *pool, mn_error *err) {
    int64_t n = mn_gguf_n_tensors(m->gguf);
    search s = {m, calloc((size_t)n + 1, sizeof *s.first)};
    mn_status status = MN_OK;
    if (!s.first) return mn_fail(err, MN_ERR_MEMORY, "no memory to search %lld tensors.", (long long)n);
    mn_pool_run(pool, n, 1, search_tensors, &s);
    for (int64_t i = 0; i < n && status == MN_OK; i++)
        if (s.first[i] >= 0) status = fail_tensor(m, mn_gguf_tensor_at(m->gguf, i), s.first[i], err);
    free(s.first);
    return status;
}

static mn_status fail_layer(const mn_model *m, const char *what, int layer, mn_error *err) {
    char name[64];
    snprintf(name, sizeof name, what, layer);
    return mn_fail_with(
        err, MN_ERR_LIMIT, MN_REMEDIES({MN_REMEDY_F32_CACHE, 0}),
        "%s: %s gives NaN or infinity, though all weights are numbers: its values leave the range of the "
        "types that it is computed in. Keys and values in f32 have the largest.",
        mn_gguf_path(m->gguf), name);
}

/* Whether the logits of one row would be numbers, if the model ended here. */
static mn_status check_row(const mn_forward_pass *p, const int64_t *row, float *logits, bool *finite, mn_error *err) {
    const mn_step *s = &p->step;
    const mn_backend *b = s->backend;
    int64_t n_vocab = s->model->config.n_vocab;
    mn_rows x;
    MN_TRY(b->take(s, 1, p->x.n_heads, p->x.n, &x, err));
    MN_TRY(b->gather(s, x, p->x, row, err));
    MN_TRY(mn_forward_states(p, &x, err));
    MN_TRY(b->logits(s, logits, x, err));
    *finite = mn_is_finite(logits, n_vocab);
    return MN_OK;
}

/* Runs the batch layer by layer until the row that failed is no number any more. */
static mn_status search_layers(mn_forward_pass *p, int64_t failed, float *logits, mn_error *err) {
    const mn_model *m = p->step.model;
    int64_t row = p->batch->wanted[failed];
    bool finite;
    MN_TRY(mn_forward_begin(p, err));
    MN_TRY(check_row(p, &row, logits, &finite, err));
    if (!finite) return fail_layer(m, "the embedding of the tokens", 0, err);
    for (int layer = 0; layer < m->config.n_layers; layer++) {
        MN_TRY(mn_forward_layer(p, layer, err));
        if (layer == m->config.n_layers - 1) row = failed;
        MN_TRY(check_row(p, &row, logits, &finite, err));
        if (!finite) return fail_layer(m, "layer %d", layer, err);
    }
    return fail_layer(m, "the output", 0, err);
}

mn_status mn_nonfinite_explain(const mn_backend *backend, const mn_model *model, mn_pool *pool, const mn_batch *batch,
                               mn_error *err) {
    int64_t n_vocab = model->config.n_vocab, failed = 0;
    MN_TRY(search_weights(model, pool, err));
    while (mn_is_finite(batch->logits + failed * n_vocab, n_vocab)) failed++;
    float *logits = malloc((size_t)n_vocab * sizeof *logits);
    if (!logits) return mn_fail(err, MN_ERR_MEMORY, "no memory for %lld logits.", (long long)n_vocab);
    mn_forward_pass p = mn_forward_pass_of(backend, model, batch);
    mn_arena_mark mark = backend->mark(&p.step);
    mn_status status = search_layers(&p, failed, logits, err);
    backend->rewind(&p.step, mark);
    free(logits);
    return status;
}
