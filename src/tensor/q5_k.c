/* Q5_K: read, not written. */
#include "tensor/blocks.h"
#include "tensor/half.h"

void mn_q5_k_to_f32(const void *src, float *dst, int64_t n) {
    const mn_q5_k *block = src;
    for (int64_t b = 0; b < n; b++) {
        float d = mn_f16_to_f32(block[b].d), d_min = mn_f16_to_f32(block[b].d_min);
        for (int s = 0; s < 8; s++, dst += 32) {
            const uint8_t *q = block[b].q + s / 2 * 32;
            int scale, min;
            mn_k4_scale(block[b].scales, s, &scale, &min);
            float ds = d * (float)scale, dm = d_min * (float)min;
            for (int l = 0; l < 32; l++) {
                int value = (q[l] >> s % 2 * 4 & 15) | (block[b].high[l] >> s & 1) << 4;
                dst[l] = ds * (float)value - dm;
            }
        }
    }
}
