/* IQ4_NL: 32 elements that index a table of 16 unevenly spaced levels, dense near zero where weights are. */
#include "tensor/blocks.h"
#include "tensor/half.h"
#include "tensor/quantise.h"

const int8_t mn_iq4_nl_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

enum { SCALE_STEPS = 7 }; /* scales tried on each side of the one that maps the largest value to the last level */

void mn_iq4_nl_to_f32(const void *src, float *dst, int64_t n) {
    const mn_iq4_nl *block = src;
    for (int64_t b = 0; b < n; b++, dst += MN_BLOCK) {
        float d = mn_f16_to_f32(block[b].d);
        for (int j = 0; j < 16; j++) {
            dst[j] = d * (float)mn_iq4_nl_values[block[b].q[j] & 15];
            dst[j + 16] = d * (float)mn_iq4_nl_values[block[b].q[j] >> 4];
        }
    }
}

int mn_iq4_nearest(float v) {
    int low = 0, high = 15; /* invariant: v lies between the levels low and high, or beyond the ends */
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (v < (float)mn_iq4_nl_values[middle])
            high = middle;
        else
            low = middle;
    }
    return v - (float)mn_iq4_nl_values[low] < (float)mn_iq4_nl_values[high] - v ? low : high;
}

/* The scale that fits x best by least squares, given the levels that 1 / inverse assigns: d = sum(x v) / sum(v v).
 * Returns how much of sum(x^2) it explains. */
static float fit_scale(const float *x, float inverse, float *d) {
    float xv = 0, vv = 0;
    for (int j = 0; j < MN_BLOCK; j++) {
        float v = (float)mn_iq4_nl_values[mn_iq4_nearest(x[j] * inverse)];
        xv += x[j] * v;
        vv += v * v;
    }
    *d = xv / vv; /* vv >= 32: no level is zero */
    return *d * xv;
}

float mn_iq4_fit(const float *x) {
    float max = mn_signed_max(x, MN_BLOCK), best = 0, best_gain = 0;
    for (int step = -SCALE_STEPS; max != 0 && step <= SCALE_STEPS; step++) {
        float d, gain = fit_scale(x, (float)(mn_iq4_nl_values[0] + step) / max, &d);
        if (!(gain > best_gain)) continue;
        best_gain = gain;
        best = d;
    }
    return best;
}

void mn_iq4_nl_from_f32(const float *src, void *dst, int64_t n) {
    mn_iq4_nl *block = dst;
    for (int64_t b = 0; b < n; b++, src += MN_BLOCK) {
        block[b].d = mn_f16_from_f32(mn_iq4_fit(src));
        float inverse = mn_inverse(mn_f16_to_f32(block[b].d));
        for (int j = 0; j < 16; j++)
            block[b].q[j] = (uint8_t)(mn_iq4_nearest(src[j] * inverse) | mn_iq4_nearest(src[j + 16] * inverse) << 4);
    }
}
