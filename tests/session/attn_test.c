/* Attention patterns through a whole model: against a dense mask, budgets that cover the text, chunks, causality. */
#include "support/session_rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const model_names[] = {"golden/tiny-llama-yarn.gguf", "golden/tiny-gemma3.gguf",
                                          "models/default.gguf"};
static const char *const patterns[] = {"window:65",         "global:70",      "random:1,5",       "bigbird:64,1,1,1",
                                       "longformer:60,3,2", "sinks-abs:4,60", "bigbird:16,3,1,2", "infini:70,delta,0"};
enum { N_MODELS = sizeof model_names / sizeof *model_names, N_PATTERNS = sizeof patterns / sizeof *patterns };

static session_rows run_with(mn_engine *engine, const char *attn, int32_t n_batch, const int32_t *tokens) {
    return rows_run(engine, (mn_session_params){.attn = attn, .n_batch = n_batch}, tokens);
}

static mn_session *open_session(mn_engine *engine, const char *attn, const char *attn_layers) {
    mn_session *s;
    mn_error err;
    mn_session_params params = {
        .n_ctx = ROWS_TOKENS, .attn = attn, .attn_layers = attn_layers, .position.beyond = true};
    assert_ok(mn_session_open(engine, &params, &s, &err), err);
    return s;
}

static bool sees(const mn_sequence *t, const mn_config *c, int layer, int64_t i, int64_t j) {
    int64_t window = mn_config_window(c, layer);
    bool in_window = j <= i && (window == 0 || i - j < window), segments = t->attn.infini.shape.segment > 0;
    if (!t->attn.patterns || !t->attn.patterns[layer].kind) return in_window;
    return (in_window || !segments) && mn_pattern_sees(&t->attn.patterns[layer], ROWS_TOKENS, i, j);
}

static void attend_row(const mn_sequence *t, const mn_config *c, int layer, int head, int64_t i, const float *q,
                       float *out) {
    mn_kv_view kv = mn_kvcache_view(t->cache, layer, i + 1);
    int kv_head = head / (c->n_heads / kv.n_kv_heads);
    double scores[ROWS_TOKENS] = {0}, max = -INFINITY, sums[ROWS_MAX_DIM] = {0}, total = 0;
    for (int64_t j = 0; j <= i; j++) {
        const float *k = rows_cached(kv.k_pages, kv.k_row_bytes, kv_head, j);
        for (int d = 0; d < kv.k_dim; d++) scores[j] += (double)q[d] * k[d] * t->score_scale;
        if (sees(t, c, layer, i, j)) max = fmax(max, scores[j]);
    }
    for (int64_t j = 0; j <= i; j++) {
        if (!sees(t, c, layer, i, j)) continue;
        const float *v = rows_cached(kv.v_pages, kv.v_row_bytes, kv_head, j);
        double weight = exp(scores[j] - max);
        total += weight;
        for (int d = 0; d < kv.v_dim; d++) sums[d] += weight * v[d];
    }
    for (int d = 0; d < kv.v_dim; d++) out[d] = total > 0 ? (float)(sums[d] / total) : 0;
}

/* The oracle: softmax over every key that the definition lets through, in double precision. */
static mn_status attend_dense(const mn_step *s, int layer, int range, mn_rows out, mn_rows lse, mn_rows q,
                              mn_error *err) {
    (void)range, (void)lse, (void)err;
    rows_attend(s, layer, out, q, attend_row);
    return MN_OK;
}

static void each_model(rows_check *check) { rows_each_model(model_names, N_MODELS, check); }

static void check_dense(mn_engine *engine, const int32_t *tokens) {
    mn_backend cpu = engine->backend, dense = cpu;
    dense.attend = attend_dense;
    session_rows full = run_with(engine, NULL, 0, tokens);
    for (int i = 0; i < N_PATTERNS; i++) {
        session_rows got = run_with(engine, patterns[i], 0, tokens);
        engine->backend = dense;
        session_rows want = run_with(engine, patterns[i], 0, tokens);
        engine->backend = cpu;
        rows_close(got, want, 1e-3, patterns[i]);
        assert_memory_not_equal(got.data, full.data, rows_bytes(full)); /* it is not a flag without an effect */
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
    static const char *const covering[] = {"full",        "causal",           "window:300",       "global:300",
                                           "random:64,1", "bigbird:64,9,0,0", "sinks-abs:100,200"};
    session_rows plain = run_with(engine, NULL, 0, tokens);
    for (size_t i = 0; i < sizeof covering / sizeof *covering; i++) {
        session_rows got = run_with(engine, covering[i], 0, tokens);
        assert_memory_equal(got.data, plain.data, rows_bytes(plain));
        free(got.data);
    }
    free(plain.data);
}

static void enough_budget_is_plain_to_the_bit(void **state) {
    (void)state;
    each_model(check_budgets);
}

static void check_chunks(mn_engine *engine, const int32_t *tokens) {
    static const int32_t sizes[] = {7, 97, 0};
    for (int i = 0; i < N_PATTERNS; i++)
        rows_same_in_steps(engine, (mn_session_params){.attn = patterns[i]}, sizes, tokens);
}

static void chunks_change_no_bit(void **state) {
    (void)state;
    each_model(check_chunks);
}

static void check_causality(mn_engine *engine, const int32_t *tokens) {
    for (int i = 0; i < N_PATTERNS; i++) rows_look_back_only(engine, (mn_session_params){.attn = patterns[i]}, tokens);
}

static void a_later_token_never_changes_an_earlier_answer(void **state) {
    (void)state;
    each_model(check_causality);
}

/* Gemma's windowed layers keep their window under --attn, and lose it where --attn-layers names them. */
static void windows_of_the_model(void **state) {
    (void)state;
    mn_engine *engine = rows_engine("golden/tiny-gemma3.gguf");
    mn_session *s = open_session(engine, "global:9", "0=causal");
    const mn_config *c = &engine->model.config;
    assert_true(mn_config_window(c, 0) > 0 && mn_config_window(c, 1) > 0 && c->n_layers > 2);
    assert_string_equal(s->patterns[0].kind->name, "causal");
    for (int layer = 1; layer < c->n_layers; layer++) {
        if (mn_config_window(c, layer))
            assert_null(s->patterns[layer].kind);
        else
            assert_string_equal(s->patterns[layer].kind->name, "global");
    }
    mn_session_close(s);
    mn_engine_close(engine);
}

static void layers_draw_their_own_random_blocks(void **state) {
    (void)state;
    mn_engine *engine = rows_engine("models/default.gguf");
    mn_session *s = open_session(engine, "causal", "1-=random:2,7");
    assert_string_equal(s->patterns[0].kind->name, "causal");
    for (int layer = 1; layer < engine->model.config.n_layers; layer++)
        assert_int_equal(s->patterns[layer].seed, 7 + layer);
    mn_session_close(s);
    mn_engine_close(engine);
}

static void notes_name_what_needs_training(void **state) {
    (void)state;
    static const char *const silent[] = {NULL, "full", "quest:16,64"}, *const warned[] = {"window:64", "bigbird",
                                                                                          "random:2"};
    mn_engine *engine = rows_engine("models/default.gguf");
    for (int i = 0; i < 3; i++) {
        mn_session *quiet = open_session(engine, silent[i], NULL), *loud = open_session(engine, warned[i], NULL);
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
    static const struct {
        const char *attn, *layers, *says;
    } bad[] = {{"windw:64", NULL, "window:W"},
               {"window:0", NULL, "window"},
               {NULL, "0-99=full", "0 to 3"},
               {NULL, "window:4", "0-3=causal"}};
    mn_engine *engine = rows_engine("models/default.gguf");
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
