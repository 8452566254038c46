#include "kernels/transpose_avx2.h"
#include "tensor/half.h"

#include <immintrin.h>

enum { LANES = 8 };

static void f16_to_f32(const uint16_t *src, float *dst, int64_t n) {
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        _mm256_storeu_ps(dst + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(src + i))));
    for (; i < n; i++) dst[i] = mn_f16_to_f32(src[i]);
}

static void f16_from_f32(const float *src, uint16_t *dst, int64_t n) {
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        _mm_storeu_si128((__m128i *)(dst + i), _mm256_cvtps_ph(_mm256_loadu_ps(src + i), _MM_FROUND_TO_NEAREST_INT));
    for (; i < n; i++) dst[i] = mn_f16_from_f32(src[i]);
}

#define LOAD_BYTES(p) (vf) _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(p))))
#include "kernels/vec_simd.h"

void mn_vec_init_avx2(mn_vec_kernels *table) { vec_init(table); }
