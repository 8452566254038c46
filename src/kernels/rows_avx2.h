/* Rows to f32 for attention's packing at levels with AVX2. */
#ifndef MN_KERNELS_ROWS_AVX2_H
#define MN_KERNELS_ROWS_AVX2_H

#include "tensor/dtype.h"
#include "tensor/half.h"

#include <immintrin.h>

/* As mn_to_f32. */
static inline void mn_row_to_f32(mn_dtype type, const void *src, float *dst, int64_t n) {
    const uint16_t *halves = src;
    if (type != MN_F16) {
        mn_to_f32(type, src, dst, n);
        return;
    }
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(dst + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i_u *)(halves + i))));
    for (; i < n; i++) dst[i] = mn_f16_to_f32(halves[i]);
}

#endif
