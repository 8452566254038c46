/* base/random: PCG32's published sequence, ranges, and the first moments. */
#include "support/support.h"

#include <math.h>

#include "base/random.h"

/* The first round of the reference implementation's demo: seed 42, stream 54. */
static void the_published_sequence(void **state) {
    (void)state;
    const uint32_t want[] = {0xa15c02b7, 0x7b47f409, 0xba1d3330, 0x83d2f293, 0xbfa4784b, 0xcbed606e};
    mn_random rng;
    mn_random_seed(&rng, 42, 54);
    for (int i = 0; i < 6; i++) assert_int_equal(mn_random_u32(&rng), want[i]);
    mn_random_seed(&rng, 42, 54);
    assert_true(mn_random_u64(&rng) == 0xa15c02b77b47f409);
}

static void streams_differ(void **state) {
    (void)state;
    mn_random a, b;
    mn_random_seed(&a, 1, 0);
    mn_random_seed(&b, 1, 1);
    int same = 0;
    for (int i = 0; i < 1000; i++) same += mn_random_u32(&a) == mn_random_u32(&b);
    assert_in_range(same, 0, 2);
}

static void stays_below_and_reaches_all(void **state) {
    (void)state;
    mn_random rng;
    mn_random_seed(&rng, 2, 0);
    int counts[7] = {0};
    for (int i = 0; i < 70000; i++) {
        uint32_t r = mn_random_below(&rng, 7);
        assert_in_range(r, 0, 6);
        counts[r]++;
    }
    for (int i = 0; i < 7; i++) assert_in_range(counts[i], 9600, 10400); /* four standard deviations */
    for (int i = 0; i < 10; i++) assert_int_equal(mn_random_below(&rng, 1), 0);
    for (int i = 0; i < 100; i++) assert_in_range(mn_random_below(&rng, 0xffffffff), 0, 0xfffffffe);
}

static void moments(void **state) {
    (void)state;
    enum { N = 100000 };
    mn_random rng;
    mn_random_seed(&rng, 3, 0);
    double sum = 0, normal_sum = 0, square_sum = 0, fourth_sum = 0;
    for (int i = 0; i < N; i++) {
        double u = mn_random_double(&rng), x = mn_random_normal(&rng);
        assert_true(u >= 0 && u < 1 && isfinite(x));
        sum += u;
        normal_sum += x;
        square_sum += x * x;
        fourth_sum += x * x * x * x;
    }
    assert_true(fabs(sum / N - 0.5) < 4 * 0.2887 / sqrt(N));
    assert_true(fabs(normal_sum / N) < 4 / sqrt(N));
    assert_true(fabs(square_sum / N - 1) < 4 * sqrt(2) / sqrt(N));
    assert_true(fabs(fourth_sum / N - 3) < 4 * sqrt(96) / sqrt(N));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_published_sequence), cmocka_unit_test(streams_differ),
                                       cmocka_unit_test(stays_below_and_reaches_all), cmocka_unit_test(moments)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
