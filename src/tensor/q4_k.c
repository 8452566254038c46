/* Q4_K: super-blocks of 256, eight sub-blocks of 32 with a 6-bit scale and a 6-bit minimum. */
#include "tensor/blocks.h"
#include "tensor/half.h"
#include "tensor/quantise.h"

#include <string.h>

enum { N_SUB = 8, SUB = 32, LEVELS = 15, STEPS_MAX = 63 };

void mn_q4_k_to_f32(const void *src, float *dst, int64_t n) {
    const mn_q4_k *block = src;
    for (int64_t b = 0; b < n; b++) {
        float d = mn_f16_to_f32(block[b].d), d_min = mn_f16_to_f32(block[b].d_min);
        for (int s = 0; s < N_SUB; s++, dst += SUB) {
            const uint8_t *q = block[b].q + s / 2 * 32;
            int scale, min;
            mn_k4_scale(block[b].scales, s, &scale, &min);
            float ds = d * (float)scale, dm = d_min * (float)min;
            for (int l = 0; l < SUB; l++) dst[l] = ds * (float)(q[l] >> s % 2 * 4 & 15) - dm;
        }
    }
}

static void put_scale(uint8_t scales[12], int s, int scale, int min) {
    if (s < 4) {
        scales[s] |= (uint8_t)scale;
        scales[s + 4] |= (uint8_t)min;
    } else {
        scales[s + 4] |= (uint8_t)((scale & 15) | (min & 15) << 4);
        scales[s - 4] |= (uint8_t)(scale >> 4 << 6);
        scales[s] |= (uint8_t)(min >> 4 << 6);
    }
}

static void quantise_block(const float *x, mn_q4_k *block) {
    float scale[N_SUB], min[N_SUB], top_scale, top_min, unused;
    for (int s = 0; s < N_SUB; s++) mn_fit_scale_and_min(x + s * SUB, SUB, LEVELS, &scale[s], &min[s]);
    mn_range(scale, N_SUB, &unused, &top_scale);
    mn_range(min, N_SUB, &unused, &top_min);
    memset(block, 0, sizeof *block);
    block->d = mn_f16_from_f32(top_scale / STEPS_MAX);
    block->d_min = mn_f16_from_f32(top_min / STEPS_MAX);
    float d = mn_f16_to_f32(block->d), d_min = mn_f16_to_f32(block->d_min);
    for (int s = 0; s < N_SUB; s++) {
        int steps = mn_round_to(scale[s] * mn_inverse(d), 0, STEPS_MAX);
        int min_steps = mn_round_to(min[s] * mn_inverse(d_min), 0, STEPS_MAX);
        float inverse = mn_inverse(d * (float)steps), offset = d_min * (float)min_steps;
        put_scale(block->scales, s, steps, min_steps);
        for (int l = 0; l < SUB; l++) {
            int q = mn_round_to((x[s * SUB + l] + offset) * inverse, 0, LEVELS);
            block->q[s / 2 * 32 + l] |= (uint8_t)(q << s % 2 * 4);
        }
    }
}

void mn_q4_k_from_f32(const float *src, void *dst, int64_t n) {
    mn_q4_k *block = dst;
    for (int64_t b = 0; b < n; b++) quantise_block(src + b * MN_SUPER_BLOCK, &block[b]);
}
