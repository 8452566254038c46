#include "convert/calibrate.h"

#include "base/checked.h"
#include "convert/dense.h"
#include "model/backend_cpu.h"
#include "model/forward.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static mn_status init(const mn_model *model, mn_moments *out, mn_error *err) {
    int64_t n = model->config.n_embd + 1;
    *out = (mn_moments){.n_layers = model->config.n_layers, .n = n};
    return mn_dense_zeros(out->n_layers * n, n, &out->values, err);
}

void mn_moments_release(mn_moments *m) {
    free(m->values);
    *m = (mn_moments){0};
}

mn_status mn_moments_of_norms(const mn_model *model, mn_moments *out, mn_error *err) {
    MN_TRY(init(model, out, err));
    for (int layer = 0; layer < out->n_layers; layer++) {
        double *m = out->values + layer * out->n * out->n;
        const float *w = model->weights.layers[layer].attn_norm.w;
        for (int64_t i = 0; i < out->n; i++) m[i * out->n + i] = w && i < out->n - 1 ? (double)w[i] * (double)w[i] : 1;
    }
    return MN_OK;
}

/* A backend that notes what comes out of the norms before attention. */
typedef struct watching {
    mn_backend backend; /* first: a step knows it by this address */
    mn_status (*norm)(const mn_step *s, mn_rows out, mn_rows x, const mn_norm *w, mn_error *err);
    mn_moments *moments;
    double *rows; /* [window + 1, n] */
} watching;

static mn_status watch_norm(const mn_step *s, mn_rows out, mn_rows x, const mn_norm *w, mn_error *err) {
    watching *watch = (watching *)(uintptr_t)s->backend;
    mn_moments *m = watch->moments;
    MN_TRY(watch->norm(s, out, x, w, err));
    for (int layer = 0; layer < m->n_layers; layer++) {
        if (w != &s->model->weights.layers[layer].attn_norm) continue;
        for (int64_t r = 0; r < out.n_rows; r++) {
            const float *row = mn_cpu_row(out, r);
            for (int64_t i = 0; i < m->n; i++) watch->rows[r * m->n + i] = i < m->n - 1 ? (double)row[i] : 1;
        }
        mn_dense_add_product_at(m->values + layer * m->n * m->n, watch->rows, watch->rows, m->n, m->n, out.n_rows);
    }
    return MN_OK;
}

static mn_status run_window(watching *watch, const mn_model *model, mn_sequence *s, const int32_t *tokens, int64_t n,
                            mn_error *err) {
    mn_slice slice = {s, 0, n};
    mn_batch batch = {.tokens = tokens, .n_rows = n, .slices = &slice, .n_slices = 1};
    s->n_tokens = 0;
    if (s->state) memset(s->state, 0, s->state_bytes);
    mn_sequence_drop_after(s, 0);
    return mn_forward(&watch->backend, model, &batch, err);
}

static mn_status run_all(watching *watch, const mn_model *model, mn_sequence *s, const int32_t *tokens,
                         int64_t n_tokens, int64_t window, int32_t bos, mn_error *err) {
    int32_t *row = malloc((size_t)(window + 1) * sizeof *row);
    if (!row) return mn_fail(err, MN_ERR_MEMORY, "no memory for a window of %lld tokens.", (long long)window);
    mn_status status = MN_OK;
    int64_t before = bos >= 0;
    row[0] = bos;
    for (int64_t at = 0; at < n_tokens && status == MN_OK; at += window - before) {
        int64_t n = MN_MIN(window - before, n_tokens - at);
        memcpy(row + before, tokens + at, (size_t)n * sizeof *row);
        status = run_window(watch, model, s, row, n + before, err);
        watch->moments->n_tokens += n + before;
    }
    free(row);
    return status;
}

static mn_status divide(mn_moments *m, mn_error *err) {
    int64_t size = m->n * m->n;
    for (int64_t i = 0; i < m->n_layers * size; i++) {
        m->values[i] /= (double)m->n_tokens;
        if (!isfinite(m->values[i]))
            return mn_fail(err, MN_ERR_FORMAT, "what layer %lld is fed over the calibration text is not finite.",
                           (long long)(i / size));
    }
    return MN_OK;
}

mn_status mn_moments_measure(const mn_compute *compute, const mn_model *model, const int32_t *tokens, int64_t n_tokens,
                             int64_t window, int32_t bos, mn_moments *out, mn_error *err) {
    const mn_config *c = &model->config;
    mn_sequence sequence;
    mn_sequence_params params = {&c->rope, mn_attn_of_model(c), window, MN_F32, MN_F32};
    watching watch = {.backend = mn_backend_cpu(compute), .moments = out};
    *out = (mn_moments){0};
    if (n_tokens < 1 || window < 2)
        return mn_fail(err, MN_ERR_ARGUMENT, "%lld tokens of calibration text, in windows of %lld, are too few.",
                       (long long)n_tokens, (long long)window);
    MN_TRY(init(model, out, err));
    watch.norm = watch.backend.norm;
    watch.backend.norm = watch_norm;
    mn_status status = mn_dense_zeros(window, out->n, &watch.rows, err);
    if (status == MN_OK) status = mn_sequence_init(&sequence, c, &params, err);
    if (status == MN_OK) {
        status = run_all(&watch, model, &sequence, tokens, n_tokens, window, bos, err);
        mn_sequence_release(&sequence);
    }
    free(watch.rows);
    if (status == MN_OK) status = divide(out, err);
    if (status != MN_OK) mn_moments_release(out);
    return status;
}
