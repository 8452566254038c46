#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>

#include <cmocka.h>

enum { PASSED, FAILED, SKIPPED };
static jmp_buf end_of_test;

void fail_test(const char *file, int line, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    printf("%s:%d: ", file, line);
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
    longjmp(end_of_test, FAILED);
}

void skip_test(void) { longjmp(end_of_test, SKIPPED); }

static const char *filter;

void cmocka_set_test_filter(const char *name) { filter = name; }

/* NULL passes. */
static bool fixture_fails(test_fixture *fixture, void **state) { return fixture && fixture(state) != 0; }

static int run_test(const struct CMUnitTest *test, void **state) {
    int result = setjmp(end_of_test);
    if (result != PASSED) return result;
    if (fixture_fails(test->setup, state)) fail_msg("the setup of %s fails", test->name);
    test->run(state);
    if (fixture_fails(test->teardown, state)) fail_msg("the teardown of %s fails", test->name);
    return PASSED;
}

int run_group(const struct CMUnitTest *tests, size_t n, test_fixture *setup, test_fixture *teardown) {
    static const char *const words[] = {[PASSED] = "passed", [FAILED] = "FAILED", [SKIPPED] = "skipped"};
    void *state = NULL;
    int n_failed = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (fixture_fails(setup, &state)) return 1;
    for (size_t i = 0; i < n; i++) {
        if (filter && strcmp(filter, tests[i].name)) continue;
        int result = run_test(&tests[i], &state);
        printf("%s: %s\n", tests[i].name, words[result]);
        n_failed += result == FAILED;
    }
    if (fixture_fails(teardown, &state)) {
        printf("the teardown fails\n");
        n_failed++;
    }
    return n_failed;
}
