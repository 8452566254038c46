/* Q3_K: super-blocks of 256, sixteen sub-blocks of 16 with a 6-bit scale. */
#include "tensor/blocks.h"
#include "tensor/half.h"
#include "tensor/quantise.h"

#include <string.h>

enum { N_SUB = 16, SUB = 16 };

void mn_q3_k_to_f32(const void *src, float *dst, int64_t n) {
    const mn_q3_k *block = src;
    for (int64_t b = 0; b < n; b++) {
        float d = mn_f16_to_f32(block[b].d);
        for (int s = 0; s < N_SUB; s++, dst += SUB) {
            const uint8_t *q = block[b].q + s / 8 * 32 + s % 2 * 16, *high = block[b].high + s % 2 * 16;
            float scale = d * (float)(mn_q3_k_scale(block[b].scales, s) - 32);
            for (int l = 0; l < SUB; l++) {
                int below = high[l] >> s / 2 & 1 ? 0 : 4;
                dst[l] = scale * (float)((q[l] >> s % 8 / 2 * 2 & 3) - below);
            }
        }
    }
}

static void put_scale(uint8_t scales[12], int s, int scale) {
    scales[s % 8] |= (uint8_t)((scale & 15) << s / 8 * 4);
    scales[8 + s % 4] |= (uint8_t)(scale >> 4 << 2 * (s / 4));
}

static void quantise_block(const float *x, mn_q3_k *block) {
    float scale[N_SUB];
    for (int s = 0; s < N_SUB; s++) scale[s] = mn_fit_scale(x + s * SUB, SUB, -4);
    memset(block, 0, sizeof *block);
    block->d = mn_f16_from_f32(mn_signed_max(scale, N_SUB) / -32);
    float d = mn_f16_to_f32(block->d);
    for (int s = 0; s < N_SUB; s++) {
        int steps = mn_round_to(scale[s] * mn_inverse(d), -32, 31);
        float inverse = mn_inverse(d * (float)steps);
        put_scale(block->scales, s, steps + 32);
        for (int l = 0; l < SUB; l++) {
            int q = mn_round_to(x[s * SUB + l] * inverse, -4, 3) + 4;
            block->q[s / 8 * 32 + s % 2 * 16 + l] |= (uint8_t)((q & 3) << s % 8 / 2 * 2);
            block->high[s % 2 * 16 + l] |= (uint8_t)(q >> 2 << s / 2);
        }
    }
}

void mn_q3_k_from_f32(const float *src, void *dst, int64_t n) {
    mn_q3_k *block = dst;
    for (int64_t b = 0; b < n; b++) quantise_block(src + b * MN_SUPER_BLOCK, &block[b]);
}
