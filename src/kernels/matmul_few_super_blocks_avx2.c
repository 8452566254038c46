/* The types of 256 weights: one 16-bit scale (and one minimum), times small integers for each 32 or 16. */
#include "kernels/matmul_few_avx2.h"

MN_ALWAYS_INLINE __m128i load_128(const void *p) { return _mm_loadu_si128(p); }

MN_ALWAYS_INLINE __m256i and_all(__m256i v, int byte) { return _mm256_and_si256(v, _mm256_set1_epi8((char)byte)); }

/* The float in every lane. */
MN_ALWAYS_INLINE __m256 half_everywhere(mn_half h) { return _mm256_cvtph_ps(_mm_set1_epi16((short)h)); }

MN_ALWAYS_INLINE __m256 bytes_to_floats(__m128i v) { return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(v)); }

/* Of Q4_K or Q5_K: both begin alike, with d, d_min and three words of scales; see mn_k4_scale. */
MN_ALWAYS_INLINE void k4_scales(const char *src, mn_few_w *w) {
    const mn_q4_k *block = (const mn_q4_k *)src;
    __m128i words = load_128(src), nibble = _mm_set1_epi8(15), top = _mm_set1_epi8(0x30);
    __m128i first = _mm_and_si128(words, _mm_set1_epi8(63)); /* 0 to 3: scales in dword 1, minima in dword 2 */
    __m128i last = _mm_srlv_epi32(_mm_shuffle_epi32(words, 0xff), _mm_setr_epi32(0, 0, 4, 0));
    last = _mm_and_si128(last, nibble); /* 4 to 7, likewise */
    last = _mm_or_si128(last, _mm_and_si128(_mm_srli_epi32(words, 2), top));
    __m128i scales = _mm_unpackhi_epi64(_mm_unpacklo_epi32(first, last), first), mins = _mm_unpackhi_epi32(first, last);
    w->scale = _mm256_mul_ps(half_everywhere(block->d), bytes_to_floats(scales));
    w->min = _mm256_mul_ps(half_everywhere(block->d_min), bytes_to_floats(mins));
}

MN_ALWAYS_INLINE void expand_q4_k(const char *src, mn_few_w *w) {
    const mn_q4_k *block = (const mn_q4_k *)src;
    k4_scales(src, w);
#pragma GCC unroll 8
    for (int k = 0; k < 4; k++) {
        __m256i v = mn_load_256(block->q + 32 * k);
        w->u[2 * k] = and_all(v, 15);
        w->u[2 * k + 1] = and_all(_mm256_srli_epi16(v, 4), 15);
    }
}

/* Bit s of every byte, moved to bit 4. */
MN_ALWAYS_INLINE __m256i fifth_bits(__m256i high, int s) {
    return and_all(s < 4 ? _mm256_slli_epi16(high, 4 - s) : _mm256_srli_epi16(high, s - 4), 16);
}

MN_ALWAYS_INLINE void expand_q5_k(const char *src, mn_few_w *w) {
    const mn_q5_k *block = (const mn_q5_k *)src;
    __m256i high = mn_load_256(block->high);
    k4_scales(src, w);
#pragma GCC unroll 8
    for (int k = 0; k < 4; k++) {
        __m256i v = mn_load_256(block->q + 32 * k);
        w->u[2 * k] = _mm256_or_si256(and_all(v, 15), fifth_bits(high, 2 * k));
        w->u[2 * k + 1] = _mm256_or_si256(and_all(_mm256_srli_epi16(v, 4), 15), fifth_bits(high, 2 * k + 1));
    }
}

/* Sixteen small scales, signed bytes, into the factors of eight blocks. */
MN_ALWAYS_INLINE void spread_scales(__m128i scales, mn_few_w *w) {
    const __m128i evens_first = _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
    __m256i words = _mm256_cvtepi8_epi16(_mm_shuffle_epi8(scales, evens_first)); /* of first halves, of second halves */
#pragma GCC unroll 8
    for (int b = 0; b < MN_FEW_BLOCKS; b++)
        w->factor[b] = _mm256_shuffle_epi8(words, _mm256_set1_epi16((short)(2 * b + 1) * 256 + 2 * b));
}

MN_ALWAYS_INLINE void expand_q6_k(const char *src, mn_few_w *w) {
    const mn_q6_k *block = (const mn_q6_k *)src;
#pragma GCC unroll 8
    for (int h = 0; h < 2; h++) {
        __m256i low0 = mn_load_256(block->low + 64 * h), low1 = mn_load_256(block->low + 64 * h + 32);
        __m256i high = mn_load_256(block->high + 32 * h), *u = w->u + 4 * h;
        u[0] = _mm256_or_si256(and_all(low0, 15), and_all(_mm256_slli_epi16(high, 4), 0x30));
        u[1] = _mm256_or_si256(and_all(low1, 15), and_all(_mm256_slli_epi16(high, 2), 0x30));
        u[2] = _mm256_or_si256(and_all(_mm256_srli_epi16(low0, 4), 15), and_all(high, 0x30));
        u[3] = _mm256_or_si256(and_all(_mm256_srli_epi16(low1, 4), 15), and_all(_mm256_srli_epi16(high, 2), 0x30));
    }
    __m128i scales = load_128(block->scales);
    spread_scales(scales, w);
    w->half = _mm256_cvtepi8_epi16(scales);
    w->scale = half_everywhere(block->d);
}

/* Two bits of each element, 64 bytes, in the order of Q2_K. */
MN_ALWAYS_INLINE void expand_two_bits(const uint8_t *q, __m256i u[MN_FEW_BLOCKS]) {
#pragma GCC unroll 8
    for (int b = 0; b < MN_FEW_BLOCKS; b++)
        u[b] = and_all(_mm256_srli_epi16(mn_load_256(q + b / 4 * 32), b % 4 * 2), 3);
}

MN_ALWAYS_INLINE void expand_q2_k(const char *src, mn_few_w *w) {
    const mn_q2_k *block = (const mn_q2_k *)src;
    const __m128i nibble = _mm_set1_epi8(15);
    __m128i both = load_128(block->scales);
    expand_two_bits(block->q, w->u);
    spread_scales(_mm_and_si128(both, nibble), w);
    w->half = _mm256_cvtepi8_epi16(_mm_and_si128(_mm_srli_epi16(both, 4), nibble));
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
    __m256i high = mn_load_256(block->high);
    expand_two_bits(block->q, w->u);
#pragma GCC unroll 8
    for (int b = 0; b < MN_FEW_BLOCKS; b++) {
        __m256i third = b < 2 ? _mm256_slli_epi16(high, 2 - b) : _mm256_srli_epi16(high, b - 2);
        w->u[b] = _mm256_or_si256(w->u[b], and_all(third, 4));
    }
    __m128i scales = q3_k_scales(block->scales);
    spread_scales(scales, w);
    w->half = _mm256_cvtepi8_epi16(scales);
    w->scale = half_everywhere(block->d);
}

MN_FEW_QUANT_PATH(q2_k, mn_q2_k, MN_SUPER_BLOCK, .has_halves = true, .has_min = true)
MN_FEW_QUANT_PATH(q3_k, mn_q3_k, MN_SUPER_BLOCK, .has_halves = true, .offset_bits = 2)
MN_FEW_QUANT_PATH(q4_k, mn_q4_k, MN_SUPER_BLOCK, .has_min = true)
MN_FEW_QUANT_PATH(q5_k, mn_q5_k, MN_SUPER_BLOCK, .has_min = true)
MN_FEW_QUANT_PATH(q6_k, mn_q6_k, MN_SUPER_BLOCK, .has_halves = true, .offset_bits = 5)

void mn_matmul_init_few_super_blocks_avx2(mn_matmul_kernels *table) {
    table->fast[MN_Q2_K] = &path_q2_k;
    table->fast[MN_Q3_K] = &path_q3_k;
    table->fast[MN_Q4_K] = &path_q4_k;
    table->fast[MN_Q5_K] = &path_q5_k;
    table->fast[MN_Q6_K] = &path_q6_k;
}
