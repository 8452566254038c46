/* Attention patterns through a whole model: against a dense mask, budgets that cover the text, chunks, causality. */
#include "support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <mnemo/session.h>

#include "session/session.h"

enum { N_TOKENS = 300, MAX_DIM = 1024 };

static const char *const model_names[] = {"golden/tiny-llama-yarn.gguf", "golden/tiny-gemma3.gguf", "models/default.gguf"};
static const char *const patterns[] = {"window:65",         "global:70",      "random:1,5",  "bigbird:64,1,1,1",
                                       "longformer:60,3,2", "sinks-abs:4,60", "bigbird:16,3,1,2"};
enum { N_MODELS = sizeof model_names / sizeof *model_names, N_PATTERNS = sizeof patterns / sizeof *patterns };

static mn_engine *open_engine(const char *name) {
    mn_engine *engine;
    mn_error err;
    char shipped[4096];
    const char *path = data_path(name);
    snprintf(shipped, sizeof shipped, "%s/%s", MNEMO_SOURCE_DIR, name);
    mn_engine_params params = {.n_threads = 2, .exact = true};
    assert_ok(mn_engine_open(path ? path : shipped, &params, &engine, &err), err);
    return engine;
}

static mn_session *open_session(mn_engine *engine, const char *attn, const char *attn_layers, int32_t n_batch) {
    mn_session *s;
    mn_error err;
    mn_session_params params = {.n_ctx = N_TOKENS, .n_batch = n_batch, .attn = attn, .attn_layers = attn_layers, .position.beyond = true};
    assert_ok(mn_session_open(engine, &params, &s, &err), err);
    return s;
}

static void fill_tokens(const mn_engine *engine, int32_t *tokens) {
    uint32_t x = 3;
    for (int i = 0; i < N_TOKENS; i++) tokens[i] = (int32_t)((x = x * 1103515245 + 12345) >> 16) % mn_engine_info(engine).n_vocab;
}

typedef struct rows {
    float *data; /* [N_TOKENS, n_vocab] */
    int n_vocab;
} rows;

static void keep(void *arg, int64_t index, const float *logits) {
    const rows *r = arg;
    memcpy(r->data + index * r->n_vocab, logits, (size_t)r->n_vocab * sizeof *logits);
}

/* Logits after every token; closes the session. */
static rows run(mn_session *s, const int32_t *tokens) {
    static uint8_t want[N_TOKENS];
    mn_error err;
    rows r = {.n_vocab = mn_engine_info(s->engine).n_vocab};
    r.data = calloc(N_TOKENS * (size_t)r.n_vocab, sizeof *r.data);
    memset(want, 1, sizeof want);
    assert_ok(mn_session_extend(s, tokens, N_TOKENS, want, keep, NULL, &r, &err), err);
    mn_session_close(s);
    return r;
}

static rows run_with(mn_engine *engine, const char *attn, const char *attn_layers, int32_t n_batch, const int32_t *tokens) {
    return run(open_session(engine, attn, attn_layers, n_batch), tokens);
}

static size_t bytes_of(rows r) { return N_TOKENS * (size_t)r.n_vocab * sizeof *r.data; }

static bool sees(const mn_timeline *t, const mn_config *c, int layer, int64_t i, int64_t j) {
    int64_t window = mn_config_window(c, layer);
    if (t->patterns && t->patterns[layer].kind) return mn_pattern_sees(&t->patterns[layer], N_TOKENS, i, j);
    return j <= i && (window == 0 || i - j < window);
}

static const float *row_at(const void *const *pages, size_t row_bytes, int head, int64_t token) {
    const char *page = pages[token / MN_PAGE_TOKENS];
    return (const float *)(const void *)(page + (size_t)(head * MN_PAGE_TOKENS + token % MN_PAGE_TOKENS) * row_bytes);
}

static void attend_row(const mn_timeline *t, const mn_config *c, int layer, int head, int64_t i, const float *q, float *out) {
    mn_kv_view kv = mn_kvcache_view(t->cache, layer, i + 1);
    int kv_head = head / (c->n_heads / kv.n_kv_heads);
    double scores[N_TOKENS] = {0}, max = -INFINITY, sums[MAX_DIM] = {0}, total = 0;
    for (int64_t j = 0; j <= i; j++) {
        const float *k = row_at(kv.k_pages, kv.k_row_bytes, kv_head, j);
        for (int d = 0; d < kv.k_dim; d++) scores[j] += (double)q[d] * k[d] * t->score_scale;
        if (sees(t, c, layer, i, j)) max = fmax(max, scores[j]);
    }
    for (int64_t j = 0; j <= i; j++) {
        if (!sees(t, c, layer, i, j)) continue;
        const float *v = row_at(kv.v_pages, kv.v_row_bytes, kv_head, j);
        double weight = exp(scores[j] - max);
        total += weight;
        for (int d = 0; d < kv.v_dim; d++) sums[d] += weight * v[d];
    }
    for (int d = 0; d < kv.v_dim; d++) out[d] = total > 0 ? (float)(sums[d] / total) : 0;
}

/* The oracle: softmax over every key that the definition lets through, in double precision. */
static mn_status attend_dense(const mn_step *s, int layer, float *out, const float *q, mn_error *err) {
    (void)err;
    const mn_config *c = &s->model->config;
    const mn_timeline *t = s->spans->timeline;
    for (int64_t r = 0; r < s->n_rows; r++)
        for (int h = 0; h < c->n_heads; h++)
            attend_row(t, c, layer, h, t->n_tokens + r, q + (r * c->n_heads + h) * c->head_dim_k,
                       out + (r * c->n_heads + h) * c->head_dim_v);
    return MN_OK;
}

static void each_model(void (*check)(mn_engine *engine, const int32_t *tokens)) {
    for (int i = 0; i < N_MODELS; i++) {
        int32_t tokens[N_TOKENS];
        mn_engine *engine = open_engine(model_names[i]);
        fill_tokens(engine, tokens);
        check(engine, tokens);
        mn_engine_close(engine);
    }
}

/* The largest difference as a share of the logits' deviation, as tests/session/golden_test.c measures. */
static void assert_share(rows got, rows want, double limit, const char *what) {
    size_t n = N_TOKENS * (size_t)want.n_vocab;
    double sum = 0, squares = 0, worst = 0;
    for (size_t i = 0; i < n; i++) {
        sum += want.data[i];
        squares += (double)want.data[i] * want.data[i];
        worst = fmax(worst, fabs((double)got.data[i] - want.data[i]));
    }
    double deviation = sqrt(squares / (double)n - sum * sum / (double)n / (double)n);
    if (!(worst <= limit * deviation)) fail_msg("%s: off by %g of a deviation of %g", what, worst, deviation);
}

static void check_dense(mn_engine *engine, const int32_t *tokens) {
    mn_ops dense = mn_ops_cpu;
    dense.attend = attend_dense;
    rows full = run_with(engine, NULL, NULL, 0, tokens);
    for (int i = 0; i < N_PATTERNS; i++) {
        rows got = run_with(engine, patterns[i], NULL, 0, tokens);
        engine->ops = &dense;
        rows want = run_with(engine, patterns[i], NULL, 0, tokens);
        engine->ops = &mn_ops_cpu;
        assert_share(got, want, 1e-3, patterns[i]);
        assert_memory_not_equal(got.data, full.data, bytes_of(full)); /* it is not a flag without an effect */
        free(got.data);
        free(want.data);
    }
    free(full.data);
}

static void equals_a_dense_mask(void **state) {
    (void)state;
    each_model(check_dense);
}

static void check_budgets(mn_engine *engine, const int32_t *tokens) {
    static const char *const covering[] = {"full", "causal", "window:300", "global:300", "random:64,1", "bigbird:64,9,0,0", "sinks-abs:100,200"};
    rows plain = run_with(engine, NULL, NULL, 0, tokens);
    for (size_t i = 0; i < sizeof covering / sizeof *covering; i++) {
        rows got = run_with(engine, covering[i], NULL, 0, tokens);
        assert_memory_equal(got.data, plain.data, bytes_of(plain));
        free(got.data);
    }
    free(plain.data);
}

static void enough_budget_is_plain_to_the_bit(void **state) {
    (void)state;
    each_model(check_budgets);
}

static void check_chunks(mn_engine *engine, const int32_t *tokens) {
    for (int i = 0; i < N_PATTERNS; i++) {
        rows whole = run_with(engine, patterns[i], NULL, 0, tokens);
        for (int32_t n_batch = 7; n_batch < 128; n_batch += 90) {
            rows parts = run_with(engine, patterns[i], NULL, n_batch, tokens);
            assert_memory_equal(parts.data, whole.data, bytes_of(whole));
            free(parts.data);
        }
        free(whole.data);
    }
}

static void chunks_change_no_bit(void **state) {
    (void)state;
    each_model(check_chunks);
}

static void check_causality(mn_engine *engine, const int32_t *tokens) {
    int32_t other[N_TOKENS];
    memcpy(other, tokens, sizeof other);
    other[170] ^= 1;
    for (int i = 0; i < N_PATTERNS; i++) {
        rows before = run_with(engine, patterns[i], NULL, 0, tokens), after = run_with(engine, patterns[i], NULL, 0, other);
        size_t row = (size_t)before.n_vocab * sizeof(float);
        assert_memory_equal(before.data, after.data, 170 * row);
        assert_memory_not_equal(before.data + 170 * before.n_vocab, after.data + 170 * after.n_vocab, row);
        free(before.data);
        free(after.data);
    }
}

static void a_later_token_never_changes_an_earlier_answer(void **state) {
    (void)state;
    each_model(check_causality);
}

/* Gemma's windowed layers keep their window under --attn, and lose it where --attn-layers names them. */
static void windows_of_the_model(void **state) {
    (void)state;
    mn_engine *engine = open_engine("golden/tiny-gemma3.gguf");
    mn_session *s = open_session(engine, "global:9", "0=causal", 0);
    const mn_config *c = &engine->model.config;
    assert_true(mn_config_window(c, 0) > 0 && mn_config_window(c, 1) > 0 && c->n_layers > 2);
    assert_string_equal(s->patterns[0].kind->name, "causal");
    for (int layer = 1; layer < c->n_layers; layer++) {
        if (mn_config_window(c, layer)) assert_null(s->patterns[layer].kind);
        else assert_string_equal(s->patterns[layer].kind->name, "global");
    }
    mn_session_close(s);
    mn_engine_close(engine);
}

static void layers_draw_their_own_random_blocks(void **state) {
    (void)state;
    mn_engine *engine = open_engine("models/default.gguf");
    mn_session *s = open_session(engine, "causal", "1-=random:2,7", 0);
    assert_string_equal(s->patterns[0].kind->name, "causal");
    for (int layer = 1; layer < engine->model.config.n_layers; layer++) assert_int_equal(s->patterns[layer].seed, 7 + layer);
    mn_session_close(s);
    mn_engine_close(engine);
}

static void notes_name_what_needs_training(void **state) {
    (void)state;
    static const char *const silent[] = {NULL, "full", "sinks-abs:4,60"}, *const warned[] = {"window:64", "bigbird", "random:2"};
    mn_engine *engine = open_engine("models/default.gguf");
    for (int i = 0; i < 3; i++) {
        mn_session *quiet = open_session(engine, silent[i], NULL, 0), *loud = open_session(engine, warned[i], NULL, 0);
        assert_null(mn_session_note(quiet, 0));
        assert_non_null(strstr(mn_session_note(loud, 0), "not trained"));
        assert_null(mn_session_note(loud, 1));
        mn_session_close(quiet);
        mn_session_close(loud);
    }
    mn_engine_close(engine);
}

static void refuses(void **state) {
    (void)state;
    static const struct { const char *attn, *layers, *says; } bad[] = {
        {"windw:64", NULL, "window:W"}, {"window:0", NULL, "window"}, {NULL, "0-99=full", "0 to 3"}, {NULL, "window:4", "0-3=causal"}};
    mn_engine *engine = open_engine("models/default.gguf");
    mn_session *s;
    mn_error err;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        mn_session_params params = {.attn = bad[i].attn, .attn_layers = bad[i].layers};
        assert_int_equal(mn_session_open(engine, &params, &s, &err), MN_ERR_ARGUMENT);
        assert_non_null(strstr(err.text, bad[i].says));
    }
    mn_engine_close(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_a_dense_mask),
        cmocka_unit_test(enough_budget_is_plain_to_the_bit),
        cmocka_unit_test(chunks_change_no_bit),
        cmocka_unit_test(a_later_token_never_changes_an_earlier_answer),
        cmocka_unit_test(windows_of_the_model),
        cmocka_unit_test(layers_draw_their_own_random_blocks),
        cmocka_unit_test(notes_name_what_needs_training),
        cmocka_unit_test(refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
