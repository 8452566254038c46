/* MXFP4: 32 elements of four bits (E2M1) under one power of two (OCP Microscaling Formats 1.0, 2023, sec. 5; the
 * weights of gpt-oss's experts). */
#include "tensor/blocks.h"
#include "tensor/quantise.h"

#include <math.h>

/* Twice E2M1's magnitudes. */
const int8_t mn_mxfp4_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

enum { BIAS = 127, MAX_EXPONENT = 254 };

/* 2^(e - 127), halved for the doubled values. */
static float scale_of(int e) { return ldexpf(1, e - BIAS - 1); }

void mn_mxfp4_to_f32(const void *src, float *dst, int64_t n) {
    const mn_mxfp4 *block = src;
    for (int64_t b = 0; b < n; b++, dst += MN_BLOCK) {
        float scale = scale_of(block[b].e);
        for (int j = 0; j < 16; j++) {
            dst[j] = scale * (float)mn_mxfp4_values[block[b].q[j] & 15];
            dst[j + 16] = scale * (float)mn_mxfp4_values[block[b].q[j] >> 4];
        }
    }
}

/* The nearest value to v, in units of the scale; the smaller magnitude of two. */
static int nearest(float v) {
    float size = fabsf(v);
    int best = 0;
    for (int i = 1; i < 8; i++)
        if (fabsf((float)mn_mxfp4_values[i] - size) < fabsf((float)mn_mxfp4_values[best] - size)) best = i;
    return v < 0 ? best + 8 : best;
}

static float error_of(const float *x, int e) {
    float scale = scale_of(e), error = 0;
    for (int j = 0; j < MN_BLOCK; j++) {
        float off = scale * (float)mn_mxfp4_values[nearest(x[j] / scale)] - x[j];
        error += off * off;
    }
    return error;
}

/* The exponent that makes the largest magnitude one of 4 to 8 (the format's own rule, which cuts off what is above 6),
 * or the next, whichever loses less. */
static int choose_exponent(const float *x) {
    int power;
    float max = fabsf(mn_signed_max(x, MN_BLOCK));
    if (!(max > 0) || isinf(max)) return max > 0 ? MAX_EXPONENT : 0;
    frexpf(max, &power); /* max = [0.5, 1) * 2^power */
    int e = power - 3 + BIAS < 0 ? 0 : power - 3 + BIAS > MAX_EXPONENT ? MAX_EXPONENT : power - 3 + BIAS;
    return e < MAX_EXPONENT && error_of(x, e + 1) < error_of(x, e) ? e + 1 : e;
}

void mn_mxfp4_from_f32(const float *src, void *dst, int64_t n) {
    mn_mxfp4 *block = dst;
    for (int64_t b = 0; b < n; b++, src += MN_BLOCK) {
        int e = choose_exponent(src);
        float scale = scale_of(e);
        block[b].e = (uint8_t)e;
        for (int j = 0; j < 16; j++)
            block[b].q[j] = (uint8_t)(nearest(src[j] / scale) | nearest(src[j + 16] / scale) << 4);
    }
}
