#include "kernels/transpose.h"
#include "tensor/half.h"

#include <arm_neon.h>

enum { LANES = 4 };

static void f16_to_f32(const uint16_t *src, float *dst, int64_t n) {
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) vst1q_f32(dst + i, vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(src + i))));
    for (; i < n; i++) dst[i] = mn_f16_to_f32(src[i]);
}

static void f16_from_f32(const float *src, uint16_t *dst, int64_t n) {
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) vst1_u16(dst + i, vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(src + i))));
    for (; i < n; i++) dst[i] = mn_f16_from_f32(src[i]);
}

#include "kernels/vec_simd.h"

void mn_vec_init_neon(mn_vec_kernels *table) { vec_init(table); }
