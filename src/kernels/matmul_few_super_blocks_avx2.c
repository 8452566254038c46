/* The types of 256 weights: one 16-bit scale (and one minimum), times small integers for each 32 or 16. */
#include "kernels/matmul_few_avx2.h"

MN_ALWAYS_INLINE __m128i load_128(const void *p) { return _mm_loadu_si128(p); }

/* The float in every lane. */
MN_ALWAYS_INLINE __m256 half_everywhere(mn_half h) { return _mm256_cvtph_ps(_mm_set1_epi16((short)h)); }

/* Of Q4_K or Q5_K: both begin alike, with d, d_min and three words of scales; see mn_k4_scale. The words are taken apart in
 * general registers, as the vector units have more to do. */
MN_ALWAYS_INLINE void k4_scales(const char *src, mn_few_scales *w) {
    const uint64_t low_4 = 0x0f0f0f0f0f0f0f0f, low_6 = 0x3f3f3f3f3f3f3f3f, high_2 = 0x3030303030303030;
    uint64_t words; /* scales 0 to 3, then minima 0 to 3; upper two bits belong to those from 4 to 7 */
    uint32_t last, both;
    memcpy(&words, src + offsetof(mn_q4_k, scales), sizeof words);
    memcpy(&last, src + offsetof(mn_q4_k, scales) + 8, sizeof last);
    memcpy(&both, src, sizeof both);
    uint64_t first = words & low_6, second = ((last | (uint64_t)last << 28) & low_4) | (words >> 2 & high_2);
    __m256i bytes = _mm256_broadcastsi128_si256(_mm_set_epi64x((int64_t)second, (int64_t)first));
    const __m256i scales = _mm256_or_si256(_mm256_set1_epi32((int)0x80808000), _mm256_setr_epi32(0, 2, 8, 10, 1, 3, 9, 11));
    __m256i mins = _mm256_or_si256(scales, _mm256_set1_epi32(4));
    __m256 d = _mm256_cvtph_ps(_mm_set1_epi32((int)both)); /* and d_min, alternating */
    w->scale = _mm256_mul_ps(_mm256_moveldup_ps(d), _mm256_cvtepi32_ps(_mm256_shuffle_epi8(bytes, scales)));
    w->min = _mm256_mul_ps(_mm256_movehdup_ps(d), _mm256_cvtepi32_ps(_mm256_shuffle_epi8(bytes, mins)));
}

/* 16 bytes of nibbles, the low ones of one block and the high ones of the next. */
MN_ALWAYS_INLINE __m256i nibbles(const void *q) { return mn_and_all(mn_shift_halves(mn_load_twice(q), 0, 4), 15); }

MN_ALWAYS_INLINE __m256i u_of_q4_k(const char *src, const int i) { return nibbles(src + offsetof(mn_q4_k, q) + 16 * i); }

/* Bit b of each of 16 bytes in one half, bit b + 1 in the other, moved to bit 4. */
MN_ALWAYS_INLINE __m256i fifth_bits(const void *high, const int b) {
    __m256i v = mn_load_twice(high);
    v = b < 4 ? _mm256_sllv_epi64(v, _mm256_setr_epi64x(4, 4, 3, 3)) : mn_shift_halves(v, 0, 1);
    return mn_and_all(b % 4 ? _mm256_srli_epi16(v, 2) : v, 16);
}

MN_ALWAYS_INLINE __m256i u_of_q5_k(const char *src, const int i) {
    const mn_q5_k *block = (const mn_q5_k *)src;
    return _mm256_or_si256(nibbles(block->q + 16 * i), fifth_bits(block->high + i % 2 * 16, i / 2 * 2));
}

/* Sixteen small scales or minima, signed bytes, as words in the order of half_sum. */
MN_ALWAYS_INLINE __m256i half_words(__m128i v) {
    const __m128i order = _mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
    return _mm256_cvtepi8_epi16(_mm_shuffle_epi8(v, order));
}

/* Four blocks lie in 64 bytes of nibbles and 32 of upper bits: of each, half i % 2. */
MN_ALWAYS_INLINE __m256i u_of_q6_k(const char *src, const int i) {
    const mn_q6_k *block = (const mn_q6_k *)src;
    const uint8_t *at = block->low + i / 4 * 64 + i % 2 * 16;
    __m256i low = mn_load_two(at, at + 32), high = mn_load_twice(block->high + i / 4 * 32 + i % 2 * 16);
    low = i % 4 < 2 ? low : _mm256_srli_epi16(low, 4);
    high = i % 4 < 2 ? _mm256_sllv_epi64(high, _mm256_setr_epi64x(4, 4, 2, 2)) : mn_shift_halves(high, 0, 2);
    return _mm256_or_si256(mn_and_all(low, 15), mn_and_all(high, 0x30));
}

MN_ALWAYS_INLINE void scales_of_q6_k(const char *src, mn_few_scales *w) {
    const mn_q6_k *block = (const mn_q6_k *)src;
    w->half = w->factors = half_words(load_128(block->scales));
    w->scale = half_everywhere(block->d);
}

/* Two bits of each element, 64 bytes, in the order of Q2_K. */
MN_ALWAYS_INLINE __m256i two_bits(const uint8_t *q, const int i) {
    const int shift = i / 2 % 2 * 4;
    return mn_and_all(mn_shift_halves(mn_load_twice(q + i / 4 * 32 + i % 2 * 16), shift, shift + 2), 3);
}

MN_ALWAYS_INLINE __m256i u_of_q2_k(const char *src, const int i) { return two_bits(((const mn_q2_k *)src)->q, i); }

MN_ALWAYS_INLINE void scales_of_q2_k(const char *src, mn_few_scales *w) {
    const mn_q2_k *block = (const mn_q2_k *)src;
    const __m128i nibble = _mm_set1_epi8(15);
    __m128i both = load_128(block->scales);
    w->factors = half_words(_mm_and_si128(both, nibble));
    w->half = half_words(_mm_and_si128(_mm_srli_epi16(both, 4), nibble));
    w->scale = half_everywhere(block->d);
    w->min = half_everywhere(block->d_min);
}

/* The bit of each block, moved to bit 2. */
MN_ALWAYS_INLINE __m256i u_of_q3_k(const char *src, const int i) {
    const mn_q3_k *block = (const mn_q3_k *)src;
    const int b = i / 2 * 2;
    __m256i high = mn_load_twice(block->high + i % 2 * 16);
    high = b == 0 ? _mm256_sllv_epi64(high, _mm256_setr_epi64x(2, 2, 1, 1)) : mn_shift_halves(high, b - 2, b - 1);
    return _mm256_or_si256(two_bits(block->q, i), mn_and_all(high, 4));
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

MN_ALWAYS_INLINE void scales_of_q3_k(const char *src, mn_few_scales *w) {
    const mn_q3_k *block = (const mn_q3_k *)src;
    w->half = w->factors = half_words(q3_k_scales(block->scales));
    w->scale = half_everywhere(block->d);
}

#define PATH(type, scales_of, ...) MN_FEW_QUANT_PATH(type, scales_of, .chunk_bytes = sizeof(mn_##type), __VA_ARGS__)
PATH(q2_k, scales_of_q2_k, .u_bits = 2, .has_halves = true, .has_min = true)
PATH(q3_k, scales_of_q3_k, .u_bits = 3, .has_halves = true, .offset_bits = 2)
PATH(q4_k, k4_scales, .u_bits = 4, .has_min = true)
PATH(q5_k, k4_scales, .u_bits = 5, .has_min = true)
PATH(q6_k, scales_of_q6_k, .u_bits = 6, .has_halves = true, .offset_bits = 5)

void mn_matmul_init_few_super_blocks_avx2(mn_matmul_kernels *table) {
    table->fast[MN_Q2_K] = &path_q2_k;
    table->fast[MN_Q3_K] = &path_q3_k;
    table->fast[MN_Q4_K] = &path_q4_k;
    table->fast[MN_Q5_K] = &path_q5_k;
    table->fast[MN_Q6_K] = &path_q6_k;
}
