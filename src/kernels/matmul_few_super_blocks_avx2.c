/* The types of 256 weights: one 16-bit scale (and one minimum), times small integers for each 32 or 16. */
#include "kernels/matmul_few_avx2.h"

MN_ALWAYS_INLINE __m128i load_128(const void *p) { return _mm_loadu_si128(p); }

/* The float in every lane. */
MN_ALWAYS_INLINE __m256 half_everywhere(mn_half h) { return _mm256_cvtph_ps(_mm_set1_epi16((short)h)); }

/* Of Q4_K or Q5_K: both begin alike, with d, d_min and three words of scales; see mn_k4_scale. The words are taken apart in
 * general registers, as the vector units have more to do. */
MN_ALWAYS_INLINE void k4_scales(const char *src, mn_few_w *w) {
    const uint64_t low_4 = 0x0f0f0f0f0f0f0f0f, low_6 = 0x3f3f3f3f3f3f3f3f, high_2 = 0x3030303030303030;
    uint64_t words; /* scales 0 to 3, then minima 0 to 3; upper two bits belong to those from 4 to 7 */
    uint32_t last, both;
    memcpy(&words, src + offsetof(mn_q4_k, scales), sizeof words);
    memcpy(&last, src + offsetof(mn_q4_k, scales) + 8, sizeof last);
    memcpy(&both, src, sizeof both);
    uint64_t first = words & low_6, second = ((last | (uint64_t)last << 28) & low_4) | (words >> 2 & high_2);
    __m256i bytes = _mm256_broadcastsi128_si256(_mm_set_epi64x((int64_t)second, (int64_t)first));
    const __m256i scales = _mm256_setr_epi32(0x80808000, 0x80808002, 0x80808008, 0x8080800a, 0x80808001, 0x80808003, 0x80808009, 0x8080800b);
    __m256i mins = _mm256_or_si256(scales, _mm256_set1_epi32(4));
    __m256 d = _mm256_cvtph_ps(_mm_set1_epi32((int)both)); /* and d_min, alternating */
    w->scale = _mm256_mul_ps(_mm256_moveldup_ps(d), _mm256_cvtepi32_ps(_mm256_shuffle_epi8(bytes, scales)));
    w->min = _mm256_mul_ps(_mm256_movehdup_ps(d), _mm256_cvtepi32_ps(_mm256_shuffle_epi8(bytes, mins)));
}

MN_ALWAYS_INLINE void expand_q4_k(const char *src, mn_few_w *w) {
    const mn_q4_k *block = (const mn_q4_k *)src;
    k4_scales(src, w);
#pragma GCC unroll 8
    for (int i = 0; i < MN_FEW_BLOCKS; i++) w->u[i] = mn_and_all(mn_shift_halves(mn_load_twice(block->q + 16 * i), 0, 4), 15);
}

MN_ALWAYS_INLINE void expand_q5_k(const char *src, mn_few_w *w) {
    const mn_q5_k *block = (const mn_q5_k *)src;
    k4_scales(src, w);
#pragma GCC unroll 2
    for (int h = 0; h < 2; h++) {
        __m256i high = mn_load_twice(block->high + 16 * h), fifth[4]; /* at bit 4: of blocks 0 and 1, 2 and 3, and so on */
        fifth[0] = _mm256_sllv_epi64(high, _mm256_setr_epi64x(4, 4, 3, 3));
        fifth[1] = _mm256_srli_epi16(fifth[0], 2);
        fifth[2] = mn_shift_halves(high, 0, 1);
        fifth[3] = _mm256_srli_epi16(fifth[2], 2);
#pragma GCC unroll 4
        for (int p = 0; p < 4; p++) {
            __m256i low = mn_and_all(mn_shift_halves(mn_load_twice(block->q + 32 * p + 16 * h), 0, 4), 15);
            w->u[2 * p + h] = _mm256_or_si256(low, mn_and_all(fifth[p], 16));
        }
    }
}

/* Sixteen small scales or minima, signed bytes, as words in the order of half_sum. */
MN_ALWAYS_INLINE __m256i half_words(__m128i v) {
    const __m128i order = _mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
    return _mm256_cvtepi8_epi16(_mm_shuffle_epi8(v, order));
}

/* Such words, each where the products of its half stand. */
MN_ALWAYS_INLINE void spread_factors(__m256i words, __m256i factor[MN_FEW_BLOCKS]) {
#pragma GCC unroll 8
    for (int i = 0; i < MN_FEW_BLOCKS; i++)
        factor[i] = _mm256_shuffle_epi8(words, _mm256_set1_epi16((short)((2 * i + 1) * 256 + 2 * i)));
}

MN_ALWAYS_INLINE void expand_q6_k(const char *src, mn_few_w *w) {
    const mn_q6_k *block = (const mn_q6_k *)src;
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) { /* half i % 2 of four blocks */
        const uint8_t *at = block->low + i / 2 * 64 + i % 2 * 16;
        __m256i low = mn_load_two(at, at + 32), high = mn_load_twice(block->high + 16 * i), *u = w->u + i / 2 * 4 + i % 2;
        __m256i left = _mm256_sllv_epi64(high, _mm256_setr_epi64x(4, 4, 2, 2));
        u[0] = _mm256_or_si256(mn_and_all(low, 15), mn_and_all(left, 0x30));
        u[2] = _mm256_or_si256(mn_and_all(_mm256_srli_epi16(low, 4), 15), mn_and_all(mn_shift_halves(high, 0, 2), 0x30));
    }
    w->half = half_words(load_128(block->scales));
    spread_factors(w->half, w->factor);
    w->scale = half_everywhere(block->d);
}

/* Two bits of each element, 64 bytes, in the order of Q2_K. */
MN_ALWAYS_INLINE void expand_two_bits(const uint8_t *q, __m256i u[MN_FEW_BLOCKS]) {
#pragma GCC unroll 8
    for (int i = 0; i < MN_FEW_BLOCKS; i++) {
        const int shift = i / 2 % 2 * 4;
        u[i] = mn_and_all(mn_shift_halves(mn_load_twice(q + i / 4 * 32 + i % 2 * 16), shift, shift + 2), 3);
    }
}

MN_ALWAYS_INLINE void expand_q2_k(const char *src, mn_few_w *w) {
    const mn_q2_k *block = (const mn_q2_k *)src;
    const __m128i nibble = _mm_set1_epi8(15);
    __m128i both = load_128(block->scales);
    expand_two_bits(block->q, w->u);
    spread_factors(half_words(_mm_and_si128(both, nibble)), w->factor);
    w->half = half_words(_mm_and_si128(_mm_srli_epi16(both, 4), nibble));
    w->scale = half_everywhere(block->d);
    w->min = half_everywhere(block->d_min);
}

/* See mn_q3_k_scale. */
MN_ALWAYS_INLINE __m128i q3_k_scales(const uint8_t *packed) {
    int32_t high_bits;
    memcpy(&high_bits, packed + 8, sizeof high_bits);
    __m128i low = _mm_loadl_epi64((const __m128i *)packed);
    low = _mm_and_si128(_mm_unpacklo_epi64(low, _mm_srli_epi16(low, 4)), _mm_set1_epi8(15));
    __m128i high = _mm_srlv_epi32(_mm_set1_epi32(high_bits), _mm_setr_epi32(0, 2, 4, 6));
    high = _mm_slli_epi16(_mm_and_si128(high, _mm_set1_epi8(3)), 4);
    return _mm_sub_epi8(_mm_or_si128(low, high), _mm_set1_epi8(32));
}

MN_ALWAYS_INLINE void expand_q3_k(const char *src, mn_few_w *w) {
    const mn_q3_k *block = (const mn_q3_k *)src;
    expand_two_bits(block->q, w->u);
#pragma GCC unroll 8
    for (int i = 0; i < MN_FEW_BLOCKS; i++) { /* bit b of block b to bit 2 */
        const int b = i / 2 * 2;
        __m256i high = mn_load_twice(block->high + i % 2 * 16);
        __m256i third = b == 0 ? _mm256_sllv_epi64(high, _mm256_setr_epi64x(2, 2, 1, 1)) : mn_shift_halves(high, b - 2, b - 1);
        w->u[i] = _mm256_or_si256(w->u[i], mn_and_all(third, 4));
    }
    w->half = half_words(q3_k_scales(block->scales));
    spread_factors(w->half, w->factor);
    w->scale = half_everywhere(block->d);
}

MN_FEW_QUANT_PATH(q2_k, mn_q2_k, MN_SUPER_BLOCK, .u_bits = 2, .has_halves = true, .has_min = true)
MN_FEW_QUANT_PATH(q3_k, mn_q3_k, MN_SUPER_BLOCK, .u_bits = 3, .has_halves = true, .offset_bits = 2)
MN_FEW_QUANT_PATH(q4_k, mn_q4_k, MN_SUPER_BLOCK, .u_bits = 4, .has_min = true)
MN_FEW_QUANT_PATH(q5_k, mn_q5_k, MN_SUPER_BLOCK, .u_bits = 5, .has_min = true)
MN_FEW_QUANT_PATH(q6_k, mn_q6_k, MN_SUPER_BLOCK, .u_bits = 6, .has_halves = true, .offset_bits = 5)

void mn_matmul_init_few_super_blocks_avx2(mn_matmul_kernels *table) {
    table->fast[MN_Q2_K] = &path_q2_k;
    table->fast[MN_Q3_K] = &path_q3_k;
    table->fast[MN_Q4_K] = &path_q4_k;
    table->fast[MN_Q5_K] = &path_q5_k;
    table->fast[MN_Q6_K] = &path_q6_k;
}
