/* Attention tiles in AVX2, and decode directly from the KV cache. */
#include "kernels/attend_quant_avx2.h"

MN_INLINE mn_vf load_elements(mn_dtype type, const char *row, int i) {
    switch (type) {
    case MN_F16: return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i_u *)(row + 2 * i)));
    case MN_BF16: {
        const __m256i spread = _mm256_setr_epi8(-1, -1, 0, 1, -1, -1, 2, 3, -1, -1, 4, 5, -1, -1, 6, 7, -1, -1, 8, 9,
                                                -1, -1, 10, 11, -1, -1, 12, 13, -1, -1, 14, 15);
        __m256i twice = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i_u *)(row + 2 * i)));
        return (mn_vf)_mm256_shuffle_epi8(twice, spread);
    }
    default: return _mm256_loadu_ps((const float *)(const void *)row + i);
    }
}

#include "kernels/attend_direct.h"

void mn_attend_init_avx2(mn_attend_kernels *table) {
    use_f32(table);
    use_direct(table, MN_MAX_DIRECT_ROWS_AVX2);
    table->direct[MN_Q8_0] = (mn_direct_ops){MN_MAX_DIRECT_ROWS_AVX2, mn_attend_pack_q_q8_0_avx2,
                                             mn_attend_scores_q8_0_avx2, mn_attend_absorb_q8_0_avx2, NULL};
    table->direct[MN_Q4_0] = (mn_direct_ops){MN_MAX_DIRECT_ROWS_AVX2, mn_attend_pack_q_q4_0_avx2,
                                             mn_attend_scores_q4_0_avx2, mn_attend_absorb_q4_0_avx2, NULL};
}
