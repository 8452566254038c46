/* Q2_K: super-blocks of 256, sixteen sub-blocks of 16 with a 4-bit scale and a 4-bit minimum. */
#include "tensor/blocks.h"
#include "tensor/half.h"
#include "tensor/quantise.h"

#include <string.h>

enum { N_SUB = 16, SUB = 16, LEVELS = 3, STEPS_MAX = 15 };

void mn_q2_k_to_f32(const void *src, float *dst, int64_t n) {
    const mn_q2_k *block = src;
    for (int64_t b = 0; b < n; b++) {
        float d = mn_f16_to_f32(block[b].d), d_min = mn_f16_to_f32(block[b].d_min);
        for (int s = 0; s < N_SUB; s++, dst += SUB) {
            const uint8_t *q = block[b].q + s / 8 * 32 + s % 2 * 16;
            float scale = d * (float)(block[b].scales[s] & 15), min = d_min * (float)(block[b].scales[s] >> 4);
            for (int l = 0; l < SUB; l++) dst[l] = scale * (float)(q[l] >> s % 8 / 2 * 2 & 3) - min;
        }
    }
}

static void quantise_block(const float *x, mn_q2_k *block) {
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
        block->scales[s] = (uint8_t)(steps | min_steps << 4);
        for (int l = 0; l < SUB; l++) {
            int q = mn_round_to((x[s * SUB + l] + offset) * inverse, 0, LEVELS);
            block->q[s / 8 * 32 + s % 2 * 16 + l] |= (uint8_t)(q << s % 8 / 2 * 2);
        }
    }
}

void mn_q2_k_from_f32(const float *src, void *dst, int64_t n) {
    mn_q2_k *block = dst;
    for (int64_t b = 0; b < n; b++) quantise_block(src + b * MN_SUPER_BLOCK, &block[b]);
}
