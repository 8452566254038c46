/* Rows that no later token sees are given back: what a session holds stays constant, and no logit changes; going back,
 * saving and restoring, wherever the rows are gone. */
#include "support/session_rows.h"

#include <stdlib.h>
#include <string.h>

static const char *const model_names[] = {"golden/tiny-llama-yarn.gguf", "models/default.gguf"};
static const char *const patterns[] = {"sinks:4,60",        "sinks-abs:200,90", "window:65",
                                       "longformer:60,3,2", "global:70",        "shifted-sparse:96"};
enum { N_MODELS = sizeof model_names / sizeof *model_names, N_PATTERNS = sizeof patterns / sizeof *patterns };
enum { TEXT_TOKENS = 1280, BATCH = 128, PIECE = 128 };

static int32_t text[TEXT_TOKENS];

static mn_engine *open_engine(const char *name) {
    mn_engine *engine = rows_engine(name);
    for (int i = 0; i < TEXT_TOKENS; i++) text[i] = (int32_t)(i * 7919L % engine->model.config.n_vocab);
    return engine;
}

static mn_session *open_session(mn_engine *engine, const char *attn, bool keeps_all) {
    mn_session *s;
    mn_error err;
    mn_session_params params = {.n_ctx = TEXT_TOKENS, .n_batch = BATCH, .attn = attn, .position.beyond = true};
    assert_ok(mn_session_open(engine, &params, &s, &err), err);
    if (keeps_all) s->sequence.kept = (mn_kept_keys){0, 0};
    return s;
}

static void sync_to(mn_session *s, int64_t n) {
    mn_error err;
    assert_ok(mn_session_sync(s, text, n, NULL, NULL, NULL, &err), err);
}

static void assert_same_logits(const mn_session *a, const mn_session *b) {
    assert_memory_equal(mn_session_logits(a), mn_session_logits(b),
                        (size_t)a->engine->model.config.n_vocab * sizeof(float));
}

static void each_session(void (*check)(mn_engine *engine, const char *attn)) {
    for (int m = 0; m < N_MODELS; m++) {
        mn_engine *engine = open_engine(model_names[m]);
        for (int p = 0; p < N_PATTERNS; p++) check(engine, patterns[p]);
        mn_engine_close(engine);
    }
}

static void check_growth(mn_engine *engine, const char *attn) {
    mn_session *s = open_session(engine, attn, false), *all = open_session(engine, attn, true);
    size_t slab = mn_kv_slab_bytes(mn_kvcache_shape(s->sequence.cache)), held = 0;
    for (int64_t n = PIECE; n <= TEXT_TOKENS; n += PIECE) {
        sync_to(s, n);
        sync_to(all, n);
        assert_same_logits(s, all);
        if (n == TEXT_TOKENS / 2) held = mn_kvcache_bytes(s->sequence.cache);
        if (n > TEXT_TOKENS / 2) assert_int_equal(mn_kvcache_bytes(s->sequence.cache), held);
    }
    assert_int_equal(mn_kvcache_bytes(all->sequence.cache), TEXT_TOKENS / MN_PAGE_TOKENS * slab);
    assert_true(held <= 6 * slab);
    mn_session_close(s);
    mn_session_close(all);
}

static void memory_is_constant_and_bits_are_the_same(void **state) {
    (void)state;
    each_session(check_growth);
}

static void check_return(mn_engine *engine, const char *attn) {
    static const int64_t back_to[] = {890, 700, 129, 128, 40};
    mn_session *s = open_session(engine, attn, false), *fresh = open_session(engine, attn, false);
    sync_to(s, 900);
    for (size_t i = 0; i < sizeof back_to / sizeof *back_to; i++) {
        mn_error err;
        int64_t n = back_to[i];
        assert_ok(mn_session_rewind(s, n, &err), err);
        assert_int_equal(mn_session_n_tokens(s), n);
        sync_to(s, n + 30);
        mn_session_clear(fresh);
        sync_to(fresh, n + 30);
        assert_same_logits(s, fresh);
    }
    mn_session_close(s);
    mn_session_close(fresh);
}

static void goes_back_to_where_rows_are_gone(void **state) {
    (void)state;
    each_session(check_return);
}

/* What is still in sight, or was kept to spare, is not read again. */
static void a_short_way_back_reads_nothing_again(void **state) {
    (void)state;
    mn_engine *engine = open_engine("golden/tiny-llama-yarn.gguf");
    mn_session *s = open_session(engine, "sinks:4,60", false);
    int64_t n_reused;
    mn_error err;
    sync_to(s, 1200);
    assert_ok(mn_session_sync(s, text, 1000, NULL, NULL, &n_reused, &err), err);
    assert_int_equal(n_reused, 999);
    sync_to(s, 1200);
    assert_ok(mn_session_sync(s, text, 600, NULL, NULL, &n_reused, &err), err);
    assert_int_equal(n_reused, MN_PAGE_TOKENS); /* the page of the sinks */
    mn_session_close(s);
    mn_engine_close(engine);
}

static void check_saved(mn_engine *engine, const char *attn) {
    mn_session *s = open_session(engine, attn, false), *restored = open_session(engine, attn, false);
    const char *path = temp_path("dropped.session");
    mn_error err;
    sync_to(s, 900);
    assert_ok(mn_session_save(s, path, &err), err);
    assert_ok(mn_session_restore(restored, path, &err), err);
    assert_int_equal(mn_session_kv_bytes(restored), mn_session_kv_bytes(s));
    sync_to(s, 1000);
    sync_to(restored, 1000);
    assert_same_logits(restored, s);
    assert_int_equal(mn_session_kv_bytes(restored), mn_session_kv_bytes(s));
    sync_to(restored, 300);
    mn_session_clear(s);
    sync_to(s, 300);
    assert_same_logits(restored, s);
    /* A session that would look at what the file lacks. */
    restored->sequence.kept.last = 1000;
    assert_int_equal(mn_session_restore(restored, path, &err), MN_ERR_FORMAT);
    assert_non_null(strstr(err.text, "lacks KV entries"));
    restored->sequence.kept.last = 0;
    assert_int_equal(mn_session_restore(restored, path, &err), MN_ERR_FORMAT);
    mn_session_close(s);
    mn_session_close(restored);
}

static void restored_equals_never_stopped(void **state) {
    (void)state;
    each_session(check_saved);
}

/* Where one layer sees everything, everything stays. */
static void one_full_layer_keeps_all(void **state) {
    (void)state;
    mn_engine *engine = rows_engine("models/default.gguf");
    mn_session *s;
    mn_error err;
    mn_session_params params = {.n_ctx = TEXT_TOKENS, .attn_layers = "0-2=window:65"};
    assert_ok(mn_session_open(engine, &params, &s, &err), err);
    assert_int_equal(s->sequence.kept.last, 0);
    mn_session_close(s);
    params.attn_layers = "0-1=window:65,2=linear,3=sinks-abs:9,30";
    assert_ok(mn_session_open(engine, &params, &s, &err), err);
    assert_int_equal(s->sequence.kept.first, 9);
    assert_int_equal(s->sequence.kept.last, 65);
    mn_session_close(s);
    mn_engine_close(engine);
}

/* As in Mistral: the file gives every layer a window, and nobody asks for a pattern. */
static void windows_of_the_model_drop_as_well(void **state) {
    (void)state;
    mn_engine *engine = open_engine("golden/tiny-llama-yarn.gguf");
    engine->model.config.window = 65;
    for (int i = 0; i < engine->model.config.n_layers; i++) engine->model.config.layers[i].window = 65;
    check_growth(engine, NULL);
    check_return(engine, NULL);
    mn_engine_close(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_constant_and_bits_are_the_same),
        cmocka_unit_test(goes_back_to_where_rows_are_gone),
        cmocka_unit_test(a_short_way_back_reads_nothing_again),
        cmocka_unit_test(restored_equals_never_stopped),
        cmocka_unit_test(one_full_layer_keeps_all),
        cmocka_unit_test(windows_of_the_model_drop_as_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
