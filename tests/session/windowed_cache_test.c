/* KV entries of windowed layers are dropped while other layers keep theirs: no bit of what a session computes changes,
 * its memory is what the plan says at most, it goes back near its end by no more than an interval and to any place by
 * no more than the way from there to the furthest that it had been, and one that was saved and restored goes on and
 * back alike.
 */
#include "support/support.h"

#include "base/checked.h"
#include "session/session.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { N_TOKENS = 6000, N_CTX = 6400, N_BATCH = 256, INTERVAL = 512 };

static const char *const models[] = {"golden/tiny-gpt-oss.gguf",  "golden/tiny-gemma3.gguf", "golden/tiny-olmo3.gguf",
                                     "golden/tiny-cohere2.gguf",  "golden/tiny-mimo2.gguf",  "golden/tiny-gemma4.gguf",
                                     "golden/tiny-deepseek4.gguf"};
enum { N_MODELS = sizeof models / sizeof *models };

static int32_t text[N_CTX];

static void make_text(const mn_engine *engine, int64_t from, uint32_t seed) {
    for (int64_t i = from; i < N_CTX; i++) {
        seed = seed * 1103515245 + 12345;
        text[i] = (int32_t)(seed >> 8) % engine->model.config.n_vocab;
    }
}

static mn_engine *open_engine(const char *model) {
    mn_engine *engine;
    mn_error err;
    assert_ok(mn_engine_open(data_path(model), &(mn_engine_params){.n_threads = 2, .exact = true}, &engine, &err), err);
    make_text(engine, 0, 1);
    return engine;
}

static mn_session *open_session(mn_engine *engine, int64_t n_batch) {
    mn_session *s;
    mn_error err;
    const mn_session_params params = {.n_ctx = N_CTX, .n_batch = n_batch, .position.beyond = true};
    assert_ok(mn_session_open(engine, &params, &s, &err), err);
    return s;
}

static void extend(mn_session *s, int64_t begin, int64_t end) {
    mn_error err;
    assert_ok(mn_session_extend(s, text + begin, end - begin, NULL, NULL, NULL, NULL, &err), err);
}

static int64_t take_text(mn_session *s, int64_t n) {
    mn_error err;
    int64_t n_reused;
    assert_ok(mn_session_sync(s, text, n, NULL, NULL, &n_reused, &err), err);
    return n_reused;
}

static void assert_same_logits(const mn_session *a, const mn_session *b, const char *model) {
    size_t bytes = (size_t)a->engine->model.config.n_vocab * sizeof(float);
    if (memcmp(mn_session_logits(a), mn_session_logits(b), bytes)) fail_msg("%s: other logits", model);
}

/* One step of all tokens, which drops nothing before its end, and many steps. */
static void dropping_changes_no_bit(void **unused) {
    (void)unused;
    for (int i = 0; i < N_MODELS; i++) {
        mn_engine *engine = open_engine(models[i]);
        mn_session *whole = open_session(engine, N_CTX), *steps = open_session(engine, N_BATCH);
        assert_true(steps->sequence.window > 0);
        extend(whole, 0, 3000);
        extend(steps, 0, 2999);
        extend(steps, 2999, 3000);
        assert_same_logits(steps, whole, models[i]);
        mn_session_close(whole);
        mn_session_close(steps);
        mn_engine_close(engine);
    }
}

/* Most entries are held when a step has run and what it leaves unseen is not dropped yet. */
typedef struct peak {
    const mn_session *s;
    size_t bytes;
} peak;

static void look(void *arg, int64_t index, const float *logits) {
    (void)index, (void)logits;
    peak *p = arg;
    p->bytes = MN_MAX(p->bytes, mn_kvcache_bytes(p->s->sequence.cache));
}

static void memory_is_as_planned(void **unused) {
    (void)unused;
    for (int i = 0; i < N_MODELS; i++) {
        mn_engine *engine = open_engine(models[i]);
        mn_session *s = open_session(engine, N_BATCH);
        const mn_kv_shape *shape = mn_kvcache_shape(s->sequence.cache);
        const mn_window window = {.n_ctx = N_CTX, .n_batch = N_BATCH, .k_type = shape->k_type, .v_type = shape->v_type};
        mn_memory_plan plan;
        mn_error err;
        assert_ok(mn_memory_plan_make(engine, &window, &plan, &err), err);
        size_t all = mn_kv_slab_bytes(shape) * ((N_CTX + MN_PAGE_TOKENS - 1) / MN_PAGE_TOKENS);
        assert_true(plan.kv_bytes < all);
        peak most = {s, 0};
        static uint8_t want[N_CTX];
        for (int64_t n = 0; n < N_CTX; n += 100) want[n] = 1;
        assert_ok(mn_session_extend(s, text, N_CTX, want, look, NULL, &most, &err), err);
        assert_true(most.bytes > 0 && most.bytes <= plan.kv_bytes);
        assert_true(mn_kvcache_bytes(s->sequence.cache) < most.bytes);
        mn_session_close(s);
        mn_engine_close(engine);
    }
}

/* Another end of the text, from `kept` on; returns how many tokens before it were read again. */
static int64_t turn_back(mn_engine *engine, mn_session *s, int64_t kept, uint32_t seed) {
    int32_t was = text[kept];
    make_text(engine, kept, seed);
    if (text[kept] == was) text[kept] = (was + 1) % engine->model.config.n_vocab;
    return kept - take_text(s, kept + 40);
}

static void the_way_back_is_short(void **unused) {
    (void)unused;
    for (int i = 0; i < N_MODELS; i++) {
        mn_engine *engine = open_engine(models[i]);
        mn_session *s = open_session(engine, N_BATCH);
        extend(s, 0, N_TOKENS);
        for (int64_t kept = N_TOKENS - 10, turn = 2; kept > 0; kept = kept * 3 / 4 - 100, turn++) {
            int64_t again = turn_back(engine, s, kept, (uint32_t)turn);
            assert_true(again >= 0 && again <= MN_MAX(N_TOKENS + 40 - kept, INTERVAL));
            mn_session *fresh = open_session(engine, N_BATCH);
            extend(fresh, 0, kept + 40);
            assert_same_logits(s, fresh, models[i]);
            mn_session_close(fresh);
        }
        mn_session_close(s);
        mn_engine_close(engine);
    }
}

static void restored_goes_on_and_back_alike(void **unused) {
    (void)unused;
    const char *path = temp_path("windowed.session");
    for (int i = 0; i < N_MODELS; i++) {
        mn_engine *engine = open_engine(models[i]);
        mn_session *s = open_session(engine, N_BATCH), *restored = open_session(engine, N_BATCH);
        mn_error err;
        extend(s, 0, 4000);
        assert_ok(mn_session_save(s, path, &err), err);
        assert_ok(mn_session_restore(restored, path, &err), err);
        assert_int_equal(mn_kvcache_bytes(restored->sequence.cache), mn_kvcache_bytes(s->sequence.cache));
        extend(s, 4000, 4010);
        extend(restored, 4000, 4010);
        assert_same_logits(restored, s, models[i]);
        for (int64_t kept = 3900, turn = 2; kept > 1000; kept -= 1300, turn++) {
            int64_t again = turn_back(engine, s, kept, (uint32_t)turn);
            assert_int_equal(kept - take_text(restored, kept + 40), again);
            assert_same_logits(restored, s, models[i]);
        }
        mn_session_close(s);
        mn_session_close(restored);
        mn_engine_close(engine);
    }
    unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dropping_changes_no_bit),
        cmocka_unit_test(memory_is_as_planned),
        cmocka_unit_test(the_way_back_is_short),
        cmocka_unit_test(restored_goes_on_and_back_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
