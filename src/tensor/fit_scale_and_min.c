/* The search for the scale and the minimum of a sub-block, for the types that have both (Q2_K, Q4_K). */
#include "tensor/quantise.h"

enum { TRIES = 20 };

static float error_of(const float *x, int n, int levels, float scale, float min) {
    float error = 0, inverse = mn_inverse(scale);
    for (int l = 0; l < n; l++) {
        float off = scale * (float)mn_round_to((x[l] + min) * inverse, 0, levels) - min - x[l];
        error += off * off;
    }
    return error;
}

/* Least squares for x ~ scale q - min with the q that `inverse` assigns; min is held at 0 or above. */
static void fit(const float *x, int n, int levels, float lowest, float inverse, float *scale, float *min) {
    float q1 = 0, q2 = 0, x1 = 0, xq = 0;
    for (int l = 0; l < n; l++) {
        float q = (float)mn_round_to((x[l] - lowest) * inverse, 0, levels);
        q1 += q;
        q2 += q * q;
        x1 += x[l];
        xq += x[l] * q;
    }
    float determinant = (float)n * q2 - q1 * q1;
    *scale = *min = 0;
    if (determinant > 0) {
        *scale = ((float)n * xq - q1 * x1) / determinant;
        *min = (q1 * xq - q2 * x1) / determinant;
    }
    if (*min < 0) {
        *min = 0;
        *scale = q2 > 0 ? xq / q2 : 0;
    }
}

/* Tries finer and coarser grids around the one that just spans the range, and keeps the fit of least error. */
void mn_fit_scale_and_min(const float *x, int n, int levels, float *scale, float *min) {
    float lowest, highest;
    mn_range(x, n, &lowest, &highest);
    lowest = fminf(lowest, 0); /* the minimum is stored without a sign */
    *scale = fmaxf(highest - lowest, 0) / (float)levels;
    *min = -lowest;
    if (!(*scale > 0)) return;
    float best = error_of(x, n, levels, *scale, *min);
    for (int try = 0; try <= TRIES; try++) {
        float inverse = ((float)levels - 1 + 0.1f * (float)try) / (highest - lowest), try_scale, try_min;
        fit(x, n, levels, lowest, inverse, &try_scale, &try_min);
        float error = error_of(x, n, levels, try_scale, try_min);
        if (!(error < best) || !(try_scale > 0)) continue;
        best = error;
        *scale = try_scale;
        *min = try_min;
    }
}
