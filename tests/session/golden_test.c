/* Every architecture against reference logits, at every level of instructions: exact arithmetic at once, in chunks,
 * token by token; and the arithmetic that users run, with weights of several types. */
#include "support/golden.h"
#include "support/levels.h"

/* Every fifth is tested under emulation: small ones, with dense layers, experts, latent attention and learned
 * positions. */
static const char *const models[] = {
    "golden/tiny-llama", "golden/tiny-llama-yarn", "golden/tiny-mixtral",   "golden/tiny-qwen2",
    "golden/tiny-qwen3", "golden/tiny-qwen3moe",   "golden/tiny-gemma2",    "golden/tiny-gemma3",
    "golden/tiny-phi3",  "golden/tiny-deepseek2",  "golden/tiny-deepseek3", "golden/tiny-bloom",
    "golden/tiny-mpt",   "models/default",         "models/infini",         "golden/tiny-gpt2",
    "models/base",       "models/llama",
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

static void chunks_and_threads_change_no_bit(void **state) {
    (void)state;
    golden_each(models, N_MODELS, data_path, golden_check_chunks);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_arithmetic_agrees),
        cmocka_unit_test(fast_arithmetic_agrees),
        cmocka_unit_test(chunks_and_threads_change_no_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
