/* Circles are noticed at the token where max(4 p, 96) of them are complete, as counted by comparing the whole answer.
 */
#include "sample/repetition.h"

#include "base/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { N = 1500 };

/* The definition: the shortest period of the end of the answer. */
static int period_of(const int32_t *tokens, int n) {
    for (int p = 1; p <= MN_REPETITION_MAX_PERIOD; p++) {
        int wanted = 4 * p > 96 ? 4 * p : 96, i = n - 1;
        if (wanted > n) continue;
        while (i >= n - wanted + p && tokens[i] == tokens[i - p]) i--;
        if (i < n - wanted + p) return p;
    }
    return 0;
}

static void compare(const int32_t *tokens, int n) {
    static mn_repetition r;
    r = (mn_repetition){0};
    for (int i = 0; i < n; i++) assert_int_equal(mn_repetition_next(&r, tokens[i]), period_of(tokens, i + 1));
}

static void test_circles(void **state) {
    (void)state;
    static const int periods[] = {1, 2, 3, 7, 24, 25, 100, 255, 256, 257};
    static int32_t tokens[N];
    mn_random rng;
    for (size_t k = 0; k < sizeof periods / sizeof *periods; k++) {
        mn_random_seed(&rng, k, 0);
        for (int i = 0; i < N; i++)
            tokens[i] = i < 50 + periods[k] ? (int32_t)mn_random_below(&rng, 5) : tokens[i - periods[k]];
        compare(tokens, N);
    }
}

static void test_no_circle(void **state) {
    (void)state;
    static int32_t tokens[N];
    static mn_repetition r;
    mn_random rng;
    mn_random_seed(&rng, 1, 0);
    for (int i = 0; i < N; i++) tokens[i] = (int32_t)mn_random_below(&rng, 3);
    compare(tokens, N);
    r = (mn_repetition){0};
    for (int32_t i = 0; i < N; i++) assert_int_equal(mn_repetition_next(&r, i % 300), 0);
    /* 95 equal tokens are allowed, once or twice. */
    r = (mn_repetition){0};
    for (int32_t i = 0; i < 3 * 96; i++) assert_int_equal(mn_repetition_next(&r, i % 96 ? 7 : 8), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_circles), cmocka_unit_test(test_no_circle)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
