/* position: ALiBi's slopes and the sinusoidal row against the papers' figures. */
#include "support/support.h"

#include <math.h>

#include "position/position.h"

static void slopes_of_a_power_of_two(void **state) {
    (void)state;
    float slopes[32], wanted[32];
    for (int n = 8; n <= 32; n += 24) { /* 1/2, 1/4, ... 1/256 for 8 heads; every fourth part of it for 32 */
        for (int h = 0; h < n; h++) wanted[h] = (float)pow(2, -8. * (h + 1) / n);
        mn_alibi_slopes(n, 8, slopes);
        assert_close(slopes, wanted, (size_t)n, 0, 1e-7, "slopes");
    }
    assert_true(slopes[31] == 0x1p-8f);
}

static void slopes_of_other_counts(void **state) {
    (void)state;
    float slopes[20];
    mn_alibi_slopes(12, 8, slopes);
    assert_close(slopes,
                 (float[]){.5f, .25f, .125f, .0625f, .03125f, .015625f, .0078125f, .00390625f, .7071067812f,
                           .3535533906f, .1767766953f, .0883883476f},
                 12, 0, 1e-7, "12 heads");
    mn_alibi_slopes(20, 8, slopes);
    assert_close(slopes, (float[]){.7071067812f, .5f}, 2, 0, 1e-7, "20 heads, the first");
    assert_close(slopes + 15, (float[]){.00390625f, .8408964153f, .5946035575f, .4204482076f, .2973017788f}, 5, 0, 1e-7,
                 "20 heads, the last");
    mn_alibi_slopes(1, 8, slopes);
    assert_true(slopes[0] == 0x1p-8f);
}

static void sinusoidal_row(void **state) {
    (void)state;
    float row[512];
    mn_sinusoidal(10, 512, row);
    assert_close(row, (float[]){-.5440211109f, -.8390715291f, -.2200231855f, -.9754946427f}, 4, 1e-7, 0, "dims 0-3");
    assert_close(row + 510, (float[]){.0010366327f, .9999994627f}, 2, 1e-7, 0, "dims 510 and 511");
    mn_sinusoidal(1000000, 512, row);
    assert_close(row, (float[]){(float)sin(1e6), (float)cos(1e6)}, 2, 1e-7, 0, "position 1,000,000");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slopes_of_a_power_of_two),
        cmocka_unit_test(slopes_of_other_counts),
        cmocka_unit_test(sinusoidal_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
