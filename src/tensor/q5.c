/* Q5_0 and Q5_1: 32 elements of 5 bits, the fifth bits gathered in one word. */
#include "tensor/blocks.h"
#include "tensor/half.h"
#include "tensor/quantise.h"

static int low_q(const uint8_t *q, const uint8_t *high, int j) { return (q[j] & 15) | (high[j / 8] >> j % 8 & 1) << 4; }

static int high_q(const uint8_t *q, const uint8_t *high, int j) {
    return q[j] >> 4 | (high[2 + j / 8] >> j % 8 & 1) << 4;
}

static void put(uint8_t *q, uint8_t *high, int j, int value) {
    q[j % 16] |= (uint8_t)((value & 15) << (j < 16 ? 0 : 4));
    high[j / 8] |= (uint8_t)(value >> 4 << j % 8);
}

void mn_q5_0_to_f32(const void *src, float *dst, int64_t n) {
    const mn_q5_0 *block = src;
    for (int64_t b = 0; b < n; b++, dst += MN_BLOCK) {
        float d = mn_f16_to_f32(block[b].d);
        for (int j = 0; j < 16; j++) {
            dst[j] = (float)(low_q(block[b].q, block[b].high, j) - 16) * d;
            dst[j + 16] = (float)(high_q(block[b].q, block[b].high, j) - 16) * d;
        }
    }
}

void mn_q5_1_to_f32(const void *src, float *dst, int64_t n) {
    const mn_q5_1 *block = src;
    for (int64_t b = 0; b < n; b++, dst += MN_BLOCK) {
        float d = mn_f16_to_f32(block[b].d), m = mn_f16_to_f32(block[b].m);
        for (int j = 0; j < 16; j++) {
            dst[j] = (float)low_q(block[b].q, block[b].high, j) * d + m;
            dst[j + 16] = (float)high_q(block[b].q, block[b].high, j) * d + m;
        }
    }
}

void mn_q5_0_from_f32(const float *src, void *dst, int64_t n) {
    mn_q5_0 *block = dst;
    for (int64_t b = 0; b < n; b++, src += MN_BLOCK) {
        float d = mn_signed_max(src, MN_BLOCK) / -16, inverse = mn_inverse(d);
        block[b] = (mn_q5_0){.d = mn_f16_from_f32(d)};
        for (int j = 0; j < MN_BLOCK; j++)
            put(block[b].q, block[b].high, j, mn_truncate_to(src[j] * inverse + 16.5f, 0, 31));
    }
}

void mn_q5_1_from_f32(const float *src, void *dst, int64_t n) {
    mn_q5_1 *block = dst;
    for (int64_t b = 0; b < n; b++, src += MN_BLOCK) {
        float min, max;
        mn_range(src, MN_BLOCK, &min, &max);
        float d = (max - min) / 31, inverse = mn_inverse(d);
        block[b] = (mn_q5_1){.d = mn_f16_from_f32(d), .m = mn_f16_from_f32(min)};
        for (int j = 0; j < MN_BLOCK; j++)
            put(block[b].q, block[b].high, j, mn_truncate_to((src[j] - min) * inverse + 0.5f, 0, 31));
    }
}
