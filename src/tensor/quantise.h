/* What the quantisers share. */
#ifndef MN_TENSOR_QUANTISE_H
#define MN_TENSOR_QUANTISE_H

#include <math.h>

/* The value of largest magnitude, with its sign; the first of equals. NaN is passed over. */
static inline float mn_signed_max(const float *x, int n) {
    float best = 0, best_magnitude = 0;
    for (int i = 0; i < n; i++) {
        if (fabsf(x[i]) > best_magnitude) {
            best_magnitude = fabsf(x[i]);
            best = x[i];
        }
    }
    return best;
}

/* Smallest and largest; NaN is passed over. */
static inline void mn_range(const float *x, int n, float *min, float *max) {
    *min = *max = x[0];
    for (int i = 1; i < n; i++) {
        *min = fminf(*min, x[i]);
        *max = fmaxf(*max, x[i]);
    }
}

/* x ~ scale q - min for q in 0..levels by least squares, min >= 0 (fit_scale_and_min.c). */
void mn_fit_scale_and_min(const float *x, int n, int levels, float *scale, float *min);

/* The scale that fits x ~ scale q best for q in least..-least - 1 by least squares, of the grids around the one that
 * gives the value of largest magnitude the level `least` (the range is one longer on that side) (fit_scale.c). */
float mn_fit_scale(const float *x, int n, int least);

/* IQ4_NL's levels: the nearest to v, and the scale that fits 32 values best (iq4_nl.c). */
int mn_iq4_nearest(float v);
float mn_iq4_fit(const float *x);

static inline float mn_inverse(float x) { return x != 0 ? 1 / x : 0; }

/* v cut off towards zero, held within [low, high]; NaN becomes low. */
static inline int mn_truncate_to(float v, int low, int high) {
    if (!(v > (float)low)) return low;
    return v < (float)high ? (int)v : high;
}

/* The same, rounded to nearest (halves to even). */
static inline int mn_round_to(float v, int low, int high) {
    if (!(v > (float)low)) return low;
    return v < (float)high ? (int)rintf(v) : high;
}

#endif
