/* Several threads, each with a session of its own over one engine: all get what they get alone. */
#include "support/support.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <mnemo/step.h>

enum { N_WORKERS = 4, N_TOKENS = 220, MAX_VOCAB = 2048, N_SEEN = 6, N_STEPS = 8 };

typedef struct worker {
    mn_engine *engine;
    int index, n_vocab, n_rows;
    int32_t tokens[N_TOKENS];
    float rows[N_SEEN][MAX_VOCAB]; /* what it saw, in order */
    double sum;                    /* of the logits handed to a callback */
    mn_error err;
    char failed[128];
} worker;

#define MUST(w, expression)                                                                                            \
    do {                                                                                                               \
        if ((expression) != MN_OK) {                                                                                   \
            snprintf((w)->failed, sizeof(w)->failed, "%s", #expression);                                               \
            return;                                                                                                    \
        }                                                                                                              \
    } while (0)

static const mn_session_params kinds[N_WORKERS] = {
    {.n_ctx = 256, .n_batch = 32},
    {.n_ctx = 256, .n_batch = 48, .type_k = "q8_0", .type_v = "f16"},
    {.n_ctx = 256, .n_batch = 64, .attn = "window:40"},
    {.n_ctx = 512, .n_batch = 16, .attn = "infini:64"},
};

static void add_up(void *arg, int64_t index, const float *logits) {
    worker *w = arg;
    for (int i = 0; i < w->n_vocab; i++) w->sum += logits[i] * (double)(index + 1);
}

static void look(worker *w, const mn_session *s) {
    memcpy(w->rows[w->n_rows++], mn_session_logits(s), (size_t)w->n_vocab * sizeof(float));
}

static void use_session(worker *w, mn_session *s, const char *path) {
    uint8_t want[20];
    mn_error *err = &w->err;
    memset(want, 1, sizeof want);
    MUST(w, mn_session_sync(s, w->tokens, 150, NULL, NULL, NULL, err));
    look(w, s);
    MUST(w, mn_session_extend(s, w->tokens + 150, 20, want, add_up, NULL, w, err));
    look(w, s);
    MUST(w, mn_session_save(s, path, err));
    MUST(w, mn_session_rewind(s, 90, err));
    MUST(w, mn_session_extend(s, w->tokens + 90, 1, NULL, NULL, NULL, NULL, err));
    look(w, s);
    MUST(w, mn_session_restore(s, path, err));
    MUST(w, mn_session_sync(s, w->tokens, N_TOKENS, NULL, NULL, NULL, err));
    look(w, s);
}

/* Two sessions of the thread in steps together. */
static void use_steps(worker *w, mn_session *s) {
    mn_session_params params = kinds[(w->index + 1) % N_WORKERS];
    mn_session *other;
    params.position.beyond = true;
    MUST(w, mn_session_open(w->engine, &params, &other, &w->err));
    MUST(w, mn_session_rewind(s, 100, &w->err));
    for (int i = 0; i < N_STEPS; i++) {
        mn_step_entry entries[] = {{.session = s, .tokens = w->tokens + i, .n_tokens = 1},
                                   {.session = other, .tokens = w->tokens + 20 * i, .n_tokens = 20 - i}};
        MUST(w, mn_engine_step(w->engine, entries, 2, &w->err));
    }
    look(w, s);
    look(w, other);
    mn_session_close(other);
}

/* What else a thread may ask meanwhile. */
static void use_engine(worker *w) {
    int32_t *ids;
    size_t n;
    MUST(w, mn_tokenize(mn_engine_tokenizer(w->engine), "The sun was low.", 16, true, false, &ids, &n, &w->err));
    free(ids);
    if (mn_engine_info(w->engine).n_vocab != w->n_vocab) snprintf(w->failed, sizeof w->failed, "engine info");
}

static void *work(void *arg) {
    worker *w = arg;
    mn_session_params params = kinds[w->index];
    mn_session *s;
    char path[4200];
    snprintf(path, sizeof path, "%s/mnemo-threads-%ld-%d", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp", (long)getpid(),
             w->index);
    int n_rounds = is_quick_run() ? 1 : 2;
    for (int round = 0; round < n_rounds && !w->failed[0]; round++) {
        w->n_rows = 0;
        w->sum = 0;
        params.position.beyond = true;
        if (mn_session_open(w->engine, &params, &s, &w->err) != MN_OK) {
            snprintf(w->failed, sizeof w->failed, "mn_session_open");
            break;
        }
        use_session(w, s, path);
        if (!w->failed[0]) use_steps(w, s);
        use_engine(w);
        mn_session_close(s);
    }
    remove(path);
    return NULL;
}

static worker *new_workers(mn_engine *engine) {
    worker *workers = calloc(N_WORKERS, sizeof *workers);
    for (int i = 0; i < N_WORKERS; i++) {
        worker *w = &workers[i];
        w->engine = engine;
        w->index = i;
        w->n_vocab = mn_engine_info(engine).n_vocab;
        uint32_t x = 5 + (uint32_t)i;
        for (int t = 0; t < N_TOKENS; t++) {
            x = x * 1103515245 + 12345;
            w->tokens[t] = (int32_t)((x >> 16) % (uint32_t)w->n_vocab);
        }
    }
    return workers;
}

static void check_threads(bool exact) {
    mn_engine *engine;
    mn_error err;
    char path[4096];
    pthread_t threads[N_WORKERS];
    snprintf(path, sizeof path, "%s/models/default.gguf", MNEMO_SOURCE_DIR);
    mn_engine_params params = {.n_threads = 2, .exact = exact};
    assert_ok(mn_engine_open(path, &params, &engine, &err), err);
    worker *alone = new_workers(engine), *together = new_workers(engine);
    for (int i = 0; i < N_WORKERS; i++) work(&alone[i]);
    for (int i = 0; i < N_WORKERS; i++) assert_int_equal(pthread_create(&threads[i], NULL, work, &together[i]), 0);
    for (int i = 0; i < N_WORKERS; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < N_WORKERS; i++) {
        if (together[i].failed[0]) fail_msg("worker %d: %s: %s", i, together[i].failed, together[i].err.text);
        assert_int_equal(alone[i].n_rows, together[i].n_rows);
        assert_memory_equal(alone[i].rows, together[i].rows, sizeof alone[i].rows);
        assert_true(alone[i].sum == together[i].sum);
        for (int j = 0; j < i; j++) assert_memory_not_equal(alone[i].rows[0], alone[j].rows[0], 100);
    }
    free(alone);
    free(together);
    mn_engine_close(engine);
}

static void threads_get_what_they_get_alone(void **state) {
    (void)state;
    check_threads(true);
}

static void also_in_fast_arithmetic(void **state) {
    (void)state;
    check_threads(false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_get_what_they_get_alone),
        cmocka_unit_test(also_in_fast_arithmetic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
