/* A text beyond Llama 4's chunk of 8192 tokens, where chunks and the temperature of its other layers begin to show. */
#include "support/golden.h"
#include "support/levels.h"

static const char *const models[] = {"golden/tiny-llama4@xlong"};

static void exact_arithmetic_agrees(void **state) {
    (void)state;
    golden_each(models, 1, data_path, golden_check_exact);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(exact_arithmetic_agrees)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
