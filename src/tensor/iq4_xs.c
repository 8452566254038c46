/* IQ4_XS: super-blocks of 256 in the levels of IQ4_NL, eight sub-blocks of 32 with a 6-bit scale. */
#include "tensor/blocks.h"
#include "tensor/half.h"
#include "tensor/quantise.h"

#include <string.h>

enum { N_SUB = 8, SUB = 32 };

static int scale_of(const mn_iq4_xs *block, int s) {
    int low = block->scales_low[s / 2] >> s % 2 * 4 & 15, high = block->scales_high >> 2 * s & 3;
    return (low | high << 4) - 32;
}

void mn_iq4_xs_to_f32(const void *src, float *dst, int64_t n) {
    const mn_iq4_xs *block = src;
    for (int64_t b = 0; b < n; b++) {
        float d = mn_f16_to_f32(block[b].d);
        for (int s = 0; s < N_SUB; s++, dst += SUB) {
            const uint8_t *q = block[b].q + s * 16;
            float scale = d * (float)scale_of(&block[b], s);
            for (int j = 0; j < 16; j++) {
                dst[j] = scale * (float)mn_iq4_nl_values[q[j] & 15];
                dst[j + 16] = scale * (float)mn_iq4_nl_values[q[j] >> 4];
            }
        }
    }
}

static void quantise_block(const float *x, mn_iq4_xs *block) {
    float scale[N_SUB];
    for (int s = 0; s < N_SUB; s++) scale[s] = mn_iq4_fit(x + s * SUB);
    memset(block, 0, sizeof *block);
    block->d = mn_f16_from_f32(mn_signed_max(scale, N_SUB) / -32);
    float d = mn_f16_to_f32(block->d);
    for (int s = 0; s < N_SUB; s++) {
        int steps = mn_round_to(scale[s] * mn_inverse(d), -32, 31);
        float inverse = mn_inverse(d * (float)steps);
        int stored = steps + 32;
        block->scales_low[s / 2] |= (uint8_t)((stored & 15) << s % 2 * 4);
        block->scales_high |= (uint16_t)(stored >> 4 << 2 * s);
        for (int j = 0; j < 16; j++)
            block->q[s * 16 + j] = (uint8_t)(mn_iq4_nearest(x[s * SUB + j] * inverse) |
                                             mn_iq4_nearest(x[s * SUB + j + 16] * inverse) << 4);
    }
}

void mn_iq4_xs_from_f32(const float *src, void *dst, int64_t n) {
    mn_iq4_xs *block = dst;
    for (int64_t b = 0; b < n; b++) quantise_block(src + b * MN_SUPER_BLOCK, &block[b]);
}
