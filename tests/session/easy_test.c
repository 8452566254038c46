/* Small MLPs for easy tokens, in whole models: what the router says must not matter where both MLPs are the same; its
 * threshold at both ends is one MLP alone; rows that are gathered get what they get by themselves. */
#include "support/easy_model.h"
#include "support/gguf_edit.h"
#include "support/session_rows.h"

#include "base/checked.h"
#include "session/step.h"

#include <stdlib.h>
#include <string.h>

static const char *const families[] = {
    "golden/tiny-llama.gguf", "golden/tiny-qwen2.gguf",   "golden/tiny-qwen3.gguf", "golden/tiny-gemma2.gguf",
    "golden/tiny-phi3.gguf",  "golden/tiny-gpt2.gguf",    "golden/tiny-bloom.gguf", "golden/tiny-starcoder2.gguf",
    "golden/tiny-olmo2.gguf", "golden/tiny-cohere2.gguf", "golden/tiny-rwkv7.gguf", "golden/tiny-granite.gguf",
    "golden/tiny-glm4.gguf",  "models/default.gguf"};
enum { N_FAMILIES = sizeof families / sizeof *families, N_PROMPT = 200 };

static mn_engine *open_engine(const char *path, int n_threads) {
    mn_engine *engine;
    mn_error err;
    mn_engine_params params = {.n_threads = n_threads, .exact = true};
    assert_ok(mn_engine_open(path, &params, &engine, &err), err);
    return engine;
}

static session_rows run(const char *path, const double *threshold, int32_t n_batch, int n_threads) {
    int32_t tokens[ROWS_TOKENS];
    mn_engine *engine = open_engine(path, n_threads);
    rows_tokens(engine, tokens);
    session_rows rows =
        rows_run(engine, (mn_session_params){.n_batch = n_batch, .router_threshold = threshold}, tokens);
    mn_engine_close(engine);
    return rows;
}

static void assert_same_rows(session_rows a, session_rows b, const char *what) {
    assert_int_equal(a.n_vocab, b.n_vocab);
    if (memcmp(a.data, b.data, rows_bytes(a))) fail_msg("%s: logits differ", what);
    free(a.data);
    free(b.data);
}

static void the_same_mlp_twice_changes_nothing(void **state) {
    (void)state;
    static const double thresholds[] = {0, 0.5, 1};
    for (int i = 0; i < N_FAMILIES; i++) {
        char path[600];
        snprintf(path, sizeof path, "%s", data_path(families[i]));
        const char *easy = easy_model(path, 1, i % 2 == 0);
        assert_same_rows(run(easy, &thresholds[i % 3], 0, 2), run(path, NULL, 0, 2), families[i]);
        if (i == 0) assert_same_rows(run(easy, &thresholds[1], 0, 2), run(path, NULL, 0, 2), families[i]);
    }
}

static void the_ends_are_one_mlp_alone(void **state) {
    (void)state;
    static const double all = 0, none = 1;
    for (int i = 0; i < N_FAMILIES; i++) {
        char path[600];
        snprintf(path, sizeof path, "%s", data_path(families[i]));
        const char *easy = easy_model(path, 2, i % 2 == 1);
        assert_same_rows(run(easy, &none, 0, 2), run(path, NULL, 0, 2), families[i]);
        if (strstr(path, "phi3") || strstr(path, "glm4")) continue; /* gate and up are one matrix there */
        if (strstr(path, "rwkv7")) continue;                        /* its MLP has names of its own */
        assert_same_rows(run(easy, &all, 0, 2), run(easy_model_small_alone(easy), NULL, 0, 2), families[i]);
    }
}

static void without_a_text_no_token_is_easy(void **state) {
    (void)state;
    char path[600];
    snprintf(path, sizeof path, "%s", data_path(families[0]));
    assert_same_rows(run(easy_model(path, 4, false), NULL, 0, 2), run(path, NULL, 0, 2), "not calibrated");
}

static void gathered_rows_equal_single_ones(void **state) {
    (void)state;
    for (int i = 0; i < N_FAMILIES; i += 3) {
        char path[600];
        snprintf(path, sizeof path, "%s", data_path(families[i]));
        const char *easy = easy_model(path, 2, true);
        assert_same_rows(run(easy, NULL, 0, 2), run(easy, NULL, 1, 2), "row by row");
        assert_same_rows(run(easy, NULL, 96, 1), run(easy, NULL, 0, 3), "threads");
    }
}

static mn_session *open_session(mn_engine *engine, const double *threshold) {
    mn_session *s;
    mn_error err;
    mn_session_params params = {.n_ctx = ROWS_TOKENS, .router_threshold = threshold, .position.beyond = true};
    assert_ok(mn_session_open(engine, &params, &s, &err), err);
    return s;
}

/* Sessions of different thresholds share a step; logits of the last row alone, where the last layer has fewer rows. */
static void batched_sessions_equal_lone_ones(void **state) {
    (void)state;
    static const double thresholds[] = {0, 0.5, 1};
    enum { N = 3 };
    int32_t tokens[ROWS_TOKENS];
    mn_session *together[N];
    mn_step_entry entries[N];
    mn_error err;
    mn_engine *engine = open_engine(easy_model(data_path("models/default.gguf"), 4, true), 2);
    int n_vocab = mn_engine_info(engine).n_vocab;
    rows_tokens(engine, tokens);
    for (int i = 0; i < N; i++) {
        together[i] = open_session(engine, &thresholds[i]);
        entries[i] = (mn_step_entry){.session = together[i], .tokens = tokens + i, .n_tokens = N_PROMPT + 7 * i};
    }
    assert_ok(mn_engine_step(engine, entries, N, &err), err);
    for (int i = 0; i < N; i++) {
        mn_session *alone = open_session(engine, &thresholds[i]);
        assert_ok(mn_session_sync(alone, tokens + i, N_PROMPT + 7 * i, NULL, NULL, NULL, &err), err);
        assert_memory_equal(mn_session_logits(alone), mn_session_logits(together[i]), (size_t)n_vocab * sizeof(float));
        for (int layer = 0; layer < mn_engine_info(engine).n_layers; layer++) {
            mn_router_figures a, b;
            assert_true(mn_session_router(alone, layer, false, &a));
            assert_true(mn_session_router(together[i], layer, false, &b));
            bool last = layer + 1 == mn_engine_info(engine).n_layers; /* it has the last row alone */
            assert_int_equal(a.n_big, b.n_big);
            assert_int_equal(a.n_small, b.n_small);
            assert_int_equal(a.n_big + a.n_small, last ? 1 : N_PROMPT + 7 * i);
            if (i == 0) assert_int_equal(a.n_big, 0);
            if (i == 1 && !last) assert_true(a.n_big > 20 && a.n_small > 20);
            if (i == 2) assert_int_equal(a.n_small, 0);
        }
        mn_session_close(alone);
    }
    for (int i = 0; i < N; i++) mn_session_close(together[i]);
    mn_engine_close(engine);
}

/* Choices from outside, the scores that the router gives: what comparisons are made with. */
static void choices_may_come_from_outside(void **state) {
    (void)state;
    int32_t tokens[ROWS_TOKENS];
    mn_error err;
    mn_engine *engine = open_engine(easy_model(data_path("models/default.gguf"), 4, true), 2);
    int n_layers = mn_engine_info(engine).n_layers;
    uint8_t *choices = calloc((size_t)n_layers * ROWS_TOKENS, 1);
    float *scores = calloc((size_t)n_layers * ROWS_TOKENS, sizeof *scores);
    rows_tokens(engine, tokens);
    mn_session *s = open_session(engine, NULL), *t = open_session(engine, NULL);
    s->sequence.easy.scores = scores;
    s->sequence.easy.n_choices = ROWS_TOKENS;
    uint8_t want[ROWS_TOKENS];
    memset(want, 1, sizeof want);
    assert_ok(mn_session_extend(s, tokens, ROWS_TOKENS, want, NULL, NULL, NULL, &err), err);
    for (int i = 0; i < n_layers * ROWS_TOKENS; i++) choices[i] = mn_is_easy(scores[i], 0.5f) ? MN_SMALL : MN_BIG;
    t->sequence.easy =
        (mn_easy){.threshold = 1, .choices = choices, .n_choices = ROWS_TOKENS, .counts = t->sequence.easy.counts};
    for (int i = 0; i < ROWS_TOKENS; i++)
        assert_ok(mn_session_extend(t, tokens + i, 1, NULL, NULL, NULL, NULL, &err), err);
    assert_memory_equal(mn_session_logits(s), mn_session_logits(t),
                        (size_t)mn_engine_info(engine).n_vocab * sizeof(float));
    mn_session_close(s);
    mn_session_close(t);
    mn_engine_close(engine);
    free(choices);
    free(scores);
}

/* The plan is what the worst step takes, whichever way rows go. */
static void plans_hold(void **state) {
    (void)state;
    static const double thresholds[] = {0, 0.5, 1};
    mn_error err;
    for (int exact = 0; exact < 2; exact++)
        for (int i = 0; i < 3; i++) {
            mn_engine *engine;
            mn_engine_params params = {.n_threads = 2, .exact = exact};
            const char *path = easy_model(data_path("models/default.gguf"), 2, true);
            assert_ok(mn_engine_open(path, &params, &engine, &err), err);
            mn_window w = {ROWS_TOKENS, 256, MN_F32, MN_F32, 0, NULL};
            mn_memory_plan plan;
            int32_t tokens[ROWS_TOKENS];
            rows_tokens(engine, tokens);
            assert_ok(mn_memory_plan_make(engine, &w, &plan, &err), err);
            mn_session *s;
            mn_session_params sp = {.n_ctx = ROWS_TOKENS,
                                    .n_batch = 256,
                                    .type_k = "f32",
                                    .type_v = "f32",
                                    .router_threshold = &thresholds[i]};
            assert_ok(mn_session_open(engine, &sp, &s, &err), err);
            size_t held = engine->scratch.held_bytes;
            assert_ok(mn_session_extend(s, tokens, ROWS_TOKENS - 20, NULL, NULL, NULL, NULL, &err), err);
            for (int t = ROWS_TOKENS - 20; t < ROWS_TOKENS; t++)
                assert_ok(mn_session_extend(s, tokens + t, 1, NULL, NULL, NULL, NULL, &err), err);
            assert_int_equal(engine->scratch.held_bytes, held);
            assert_true(engine->scratch.most_bytes <= plan.scratch_bytes);
            if (thresholds[i] == 1) assert_true(engine->scratch.most_bytes > plan.scratch_bytes * 9 / 10);
            mn_session_close(s);
            mn_engine_close(engine);
        }
}

static void saved_sessions_keep_their_threshold(void **state) {
    (void)state;
    static const double half = 0.5, other = 0.6;
    int32_t tokens[ROWS_TOKENS];
    mn_error err;
    mn_engine *engine = open_engine(easy_model(data_path("models/default.gguf"), 4, true), 2);
    const char *path = temp_path("easy.session");
    mn_session *s = open_session(engine, NULL), *same = open_session(engine, &half),
               *not = open_session(engine, &other);
    size_t bytes = (size_t)mn_engine_info(engine).n_vocab * sizeof(float);
    rows_tokens(engine, tokens);
    assert_ok(mn_session_sync(s, tokens, N_PROMPT, NULL, NULL, NULL, &err), err);
    assert_ok(mn_session_save(s, path, &err), err);
    assert_int_equal(mn_session_restore(not, path, &err), MN_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "another threshold for easy tokens"));
    assert_ok(mn_session_restore(same, path, &err), err);
    assert_ok(mn_session_extend(s, tokens + N_PROMPT, 9, NULL, NULL, NULL, NULL, &err), err);
    assert_ok(mn_session_extend(same, tokens + N_PROMPT, 9, NULL, NULL, NULL, NULL, &err), err);
    assert_memory_equal(mn_session_logits(s), mn_session_logits(same), bytes);
    mn_session_close(s);
    mn_session_close(same);
    mn_session_close(not );
    mn_engine_close(engine);
}

static void what_cannot_be_is_refused(void **state) {
    (void)state;
    static const double half = 0.5, beyond = 2;
    mn_error err;
    mn_session *s;
    double divisor;
    uint8_t in_layer[4];
    mn_engine *engine = open_engine(data_path("golden/tiny-llama.gguf"), 1);
    mn_session_params params = {.router_threshold = &half};
    assert_int_equal(mn_session_open(engine, &params, &s, &err), MN_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "no small MLPs"));
    params.router_threshold = &beyond;
    assert_int_equal(mn_session_open(engine, &params, &s, &err), MN_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "outside"));
    mn_engine_close(engine);
    static const char *const wrong[] = {"", "0", "-2", "x", "8,", "8,4", "8,2-1", "8,1-4", "8 1", "99999999999"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(mn_small_parse(wrong[i], 4, &divisor, in_layer, &err), MN_ERR_ARGUMENT);
    assert_ok(mn_small_parse("16,0,2-", 4, &divisor, in_layer, &err), err);
    assert_true(divisor == 16);
    assert_memory_equal(in_layer, ((uint8_t[]){1, 0, 1, 1}), 4);
    assert_ok(mn_small_parse("3", 4, &divisor, in_layer, &err), err);
    assert_memory_equal(in_layer, ((uint8_t[]){1, 1, 1, 1}), 4);
    assert_ok(mn_small_parse("1.5,3", 4, &divisor, in_layer, &err), err);
    assert_true(divisor == 1.5);
    assert_memory_equal(in_layer, ((uint8_t[]){0, 0, 0, 1}), 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_same_mlp_twice_changes_nothing),
                                       cmocka_unit_test(the_ends_are_one_mlp_alone),
                                       cmocka_unit_test(without_a_text_no_token_is_easy),
                                       cmocka_unit_test(gathered_rows_equal_single_ones),
                                       cmocka_unit_test(batched_sessions_equal_lone_ones),
                                       cmocka_unit_test(choices_may_come_from_outside),
                                       cmocka_unit_test(plans_hold),
                                       cmocka_unit_test(saved_sessions_keep_their_threshold),
                                       cmocka_unit_test(what_cannot_be_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
