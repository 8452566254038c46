/* More models against reference logits: other scalings of positions, and models trained for this project. */
#include "support/golden.h"
#include "support/levels.h"

static const char *const models[] = {"golden/tiny-llama-linear", "golden/tiny-llama-rope3",
                                     "golden/tiny-deepseek2-yarn", "models/base", "models/plain-llama"};
enum { N_MODELS = sizeof models / sizeof *models };

static void exact_arithmetic_agrees(void **state) {
    (void)state;
    golden_each(models, N_MODELS, shared_path, golden_check_exact);
}

static void fast_arithmetic_agrees(void **state) {
    (void)state;
    golden_each(models, N_MODELS, shared_path, golden_check_fast);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_arithmetic_agrees),
        cmocka_unit_test(fast_arithmetic_agrees),
    };
    return outcome(cmocka_run_group_tests(tests, NULL, NULL));
}
