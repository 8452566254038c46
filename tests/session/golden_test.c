/* Every architecture against reference logits, at every level of instructions: exact arithmetic at once, in chunks,
 * token by token; and the arithmetic that users run, with weights of several types. */
#include "support/golden.h"
#include "support/levels.h"

#include <stdlib.h>
#include <string.h>

/* Every fifth is tested under emulation: small ones, with dense layers, experts, latent attention and learned
 * positions. */
static const char *const models[] = {
    "golden/tiny-llama", "golden/tiny-llama-yarn", "golden/tiny-mixtral",   "golden/tiny-qwen2",
    "golden/tiny-qwen3", "golden/tiny-qwen3moe",   "golden/tiny-gemma2",    "golden/tiny-gemma3",
    "golden/tiny-phi3",  "golden/tiny-deepseek2",  "golden/tiny-deepseek3", "golden/tiny-bloom",
    "golden/tiny-mpt",   "models/default",         "models/infini",         "golden/tiny-gpt2",
};
enum { N_MODELS = sizeof models / sizeof *models };

static void exact_arithmetic_agrees(void **state) {
    (void)state;
    golden_each(models, N_MODELS, data_path, golden_check_exact);
}

static void fast_arithmetic_agrees(void **state) {
    (void)state;
    golden_each(models, N_MODELS, data_path, golden_check_fast);
}

static float *compute(const golden *g, int n_threads, int32_t n_batch) {
    return golden_compute(g, &(mn_engine_params){.n_threads = n_threads, .exact = true},
                          (mn_session_params){.n_batch = n_batch});
}

/* Not close: the same bits. A row's arithmetic depends on nothing but the row. */
static void check_chunks(const golden *g, const char *name, int level) {
    static const struct { int n_threads, n_batch; } ways[] = {{1, 1}, {2, 7}, {3, 64}};
    float *whole = compute(g, 1, 0);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        if (!takes_case(i, 3)) continue;
        float *parts = compute(g, ways[i].n_threads, ways[i].n_batch);
        if (memcmp(parts, whole, (size_t)(g->n_rows * g->n_vocab) * sizeof *whole) != 0)
            fail_msg("%s at %s: %d threads and steps of %d change the logits", name,
                     mn_cpu_level_name((mn_cpu_level)level), ways[i].n_threads, ways[i].n_batch);
        free(parts);
    }
    free(whole);
}

static void chunks_and_threads_change_no_bit(void **state) {
    (void)state;
    golden_each(models, N_MODELS, data_path, check_chunks);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_arithmetic_agrees),
        cmocka_unit_test(fast_arithmetic_agrees),
        cmocka_unit_test(chunks_and_threads_change_no_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
