#include "bench/peak.h"

#include <immintrin.h>

double mn_peak_bf16_avx512bf16(int64_t n_steps, float *sink) {
    enum { N = 24 };
    __m512 sum[N];
    __m512bh a = (__m512bh)_mm512_set1_epi32(0x3f803f80), b = (__m512bh)_mm512_set1_epi32(0x3f803f80); /* ones */
#pragma GCC unroll 24
    for (int k = 0; k < N; k++) sum[k] = _mm512_set1_ps((float)k);
    for (int64_t i = 0; i < n_steps; i++) {
#pragma GCC unroll 24
        for (int k = 0; k < N; k++) sum[k] = _mm512_dpbf16_ps(sum[k], a, b);
    }
#pragma GCC unroll 24
    for (int k = 0; k < N; k++) *sink += _mm512_cvtss_f32(sum[k]);
    return 2.0 * 32 * N * (double)n_steps;
}

/* gcc keeps an array of this type in registers, and one of __m512i in memory. */
typedef int32_t lanes __attribute__((vector_size(64)));

double mn_peak_int8_avx512bf16(int64_t n_steps, float *sink) {
    enum { N = 24 };
    lanes sum[N], total = {0};
    __m512i a = _mm512_set1_epi8(1), b = _mm512_set1_epi8(-1);
#pragma GCC unroll 24
    for (int k = 0; k < N; k++) sum[k] = total + k;
    for (int64_t i = 0; i < n_steps; i++) {
#pragma GCC unroll 24
        for (int k = 0; k < N; k++) sum[k] = (lanes)_mm512_dpbusd_epi32((__m512i)sum[k], a, b);
    }
#pragma GCC unroll 24
    for (int k = 0; k < N; k++) total += sum[k];
    *sink += (float)total[0];
    return 2.0 * 64 * N * (double)n_steps;
}
