/* ALiBi, Press et al. 2021 (arXiv:2108.12409): no position in q or k; the score falls with the distance, at a slope of
 * its own for each head. It reads beyond the trained window by design.
 */
#include "position/position.h"

#include <math.h>

void mn_alibi_slopes(int n_heads, double max_bias, float *slopes) {
    int c = 1;
    while (c <= n_heads / 2) c *= 2;
    for (int h = 0; h < n_heads; h++) {
        double exponent = h < c ? (h + 1.0) / c : (h - c + 0.5) / c;
        slopes[h] = (float)exp2(-max_bias * exponent);
    }
}

const mn_technique mn_alibi_about = {
    .name = "ALiBi",
    .paper = "Press et al. 2021 (arXiv:2108.12409)",
    .file = "src/position/alibi.c",
    .test = "tests/position/bias_test.c",
    .exact = true,
    .training = MN_TRAINING_DONE,
};
