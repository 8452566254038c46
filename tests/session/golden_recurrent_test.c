/* Models with recurrent mixers against reference logits, at every level of instructions: exact arithmetic at once, in
 * chunks, token by token; the arithmetic that users run; and sessions that were saved and restored. */
#include "support/golden.h"

/* The first ones are dense. A router's choice makes any rounding of the fast arithmetic large, and so do gates that
 * decide what a state keeps where nothing but states carries the text: the worst rows diverge by 0.0216 nats (mamba2 in
 * q8_0, token by token, AVX2) and 0.0067 (rwkv7 in f16, bf16 products), where 0.02 and 0.002 are the bounds. */
static const char *const models[] = {
    "golden/tiny-qwen35",  "golden/tiny-falcon-h1",      "golden/tiny-nemotron-h",    "golden/tiny-lfm2",
    "golden/tiny-rwkv7",   "golden/tiny-mamba2",         "golden/tiny-qwen35moe",     "golden/tiny-qwen3next",
    "golden/tiny-lfm2moe", "golden/tiny-nemotron-h-moe", "golden/tiny-granitehybrid", "golden/tiny-kimi-linear",
};
enum { N_MODELS = sizeof models / sizeof *models, N_FAST = 4 };

static void exact_arithmetic_agrees(void **state) {
    (void)state;
    golden_each(models, N_MODELS, data_path, golden_check_exact);
}

static void fast_arithmetic_agrees(void **state) {
    (void)state;
    golden_each(models, N_FAST, data_path, golden_check_fast);
}

static void chunks_and_threads_change_no_bit(void **state) {
    (void)state;
    golden_each(models, N_MODELS, data_path, golden_check_chunks);
}

static void restored_sessions_go_on_alike(void **state) {
    (void)state;
    golden_each(models, N_MODELS, data_path, golden_check_restored);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_arithmetic_agrees),
        cmocka_unit_test(fast_arithmetic_agrees),
        cmocka_unit_test(chunks_and_threads_change_no_bit),
        cmocka_unit_test(restored_sessions_go_on_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
