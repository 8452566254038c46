/* The attention families of 2024 to 2026 against reference logits, at every level of instructions: what golden_test.c
 * does for the older ones, and a session that was saved and restored. */
#include "support/golden.h"
#include "support/levels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Dense models first. Of the others, which have experts or many layers, a router's choice or the depth makes any
 * rounding of the fast arithmetic large: golden_test.c holds it to models with experts. */
static const char *const models[] = {
    "golden/tiny-glm4",        "golden/tiny-mistral3",   "golden/tiny-smollm3",    "golden/tiny-olmo2",
    "golden/tiny-olmo3",       "golden/tiny-cohere2",    "golden/tiny-exaone4",    "golden/tiny-phi4",
    "golden/tiny-granite",     "golden/tiny-gpt-oss",    "golden/tiny-glm4moe",    "golden/tiny-qwen2moe",
    "golden/tiny-exaone4-swa", "golden/tiny-llama4",     "golden/tiny-mimo2",      "golden/tiny-granitemoe",
    "golden/tiny-minimax-m2",  "golden/tiny-step35",     "golden/tiny-starcoder2", "golden/tiny-gemma4",
    "golden/tiny-gemma4moe",   "golden/tiny-deepseek32", "golden/tiny-glm-dsa",
};
enum { N_MODELS = sizeof models / sizeof *models, N_DENSE = 9 };

static void exact_arithmetic_agrees(void **state) {
    (void)state;
    golden_each(models, N_MODELS, data_path, golden_check_exact);
}

/* The arithmetic that users run, with a cache of f16: these models are so narrow that whatever is rounded shows, to a
 * share of the deviation. (golden_test.c looks closer, at wider ones.) */
static void check_fast(const golden *g, const char *name, int level) {
    for (int32_t n_batch = 0; n_batch < 2; n_batch++) {
        float *rows = golden_compute(g, &(mn_engine_params){.n_threads = 2}, (mn_session_params){.n_batch = n_batch});
        double squares = 0;
        for (int64_t i = 0; i < g->n_rows * g->n_vocab; i++)
            squares += ((double)rows[i] - g->logits[i]) * ((double)rows[i] - g->logits[i]);
        double share = sqrt(squares / (double)(g->n_rows * g->n_vocab)) / g->std;
        if (!(share < 0.03))
            fail_msg("%s at %s: logits are off by %.3g of the deviation", name, mn_cpu_level_name((mn_cpu_level)level),
                     share);
        free(rows);
    }
}

static void fast_arithmetic_agrees(void **state) {
    (void)state;
    golden_each(models, N_DENSE, data_path, check_fast);
}

static void chunks_and_threads_change_no_bit(void **state) {
    (void)state;
    golden_each(models, N_MODELS, data_path, golden_check_chunks);
}

/* The logits of the last token, of a text that is prefilled at once; or half of it, saved, restored in another session,
 * and the rest. */
static void check_restored(const golden *g, const char *name, int level) {
    mn_engine *engine;
    mn_session *s;
    mn_error err;
    int64_t half = g->n_tokens / 2;
    const char *path = temp_path("families.session");
    const mn_session_params params = {.n_ctx = g->n_tokens, .position.beyond = true};
    size_t bytes = (size_t)g->n_vocab * sizeof(float);
    float *whole = malloc(bytes);
    assert_ok(mn_engine_open(g->model_path, &(mn_engine_params){.n_threads = 2, .exact = true}, &engine, &err), err);
    assert_ok(mn_session_open(engine, &params, &s, &err), err);
    assert_ok(mn_session_extend(s, g->tokens, g->n_tokens, NULL, NULL, NULL, NULL, &err), err);
    memcpy(whole, mn_session_logits(s), bytes);
    mn_session_close(s);
    assert_ok(mn_session_open(engine, &params, &s, &err), err);
    assert_ok(mn_session_extend(s, g->tokens, half, NULL, NULL, NULL, NULL, &err), err);
    assert_ok(mn_session_save(s, path, &err), err);
    mn_session_close(s);
    assert_ok(mn_session_open(engine, &params, &s, &err), err);
    assert_ok(mn_session_restore(s, path, &err), err);
    assert_ok(mn_session_extend(s, g->tokens + half, g->n_tokens - half, NULL, NULL, NULL, NULL, &err), err);
    if (memcmp(whole, mn_session_logits(s), bytes) != 0)
        fail_msg("%s at %s: a restored session goes on with other logits", name,
                 mn_cpu_level_name((mn_cpu_level)level));
    mn_session_close(s);
    mn_engine_close(engine);
    unlink(path);
    free(whole);
}

static void restored_equals_never_stopped(void **state) {
    (void)state;
    golden_each(models, N_MODELS, data_path, check_restored);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_arithmetic_agrees),
        cmocka_unit_test(fast_arithmetic_agrees),
        cmocka_unit_test(chunks_and_threads_change_no_bit),
        cmocka_unit_test(restored_equals_never_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
