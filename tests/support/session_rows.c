#include "support/session_rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

mn_engine *rows_engine(const char *name) {
    mn_engine *engine;
    mn_error err;
    mn_engine_params params = {.n_threads = 2, .exact = true};
    assert_ok(mn_engine_open(data_path(name), &params, &engine, &err), err);
    return engine;
}

void rows_tokens(const mn_engine *engine, int32_t *tokens) {
    uint32_t x = 3;
    for (int i = 0; i < ROWS_TOKENS; i++) {
        x = x * 1103515245 + 12345;
        tokens[i] = (int32_t)((x >> 16) % (uint32_t)mn_engine_info(engine).n_vocab);
    }
}

static void keep(void *arg, int64_t index, const float *logits) {
    const session_rows *r = arg;
    memcpy(r->data + index * r->n_vocab, logits, (size_t)r->n_vocab * sizeof *logits);
}

session_rows rows_run(mn_engine *engine, mn_session_params params, const int32_t *tokens) {
    uint8_t want[ROWS_TOKENS];
    mn_session *s;
    mn_error err;
    session_rows r = {.n_vocab = mn_engine_info(engine).n_vocab};
    params.n_ctx = ROWS_TOKENS;
    params.position.beyond = true;
    assert_ok(mn_session_open(engine, &params, &s, &err), err);
    r.data = calloc(ROWS_TOKENS * (size_t)r.n_vocab, sizeof *r.data);
    memset(want, 1, sizeof want);
    assert_ok(mn_session_extend(s, tokens, ROWS_TOKENS, want, keep, NULL, &r, &err), err);
    mn_session_close(s);
    return r;
}

size_t rows_bytes(session_rows rows) { return ROWS_TOKENS * (size_t)rows.n_vocab * sizeof *rows.data; }

void rows_close(session_rows got, session_rows want, double share, const char *what) {
    size_t n = ROWS_TOKENS * (size_t)want.n_vocab;
    double sum = 0, squares = 0, worst = 0;
    for (size_t i = 0; i < n; i++) {
        double difference = fabs((double)got.data[i] - want.data[i]);
        sum += want.data[i];
        squares += (double)want.data[i] * want.data[i];
        if (!(difference <= worst)) worst = difference;
    }
    double deviation = sqrt(squares / (double)n - sum * sum / (double)n / (double)n);
    if (!(worst <= share * deviation)) fail_msg("%s: off by %g where logits deviate by %g", what, worst, deviation);
}

void rows_each_model(const char *const *names, int n, rows_check *check) {
    for (int i = 0; i < n; i++) {
        int32_t tokens[ROWS_TOKENS];
        mn_engine *engine = rows_engine(names[i]);
        rows_tokens(engine, tokens);
        check(engine, tokens);
        mn_engine_close(engine);
    }
}

void rows_same_in_steps(mn_engine *engine, mn_session_params params, const int32_t *sizes, const int32_t *tokens) {
    session_rows whole = rows_run(engine, params, tokens);
    for (; *sizes; sizes++) {
        params.n_batch = *sizes;
        session_rows parts = rows_run(engine, params, tokens);
        assert_memory_equal(parts.data, whole.data, rows_bytes(whole));
        free(parts.data);
    }
    free(whole.data);
}

void rows_look_back_only(mn_engine *engine, mn_session_params params, const int32_t *tokens) {
    enum { CHANGED = 170 };
    int32_t other[ROWS_TOKENS];
    memcpy(other, tokens, sizeof other);
    other[CHANGED] ^= 1;
    session_rows before = rows_run(engine, params, tokens), after = rows_run(engine, params, other);
    size_t row = (size_t)before.n_vocab * sizeof(float);
    assert_memory_equal(before.data, after.data, CHANGED * row);
    assert_memory_not_equal(before.data + CHANGED * before.n_vocab, after.data + CHANGED * after.n_vocab, row);
    free(before.data);
    free(after.data);
}

void rows_attend(const mn_step *s, int layer, mn_rows out, mn_rows q, rows_attend_row *attend) {
    const mn_config *c = &s->model->config;
    const mn_sequence *t = s->slices->sequence;
    for (int64_t r = 0; r < s->n_rows; r++)
        for (int h = 0; h < c->n_heads; h++)
            attend(t, c, layer, h, t->n_tokens + r, mn_cpu_row(q, r) + h * c->head_dim_k,
                   mn_cpu_row(out, r) + h * c->head_dim_v);
}

const float *rows_cached(const void *const *pages, size_t row_bytes, int head, int64_t token) {
    const char *page = pages[token / MN_PAGE_TOKENS];
    return (const float *)(const void *)(page + (size_t)(head * MN_PAGE_TOKENS + token % MN_PAGE_TOKENS) * row_bytes);
}
