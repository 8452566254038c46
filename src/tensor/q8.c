/* Q8_0: 32 signed bytes and their scale. */
#include "tensor/blocks.h"
#include "tensor/half.h"
#include "tensor/quantise.h"

void mn_q8_0_to_f32(const void *src, float *dst, int64_t n) {
    const mn_q8_0 *block = src;
    for (int64_t b = 0; b < n; b++, dst += MN_BLOCK) {
        float d = mn_f16_to_f32(block[b].d);
        for (int j = 0; j < MN_BLOCK; j++) dst[j] = (float)block[b].q[j] * d;
    }
}

void mn_q8_0_from_f32(const float *src, void *dst, int64_t n) {
    mn_q8_0 *block = dst;
    for (int64_t b = 0; b < n; b++, src += MN_BLOCK) {
        float d = fabsf(mn_signed_max(src, MN_BLOCK)) / 127, inverse = mn_inverse(d);
        block[b].d = mn_f16_from_f32(d);
        for (int j = 0; j < MN_BLOCK; j++) {
            float away = roundf(src[j] * inverse); /* halves away from zero, as the format's writers do */
            block[b].q[j] = (int8_t)mn_truncate_to(away, -127, 127);
        }
    }
}
