/* attention/short_conv: the convolution's sum in double; splitting a text changes no bit. */
#include "support/support.h"

#include <string.h>

#include "recurrent/short_conv.h"

enum { ROWS = 23, MAX_CHANNELS = 37, MAX_TAPS = 8 };

static void agrees_with_the_sum(void **state) {
    (void)state;
    static float x[ROWS * MAX_CHANNELS], taps[MAX_CHANNELS * MAX_TAPS], out[ROWS * MAX_CHANNELS],
        want[ROWS * MAX_CHANNELS], history[MAX_TAPS * MAX_CHANNELS];
    for (int n_taps = 1; n_taps <= MAX_TAPS; n_taps++)
        for (int n = 1; n <= MAX_CHANNELS; n += 6) {
            fill_normal(x, ROWS * n, 1);
            fill_normal(taps, n * n_taps, 2);
            fill_normal(history, (n_taps - 1) * n, 3);
            for (int t = 0; t < ROWS; t++)
                for (int c = 0; c < n; c++) {
                    double sum = 0;
                    for (int j = 0; j < n_taps; j++) {
                        double before = t >= j ? x[(t - j) * n + c] : history[(n_taps - 1 + t - j) * n + c];
                        sum += taps[c * n_taps + j] * before;
                    }
                    want[t * n + c] = (float)sum;
                }
            mn_short_conv(out, x, history, taps, n_taps, n, ROWS);
            assert_close(out, want, (size_t)(ROWS * n), 3e-6, 1e-6, "convolution");
        }
}

static void splits_change_nothing(void **state) {
    (void)state;
    enum { N = 21, TAPS = 8 };
    static float x[ROWS * N], taps[N * TAPS], whole[ROWS * N], parts[ROWS * N];
    fill_normal(x, ROWS * N, 4);
    fill_normal(taps, N * TAPS, 5);
    float zeros[(TAPS - 1) * N] = {0};
    mn_short_conv(whole, x, zeros, taps, TAPS, N, ROWS);
    for (int piece = 1; piece <= ROWS; piece++) {
        float history[(TAPS - 1) * N] = {0};
        for (int row = 0; row < ROWS; row += piece) {
            int n = row + piece < ROWS ? piece : ROWS - row;
            mn_short_conv(parts + row * N, x + row * N, history, taps, TAPS, N, n);
            mn_short_conv_advance(history, x + row * N, TAPS, N, n);
        }
        assert_memory_equal(parts, whole, sizeof whole);
        assert_memory_equal(history, x + (ROWS - TAPS + 1) * N, sizeof history);
    }
}

static void a_delay_delays(void **state) {
    (void)state;
    float x[5] = {1, 2, 3, 4, 5}, taps[3] = {0, 0, 1}, history[2] = {-2, -1}, out[5];
    mn_short_conv(out, x, history, taps, 3, 1, 5);
    assert_memory_equal(out, ((float[]){-2, -1, 1, 2, 3}), sizeof out);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(agrees_with_the_sum), cmocka_unit_test(splits_change_nothing),
                                       cmocka_unit_test(a_delay_delays)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
