/* Sessions of models with recurrent mixers: a follow-up question rereads no more than one checkpoint interval, however
 * long the text is; what was rewound goes on as if it had never been further; sessions of a step compute what each
 * computes alone; the plan counts states and checkpoints.
 */
#include "support/support.h"

#include <mnemo/step.h>
#include <stdlib.h>
#include <string.h>

#include "session/session.h"

enum { N_TOKENS = 30000, N_VOCAB = 512, INTERVAL = MN_FIRST_CHECKPOINT_TOKENS };

static const char *const models[] = {"golden/tiny-qwen35.gguf",   "golden/tiny-mamba2.gguf",
                                     "golden/tiny-rwkv7.gguf",    "golden/tiny-falcon-h1.gguf",
                                     "golden/tiny-lfm2.gguf",     "golden/tiny-kimi-linear.gguf",
                                     "golden/tiny-deepseek4.gguf"};
enum { N_MODELS = sizeof models / sizeof *models };

static int32_t text[N_TOKENS];

static int make_text(void **unused) {
    (void)unused;
    uint32_t x = 1;
    for (int i = 0; i < N_TOKENS; i++) {
        x = x * 1103515245 + 12345;
        text[i] = (int32_t)(x >> 16 & 0x7fff) % N_VOCAB;
    }
    return 0;
}

static mn_engine *open_engine(const char *model) {
    mn_engine *engine;
    mn_error err;
    assert_ok(mn_engine_open(data_path(model), &(mn_engine_params){.n_threads = 2, .exact = true}, &engine, &err), err);
    return engine;
}

static mn_session *open_session(mn_engine *engine, int64_t n_ctx) {
    mn_session *s;
    mn_error err;
    const mn_session_params params = {.n_ctx = n_ctx, .position.beyond = true};
    assert_ok(mn_session_open(engine, &params, &s, &err), err);
    return s;
}

static void extend(mn_session *s, const int32_t *tokens, int64_t n) {
    mn_error err;
    assert_ok(mn_session_extend(s, tokens, n, NULL, NULL, NULL, NULL, &err), err);
}

static float *logits_of(const mn_session *s) {
    assert_non_null(mn_session_logits(s));
    return memcpy(malloc(N_VOCAB * sizeof(float)), mn_session_logits(s), N_VOCAB * sizeof(float));
}

/* A long text, then again and again another end of it. */
static void follow_ups_reread_one_interval(void **unused) {
    (void)unused;
    mn_engine *engine = open_engine("golden/tiny-mamba2.gguf");
    mn_session *s = open_session(engine, N_TOKENS);
    mn_error err;
    extend(s, text, N_TOKENS - 600);
    for (int64_t kept = N_TOKENS - 601; kept > N_TOKENS - 1100; kept -= 97) {
        int64_t n_reused, n = kept + 20;
        int32_t *turn = malloc((size_t)n * sizeof *turn);
        memcpy(turn, text, (size_t)n * sizeof *turn);
        turn[kept] = (text[kept] + 1) % N_VOCAB;
        assert_ok(mn_session_sync(s, turn, n, NULL, NULL, &n_reused, &err), err);
        assert_true(n_reused <= kept);
        assert_true(kept - n_reused <= INTERVAL);
        free(turn);
    }
    mn_session_close(s);
    mn_engine_close(engine);
}

/* The way back to any place is at most as long as from there to the end, and an interval. */
static void checkpoints_reach_everywhere(void **unused) {
    (void)unused;
    mn_engine *engine = open_engine("golden/tiny-mamba2.gguf");
    mn_session *s = open_session(engine, N_TOKENS);
    extend(s, text, N_TOKENS);
    assert_true(s->n_checkpoints <= MN_MAX_CHECKPOINTS);
    int64_t last = 0;
    for (int i = 0; i < s->n_checkpoints; i++) {
        int64_t here = s->checkpoints[i].n_tokens;
        assert_true(here > last);
        assert_true(here - last <= (N_TOKENS - here) + 2 * INTERVAL);
        last = here;
    }
    assert_true(N_TOKENS - last <= INTERVAL);
    mn_session_close(s);
    mn_engine_close(engine);
}

static void rewound_equals_never_further(void **unused) {
    (void)unused;
    for (int i = 0; i < N_MODELS; i++) {
        mn_engine *engine = open_engine(models[i]);
        mn_session *s = open_session(engine, 1300), *fresh = open_session(engine, 1300);
        mn_error err;
        extend(s, text, 1200);
        assert_ok(mn_session_rewind(s, 700, &err), err);
        extend(s, text + 2000, 30);
        extend(fresh, text, 700);
        extend(fresh, text + 2000, 30);
        assert_memory_equal(mn_session_logits(s), mn_session_logits(fresh), N_VOCAB * sizeof(float));
        mn_session_close(s);
        mn_session_close(fresh);
        mn_engine_close(engine);
    }
}

static void a_batch_equals_each_alone(void **unused) {
    (void)unused;
    enum { N = 3 };
    static const int64_t lengths[N] = {40, 1, 17};
    for (int i = 0; i < N_MODELS; i++) {
        mn_engine *engine = open_engine(models[i]);
        mn_session *together[N];
        mn_step_entry entries[N] = {{0}};
        mn_error err;
        for (int k = 0; k < N; k++) {
            together[k] = open_session(engine, 128);
            extend(together[k], text + 100 * k, 20 + k);
            entries[k] = (mn_step_entry){.session = together[k], .tokens = text + 500 * k, .n_tokens = lengths[k]};
        }
        assert_ok(mn_engine_step(engine, entries, N, &err), err);
        for (int k = 0; k < N; k++) {
            mn_session *alone = open_session(engine, 128);
            extend(alone, text + 100 * k, 20 + k);
            extend(alone, text + 500 * k, lengths[k]);
            float *want = logits_of(alone);
            assert_memory_equal(mn_session_logits(together[k]), want, N_VOCAB * sizeof *want);
            free(want);
            mn_session_close(alone);
            mn_session_close(together[k]);
        }
        mn_engine_close(engine);
    }
}

static void plans_count_states(void **unused) {
    (void)unused;
    for (int i = 0; i < N_MODELS; i++) {
        mn_engine *engine = open_engine(models[i]);
        mn_session *s = open_session(engine, 2048);
        mn_memory_plan plan;
        mn_error err;
        const mn_window window = {.n_ctx = 2048, .n_batch = 512, .k_type = MN_F32, .v_type = MN_F32};
        assert_ok(mn_memory_plan_make(engine, &window, &plan, &err), err);
        assert_true(s->sequence.state_bytes > 0);
        assert_int_equal(plan.state_bytes, (1 + 2048 / INTERVAL) * s->sequence.state_bytes);
        mn_session_close(s);
        mn_engine_close(engine);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follow_ups_reread_one_interval),
        cmocka_unit_test(checkpoints_reach_everywhere),
        cmocka_unit_test(rewound_equals_never_further),
        cmocka_unit_test(a_batch_equals_each_alone),
        cmocka_unit_test(plans_count_states),
    };
    return cmocka_run_group_tests(tests, make_text, NULL);
}
