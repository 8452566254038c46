#include "tensor/quantise.h"

enum { STEPS = 9 }; /* on either side */

float mn_fit_scale(const float *x, int n, int least) {
    float max = mn_signed_max(x, n), best = 0, best_gain = 0;
    for (int step = -STEPS; max != 0 && step <= STEPS; step++) {
        float inverse = ((float)least - 0.1f * (float)step) / max, xq = 0, qq = 0;
        for (int l = 0; l < n; l++) {
            float q = (float)mn_round_to(x[l] * inverse, least, -least - 1);
            xq += x[l] * q;
            qq += q * q;
        }
        if (!(qq > 0) || !(xq * xq > best_gain * qq)) continue;
        best_gain = xq * xq / qq;
        best = xq / qq;
    }
    return best;
}
