/* SnapKV through a session: budgets that cover the prompt, memory, going back, and what is refused. */
#include "support/support.h"

#include <stdlib.h>
#include <string.h>

#include <mnemo/session.h>

enum { N_TOKENS = 700, N_MORE = 20 };

static mn_engine *open_engine(const char *name) {
    mn_engine *engine;
    mn_error err;
    assert_ok(mn_engine_open(data_path(name), &(mn_engine_params){.n_threads = 2, .exact = true}, &engine, &err), err);
    return engine;
}

static mn_status try_open(mn_engine *engine, const char *attn, const char *layers, int32_t n_batch, mn_session **s,
                          mn_error *err) {
    mn_session_params params = {
        .n_ctx = 1024, .n_batch = n_batch, .attn = attn, .attn_layers = layers, .position.beyond = true};
    return mn_session_open(engine, &params, s, err);
}

static mn_session *open_session(mn_engine *engine, const char *attn) {
    mn_session *s;
    mn_error err;
    assert_ok(try_open(engine, attn, NULL, 128, &s, &err), err);
    return s;
}

/* A prompt, then tokens one by one; the logits after the last are the caller's to free. */
static float *answer(mn_session *s, const int32_t *tokens, int64_t n_prompt, size_t *bytes) {
    mn_error err;
    assert_ok(mn_session_sync(s, tokens, n_prompt, NULL, NULL, NULL, &err), err);
    for (int i = 0; i < N_MORE; i++)
        assert_ok(mn_session_extend(s, tokens + n_prompt + i, 1, NULL, NULL, NULL, NULL, &err), err);
    assert_int_equal(mn_session_n_tokens(s), n_prompt + N_MORE);
    *bytes = (size_t)mn_tokenizer_n_vocab(mn_session_tokenizer(s)) * sizeof(float);
    float *logits = malloc(*bytes);
    memcpy(logits, mn_session_logits(s), *bytes);
    return logits;
}

static void fill_tokens(int32_t *tokens) {
    for (int i = 0; i < N_TOKENS + N_MORE; i++) tokens[i] = 3 + i * 7919 % 200;
}

static void evicts_and_goes_back(void **state) {
    (void)state;
    int32_t tokens[N_TOKENS + N_MORE];
    size_t bytes;
    fill_tokens(tokens);
    mn_engine *engine = open_engine("golden/tiny-llama-yarn.gguf");
    mn_session *full = open_session(engine, NULL), *covered = open_session(engine, "snapkv:32,700");
    mn_session *small = open_session(engine, "snapkv:16,100");
    float *want = answer(full, tokens, N_TOKENS, &bytes), *same = answer(covered, tokens, N_TOKENS, &bytes);
    assert_memory_equal(want, same, bytes);
    float *first = answer(small, tokens, N_TOKENS, &bytes);
    assert_memory_not_equal(want, first, bytes);
    assert_true(mn_session_kv_bytes(small) * 4 < mn_session_kv_bytes(full));
    /* Another text with the same beginning: what was evicted is evaluated again, and the session is as a new one. */
    mn_session *fresh = open_session(engine, "snapkv:16,100");
    tokens[400] = 5;
    float *other = answer(fresh, tokens, N_TOKENS, &bytes), *again = answer(small, tokens, N_TOKENS, &bytes);
    assert_memory_equal(other, again, bytes);
    /* Taking back what came after the prompt needs no prompt. */
    int64_t n_reused;
    mn_error err;
    assert_ok(mn_session_sync(small, tokens, N_TOKENS + 5, NULL, NULL, &n_reused, &err), err);
    assert_int_equal(n_reused, N_TOKENS + 4);
    assert_int_equal(mn_session_save(small, temp_path("evicted"), &err), MN_ERR_UNSUPPORTED);
    free(want), free(same), free(first), free(other), free(again);
    mn_session_close(full), mn_session_close(covered), mn_session_close(small), mn_session_close(fresh);
    mn_engine_close(engine);
}

static void refuses_what_it_cannot_keep(void **state) {
    (void)state;
    mn_session *s;
    mn_error err;
    mn_engine *engine = open_engine("models/default.gguf"), *windows = open_engine("golden/tiny-gemma3.gguf");
    assert_int_equal(try_open(engine, "snapkv:200,400", NULL, 128, &s, &err), MN_ERR_ARGUMENT);
    assert_int_equal(try_open(engine, "snapkv:16,100", "1=causal", 128, &s, &err), MN_ERR_UNSUPPORTED);
    assert_int_equal(try_open(windows, "snapkv:16,100", NULL, 128, &s, &err), MN_ERR_UNSUPPORTED);
    mn_engine_close(engine);
    mn_engine_close(windows);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(evicts_and_goes_back),
        cmocka_unit_test(refuses_what_it_cannot_keep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
