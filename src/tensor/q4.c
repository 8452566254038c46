/* Q4_0 and Q4_1: 32 elements of 4 bits with a scale, or with a scale and an offset. */
#include "tensor/blocks.h"
#include "tensor/half.h"
#include "tensor/quantise.h"

void mn_q4_0_to_f32(const void *src, float *dst, int64_t n) {
    const mn_q4_0 *block = src;
    for (int64_t b = 0; b < n; b++, dst += MN_BLOCK) {
        float d = mn_f16_to_f32(block[b].d);
        for (int j = 0; j < 16; j++) {
            dst[j] = (float)((block[b].q[j] & 15) - 8) * d;
            dst[j + 16] = (float)((block[b].q[j] >> 4) - 8) * d;
        }
    }
}

void mn_q4_1_to_f32(const void *src, float *dst, int64_t n) {
    const mn_q4_1 *block = src;
    for (int64_t b = 0; b < n; b++, dst += MN_BLOCK) {
        float d = mn_f16_to_f32(block[b].d), m = mn_f16_to_f32(block[b].m);
        for (int j = 0; j < 16; j++) {
            dst[j] = (float)(block[b].q[j] & 15) * d + m;
            dst[j + 16] = (float)(block[b].q[j] >> 4) * d + m;
        }
    }
}

void mn_q4_0_from_f32(const float *src, void *dst, int64_t n) {
    mn_q4_0 *block = dst;
    for (int64_t b = 0; b < n; b++, src += MN_BLOCK) {
        float d = mn_signed_max(src, MN_BLOCK) / -8, inverse = mn_inverse(d);
        block[b].d = mn_f16_from_f32(d);
        for (int j = 0; j < 16; j++) {
            int low = mn_truncate_to(src[j] * inverse + 8.5f, 0, 15);
            int high = mn_truncate_to(src[j + 16] * inverse + 8.5f, 0, 15);
            block[b].q[j] = (uint8_t)(low | high << 4);
        }
    }
}

void mn_q4_1_from_f32(const float *src, void *dst, int64_t n) {
    mn_q4_1 *block = dst;
    for (int64_t b = 0; b < n; b++, src += MN_BLOCK) {
        float min, max;
        mn_range(src, MN_BLOCK, &min, &max);
        float d = (max - min) / 15, inverse = mn_inverse(d);
        block[b].d = mn_f16_from_f32(d);
        block[b].m = mn_f16_from_f32(min);
        for (int j = 0; j < 16; j++) {
            int low = mn_truncate_to((src[j] - min) * inverse + 0.5f, 0, 15);
            int high = mn_truncate_to((src[j + 16] - min) * inverse + 0.5f, 0, 15);
            block[b].q[j] = (uint8_t)(low | high << 4);
        }
    }
}
