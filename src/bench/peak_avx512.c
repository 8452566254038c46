#include "bench/peak.h"

#include <immintrin.h>

double mn_peak_f32_avx512(int64_t n_steps, float *sink) {
    enum { N = 24 };
    __m512 sum[N], a = _mm512_set1_ps(0.999f), b = _mm512_set1_ps(1);
#pragma GCC unroll 24
    for (int k = 0; k < N; k++) sum[k] = _mm512_set1_ps((float)k);
    for (int64_t i = 0; i < n_steps; i++) {
#pragma GCC unroll 24
        for (int k = 0; k < N; k++) sum[k] = _mm512_fmadd_ps(sum[k], a, b);
    }
#pragma GCC unroll 24
    for (int k = 0; k < N; k++) *sink += _mm512_cvtss_f32(sum[k]);
    return 2.0 * 16 * N * (double)n_steps;
}
