#include "bench/peak.h"

#include <immintrin.h>

double mn_peak_f32_avx2(int64_t n_steps, float *sink) {
    enum { N = 12 };
    __m256 sum[N], a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(1);
#pragma GCC unroll 12
    for (int k = 0; k < N; k++) sum[k] = _mm256_set1_ps((float)k);
    for (int64_t i = 0; i < n_steps; i++) {
#pragma GCC unroll 12
        for (int k = 0; k < N; k++) sum[k] = _mm256_fmadd_ps(sum[k], a, b);
    }
#pragma GCC unroll 12
    for (int k = 0; k < N; k++) *sink += _mm256_cvtss_f32(sum[k]);
    return 2.0 * 8 * N * (double)n_steps;
}

/* Products of unsigned and signed bytes in pairs of 16 bits, widened and added. gcc keeps an array of this type in
 * registers, and one of __m256i in memory. The volatile statement hides the factors: the products of one step are not
 * taken for the same product. */
typedef int32_t lanes __attribute__((vector_size(32)));

double mn_peak_int8_avx2(int64_t n_steps, float *sink) {
    enum { N = 10 };
    lanes sum[N], total = {0};
    const __m256i ones = _mm256_set1_epi16(1);
#pragma GCC unroll 10
    for (int k = 0; k < N; k++) sum[k] = total + k;
    for (int64_t i = 0; i < n_steps; i++) {
#pragma GCC unroll 10
        for (int k = 0; k < N; k++) {
            __m256i x = _mm256_set1_epi8(1);
            __asm__ volatile("" : "+x"(x));
            sum[k] += (lanes)_mm256_madd_epi16(_mm256_maddubs_epi16(x, x), ones);
        }
    }
#pragma GCC unroll 10
    for (int k = 0; k < N; k++) total += sum[k];
    *sink += (float)total[0];
    return 2.0 * 32 * N * (double)n_steps;
}
