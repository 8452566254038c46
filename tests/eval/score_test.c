#include "support/support.h"

#include "eval/score.h"

#include <math.h>
#include <string.h>

static void test_containing(void **state) {
    (void)state;
    const char *const two[] = {"48213", "Green Hill"};
    assert_true(mn_score(MN_SCORE_ALL, "It is 48213 on GREEN HILL.", two, 2) == 1);
    assert_true(mn_score(MN_SCORE_ALL, "It is 48213.", two, 2) == 0.5);
    assert_true(mn_score(MN_SCORE_ALL, "", two, 2) == 0);
    assert_true(mn_score(MN_SCORE_ANY, "green hill", two, 2) == 1);
    assert_true(mn_score(MN_SCORE_ANY, "green\thill", two, 2) == 0); /* a control character is a line's end */
    assert_true(mn_score(MN_SCORE_ANY, "482 13", two, 2) == 0);
    assert_true(mn_contains("abc", "") && !mn_contains("", "a"));
}

static void test_sets(void **state) {
    (void)state;
    const char *const names[] = {"ab12", "cd34"};
    assert_true(mn_score(MN_SCORE_SET_F1, "[zz] so: [ab12, cd34]", names, 2) == 1);
    assert_true(fabs(mn_score(MN_SCORE_SET_F1, "Final: ['ab12', 'ab12', \"xx\"]", names, 2) - 0.5) < 1e-12);
    assert_true(mn_score(MN_SCORE_SET_F1, "ab12, cd34", names, 2) == 0);
    assert_true(mn_score(MN_SCORE_SET_F1, "none: []", names, 0) == 1);
    assert_true(mn_score(MN_SCORE_SET_F1, "none", names, 0) == 1);
    assert_true(mn_score(MN_SCORE_SET_F1, "[ab12]", names, 0) == 0);
    assert_true(mn_score(MN_SCORE_SET_F1, "] [", names, 2) == 0);
}

/* Values that Python 3.11's difflib.SequenceMatcher(None, a, b, autojunk=False).ratio() gives. */
static void test_similarity(void **state) {
    (void)state;
    static const struct {
        const char *a, *b;
        double ratio;
    } cases[] = {
        {"", "", 1},
        {"a", "", 0},
        {"abcd", "bcde", 0.75},
        {"private Thread currentThread;", "private volatile Thread currentThread;", 0.8656716417910447},
        {"tide", "diet", 0.25},
        {"diet", "tide", 0.5},
        {"abxcd", "abcd", 0.8888888888888888},
        {"the quick brown fox", "the slow brown dog", 0.6486486486486487},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double got = mn_similarity(cases[i].a, cases[i].b);
        if (fabs(got - cases[i].ratio) > 1e-12) fail_msg("%s / %s: %.17g", cases[i].a, cases[i].b, got);
    }
    const char *const refs[] = {"Xy7", "abcd"};
    assert_true(mn_score(MN_SCORE_SIMILAR, " Xy7 bcde", refs, 2) == 0.75);
    assert_true(mn_score(MN_SCORE_SIMILAR, "abcd", refs, 2) == 0);
}

/* Wilson's interval as published for small samples (Newcombe 1998, table I). */
static void test_intervals(void **state) {
    (void)state;
    mn_interval i = mn_wilson(81.0 / 263, 263);
    assert_true(fabs(i.low - 0.2553) < 5e-5 && fabs(i.high - 0.3662) < 5e-5);
    i = mn_wilson(0, 20);
    assert_true(i.low == 0 && fabs(i.high - 0.1611) < 5e-5);
    i = mn_wilson(1.0 / 29, 29);
    assert_true(fabs(i.low - 0.0061) < 5e-5 && fabs(i.high - 0.1718) < 5e-5);
    assert_true(mn_wilson(0, 0).high == 1);
    double x[100], y[100];
    for (int k = 0; k < 100; k++) {
        x[k] = k % 2;
        y[k] = 0;
    }
    i = mn_paired_bootstrap(x, y, 100, 1);
    assert_true(i.low > 0.36 && i.low < 0.44 && i.high > 0.56 && i.high < 0.64); /* 0.5 +- 1.96 * 0.05 */
    i = mn_paired_bootstrap(x, x, 100, 1);
    assert_true(i.low == 0 && i.high == 0);
    i = mn_paired_bootstrap(x, y, 1, 1); /* one pair says nothing of others */
    assert_true(i.low == -1 && i.high == 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_containing),
        cmocka_unit_test(test_sets),
        cmocka_unit_test(test_similarity),
        cmocka_unit_test(test_intervals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
