/* What the AVX2 attention files share: the vector of attend_f32.h. */
#ifndef MN_KERNELS_ATTEND_AVX2_H
#define MN_KERNELS_ATTEND_AVX2_H

#define MN_LANES 8
#define MN_PANEL_VECTORS 2
#define MN_FAST_ROWS
#include "kernels/rows_avx2.h"
#include "kernels/transpose_avx2.h"
#include "kernels/attend_f32.h"

#include <immintrin.h>

static inline mn_vf mn_vf_fma(mn_vf a, mn_vf b, mn_vf c) { return _mm256_fmadd_ps(a, b, c); }
static inline mn_vf mn_vf_max(mn_vf a, mn_vf b) { return _mm256_max_ps(a, b); }
static inline mn_vf mn_vf_exp2(mn_vf x) { return exp2_by_bits(x); }

/* Packing, and products of packed rows, are no faster than reading rows of 64 dims as they are cached up to here. */
enum { MN_MAX_DIRECT_ROWS_AVX2 = 48 };

/* Lane j: the sum of the lanes of sums[j]. */
MN_INLINE mn_vf sum_each(const mn_vf sums[MN_LANES]) {
    mn_vf low = _mm256_hadd_ps(_mm256_hadd_ps(sums[0], sums[1]), _mm256_hadd_ps(sums[2], sums[3]));
    mn_vf high = _mm256_hadd_ps(_mm256_hadd_ps(sums[4], sums[5]), _mm256_hadd_ps(sums[6], sums[7]));
    return _mm256_permute2f128_ps(low, high, 0x20) + _mm256_permute2f128_ps(low, high, 0x31);
}

#endif
