/* Every architecture against reference logits: fed at once, in chunks, token by token, at every CPU level. */
#include "support/golden.h"

#include <stdlib.h>
#include <string.h>

#include <mnemo/session.h>

#include "kernels/cpu.h"

static const char *const models[] = {
    "golden/tiny-llama",       "golden/tiny-llama-linear",
    "golden/tiny-llama-rope3", "golden/tiny-llama-yarn",
    "golden/tiny-mixtral",     "golden/tiny-qwen2",
    "golden/tiny-qwen3",       "golden/tiny-qwen3moe",
    "golden/tiny-gemma2",      "golden/tiny-gemma3",
    "golden/tiny-phi3",        "golden/tiny-deepseek2",
    "golden/tiny-deepseek3",   "golden/tiny-deepseek2-yarn",
    "golden/tiny-gpt2",        "golden/tiny-bloom",
    "golden/tiny-mpt",         "models/base",
    "models/default",          "models/infini",
    "models/plain-llama",
};

enum { N_MODELS = sizeof models / sizeof *models };

/* In exact arithmetic, n_batch rows per step; the caller frees them. */
static float *compute(const golden *g, int n_threads, int32_t n_batch) {
    return golden_compute(g, &(mn_engine_params){.n_threads = n_threads, .exact = true},
                          (mn_session_params){.n_batch = n_batch});
}

static void each_model(void (*check)(const golden *g, const char *name)) {
    int n_checked = 0;
    for (int i = 0; i < N_MODELS; i++) {
        golden g;
        if (golden_load(models[i], &g)) {
            check(&g, models[i]);
            n_checked++;
        } else {
            leave_out("reference logits", models[i]);
        }
        golden_free(&g);
    }
    assert_true(n_checked >= 4); /* what ships with the sources */
}

static void check_at_once(const golden *g, const char *name) {
    float *rows = compute(g, 2, 0);
    golden_compare(g, rows, 1e-3, name);
    free(rows);
}

static void agrees_with_reference(void **state) {
    (void)state;
    each_model(check_at_once);
}

/* Not close: the same bits. A row's arithmetic depends on nothing but the row. */
static void check_chunks(const golden *g, const char *name) {
    static const struct { int n_threads, n_batch; } ways[] = {{1, 1}, {2, 7}, {3, 64}};
    float *whole = compute(g, 1, 0);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        float *parts = compute(g, ways[i].n_threads, ways[i].n_batch);
        golden_compare(g, parts, 1e-3, name);
        assert_memory_equal(parts, whole, (size_t)(g->n_rows * g->n_vocab) * sizeof *whole);
        free(parts);
    }
    free(whole);
}

static void chunks_and_threads_change_no_bit(void **state) {
    (void)state;
    each_model(check_chunks);
}

static void every_cpu_level_agrees(void **state) {
    (void)state;
    for (mn_cpu_level level = 0; level < MN_CPU_LEVEL_COUNT; level++) {
        if (!mn_cpu_supports(level)) continue;
        setenv("MNEMO_CPU", mn_cpu_level_name(level), 1);
        each_model(check_at_once);
    }
    unsetenv("MNEMO_CPU");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_reference),
        cmocka_unit_test(chunks_and_threads_change_no_bit),
        cmocka_unit_test(every_cpu_level_agrees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
