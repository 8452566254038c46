#include "support/golden.h"

static void check(void **state, golden_check *with) {
    const golden_suite *suite = *state;
    golden_each(suite->models, suite->n_models, data_path, with);
}

static void exact_arithmetic_agrees(void **state) { check(state, golden_check_exact); }

static void fast_arithmetic_agrees(void **state) {
    const golden_suite *suite = *state;
    golden_each(suite->models, suite->n_fast, data_path, suite->fast);
}

static void chunks_and_threads_change_no_bit(void **state) { check(state, golden_check_chunks); }

static void restored_equals_never_stopped(void **state) { check(state, golden_check_restored); }

int golden_run(const golden_suite *suite) {
    void *state = (void *)suite;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(exact_arithmetic_agrees, state),
        cmocka_unit_test_prestate(fast_arithmetic_agrees, state),
        cmocka_unit_test_prestate(chunks_and_threads_change_no_bit, state),
        cmocka_unit_test_prestate(restored_equals_never_stopped, state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
