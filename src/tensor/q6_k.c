/* Q6_K: super-blocks of 256, sixteen sub-blocks of 16 with a signed 8-bit scale. */
#include "tensor/blocks.h"
#include "tensor/half.h"
#include "tensor/quantise.h"

#include <string.h>

enum { N_SUB = 16, SUB = 16 };

static int get(const mn_q6_k *block, int i) {
    int half = i / 128, l = i % 32, quarter = i % 128 / 32;
    int low = block->low[half * 64 + quarter % 2 * 32 + l] >> quarter / 2 * 4 & 15;
    return low | (block->high[half * 32 + l] >> quarter * 2 & 3) << 4;
}

static void put(mn_q6_k *block, int i, int q) {
    int half = i / 128, l = i % 32, quarter = i % 128 / 32;
    block->low[half * 64 + quarter % 2 * 32 + l] |= (uint8_t)((q & 15) << quarter / 2 * 4);
    block->high[half * 32 + l] |= (uint8_t)(q >> 4 << quarter * 2);
}

void mn_q6_k_to_f32(const void *src, float *dst, int64_t n) {
    const mn_q6_k *block = src;
    for (int64_t b = 0; b < n; b++, dst += MN_SUPER_BLOCK) {
        float d = mn_f16_to_f32(block[b].d);
        for (int i = 0; i < MN_SUPER_BLOCK; i++)
            dst[i] = d * (float)block[b].scales[i / SUB] * (float)(get(&block[b], i) - 32);
    }
}

static void quantise_block(const float *x, mn_q6_k *block) {
    float scale[N_SUB];
    for (int s = 0; s < N_SUB; s++) scale[s] = mn_fit_scale(x + s * SUB, SUB, -32);
    memset(block, 0, sizeof *block);
    block->d = mn_f16_from_f32(mn_signed_max(scale, N_SUB) / -128);
    float d = mn_f16_to_f32(block->d);
    for (int s = 0; s < N_SUB; s++) {
        block->scales[s] = (int8_t)mn_round_to(scale[s] * mn_inverse(d), -128, 127);
        float inverse = mn_inverse(d * (float)block->scales[s]);
        for (int l = 0; l < SUB; l++) put(block, s * SUB + l, mn_round_to(x[s * SUB + l] * inverse, -32, 31) + 32);
    }
}

void mn_q6_k_from_f32(const float *src, void *dst, int64_t n) {
    mn_q6_k *block = dst;
    for (int64_t b = 0; b < n; b++) quantise_block(src + b * MN_SUPER_BLOCK, &block[b]);
}
