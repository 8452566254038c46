/* Panels of pairs of bf16, which vdpbf16ps and tiles both multiply: their packers stand in matmul_avx512bf16.c. */
#ifndef MN_KERNELS_MATMUL_PAIRS_AVX512BF16_H
#define MN_KERNELS_MATMUL_PAIRS_AVX512BF16_H

#include "kernels/matmul_panel_avx512.h"

/* Weights of f32, f16 and bf16 at the beginning of a panel: (n_inputs + 1) / 2 columns, rounded up to 4. */
void mn_bf16_pack(const mn_matmul_part *part, const mn_vec_kernels *vec, void *panel);
/* The same number of columns, not rounded up, from W^T of f32, f16 or bf16 (pack_transposed). */
void mn_bf16_pack_transposed(const mn_matmul_part *part, const mn_vec_kernels *vec, void *panel);

/* Rounds to bf16 and joins what belongs into the low and the high half of every lane. */
MN_ALWAYS_INLINE __m512i mn_join_pair(__m512 low, __m512 high) {
    const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                                           21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(high, low));
}

#endif
