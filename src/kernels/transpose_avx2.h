/* The transpose of vec.h for levels with AVX2: blocks of 8 by 8. */
#ifndef MN_KERNELS_TRANSPOSE_AVX2_H
#define MN_KERNELS_TRANSPOSE_AVX2_H

#include <immintrin.h>
#include <stdint.h>

/* Rows i and i + 4 of 4 floats, in one vector. */
static inline __attribute__((always_inline)) __m256 mn_load_2_rows(const float *p, int64_t stride) {
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), _mm_loadu_ps(p + 4 * stride), 1);
}

/* 4 columns of 8 rows. */
static inline __attribute__((always_inline)) void mn_transpose_8x4(float *dst, int64_t dst_stride, const float *src,
                                                                   int64_t src_stride) {
    __m256 r0 = mn_load_2_rows(src, src_stride), r1 = mn_load_2_rows(src + src_stride, src_stride);
    __m256 r2 = mn_load_2_rows(src + 2 * src_stride, src_stride);
    __m256 r3 = mn_load_2_rows(src + 3 * src_stride, src_stride);
    __m256d low01 = _mm256_castps_pd(_mm256_unpacklo_ps(r0, r1)), high01 = _mm256_castps_pd(_mm256_unpackhi_ps(r0, r1));
    __m256d low23 = _mm256_castps_pd(_mm256_unpacklo_ps(r2, r3)), high23 = _mm256_castps_pd(_mm256_unpackhi_ps(r2, r3));
    _mm256_storeu_ps(dst, _mm256_castpd_ps(_mm256_unpacklo_pd(low01, low23)));
    _mm256_storeu_ps(dst + dst_stride, _mm256_castpd_ps(_mm256_unpackhi_pd(low01, low23)));
    _mm256_storeu_ps(dst + 2 * dst_stride, _mm256_castpd_ps(_mm256_unpacklo_pd(high01, high23)));
    _mm256_storeu_ps(dst + 3 * dst_stride, _mm256_castpd_ps(_mm256_unpackhi_pd(high01, high23)));
}

static inline void mn_transpose(float *dst, int64_t dst_stride, const float *src, int64_t src_stride, int64_t n_rows,
                                int64_t n) {
    int64_t i = 0;
    for (; i + 8 <= n_rows; i += 8) {
        int64_t j = 0;
        for (; j + 4 <= n; j += 4)
            mn_transpose_8x4(dst + j * dst_stride + i, dst_stride, src + i * src_stride + j, src_stride);
        for (; j < n; j++)
            for (int k = 0; k < 8; k++) dst[j * dst_stride + i + k] = src[(i + k) * src_stride + j];
    }
    for (; i < n_rows; i++)
        for (int64_t j = 0; j < n; j++) dst[j * dst_stride + i] = src[i * src_stride + j];
}

#endif
