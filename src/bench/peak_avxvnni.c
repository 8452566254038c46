#include "bench/peak.h"

#include <immintrin.h>

double mn_peak_int8_avxvnni(int64_t n_steps, float *sink) {
    enum { N = 12 };
    __m256i sum[N], x = _mm256_set1_epi8(1);
    for (int k = 0; k < N; k++) sum[k] = _mm256_set1_epi32(k);
    for (int64_t i = 0; i < n_steps; i++) {
#pragma GCC unroll 12
        for (int k = 0; k < N; k++) sum[k] = _mm256_dpbusd_avx_epi32(sum[k], x, x);
    }
    for (int k = 1; k < N; k++) sum[0] = _mm256_add_epi32(sum[0], sum[k]);
    *sink += (float)_mm256_cvtsi256_si32(sum[0]);
    return 64.0 * N * (double)n_steps;
}
