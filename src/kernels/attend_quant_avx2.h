/* Decode from q8_0 and q4_0 rows as they are cached, in AVX2: what keys and values share.
 *
 * What cached elements are multiplied with, queries and weights, is rounded to 16 bits, so that sums within a block, or
 * over a tile's keys, are integers and exact.
 */
#ifndef MN_KERNELS_ATTEND_QUANT_AVX2_H
#define MN_KERNELS_ATTEND_QUANT_AVX2_H

#include "kernels/attend_ahead.h"
#include "kernels/attend_avx2.h"
#include "kernels/in_place_avx2.h"
#include "tensor/blocks.h"

void mn_attend_pack_q_q8_0_avx2(void *packed, const float *q, int k_dim);
void mn_attend_pack_q_q4_0_avx2(void *packed, const float *q, int k_dim);
void mn_attend_scores_q8_0_avx2(float *s, const void *q, const mn_cached_rows *k, float factor, int n_rows, int k_dim);
void mn_attend_scores_q4_0_avx2(float *s, const void *q, const mn_cached_rows *k, float factor, int n_rows, int k_dim);
void mn_attend_absorb_q8_0_avx2(mn_softmax_rows rows, float *s, const mn_cached_rows *v, int n_rows, int v_dim);
void mn_attend_absorb_q4_0_avx2(mn_softmax_rows rows, float *s, const mn_cached_rows *v, int n_rows, int v_dim);

enum { QUANT_ROWS = 4 }; /* query rows that one pass over a tile takes */

#define QUANT_TOP 32512.0f /* 127 * 256: its high byte does not overflow when it rounds */

MN_INLINE size_t block_bytes(mn_dtype type) { return type == MN_Q8_0 ? sizeof(mn_q8_0) : sizeof(mn_q4_0); }

/* The largest size of an element; a NaN is larger than all. */
MN_INLINE __m256i larger_size(__m256i size, mn_vf x) {
    return _mm256_max_epu32(size, _mm256_and_si256((__m256i)x, _mm256_set1_epi32(INT32_MAX)));
}

MN_INLINE float reduce_size(__m256i size) {
    __m128i four = _mm_max_epu32(_mm256_castsi256_si128(size), _mm256_extracti128_si256(size, 1));
    __m128i two = _mm_max_epu32(four, _mm_shuffle_epi32(four, 0x4e));
    return ((__m128)_mm_max_epu32(two, _mm_shuffle_epi32(two, 0xb1)))[0];
}

/* What turns numbers of at most that size into 16-bit ones. */
MN_INLINE mn_vf scale_to_words(float top) { return splat(top > 1e-30f ? QUANT_TOP / top : 0); }

/* 16 floats of at most QUANT_TOP, rounded. */
MN_INLINE __m256i to_words(mn_vf low, mn_vf high) {
    return _mm256_permute4x64_epi64(_mm256_packs_epi32(_mm256_cvtps_epi32(low), _mm256_cvtps_epi32(high)), 0xd8);
}

MN_INLINE int32_t reduce_add(__m256i x) {
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xb1)));
}

MN_INLINE mn_half load_half(const char *at) {
    mn_half half;
    memcpy(&half, at, sizeof half);
    return half;
}

/* The scales of one block of eight keys. */
MN_INLINE mn_vf eight_scales(const char *block, size_t row_bytes) {
    __m128i low = _mm_setzero_si128(), high = _mm_setzero_si128();
#define KEYS(j)                                                                                                        \
    low = _mm_insert_epi16(low, load_half(block + (j)*row_bytes), j);                                                  \
    high = _mm_insert_epi16(high, load_half(block + (j + 4) * row_bytes), j)
    KEYS(0);
    KEYS(1);
    KEYS(2);
    KEYS(3);
#undef KEYS
    return _mm256_cvtph_ps(_mm_unpacklo_epi64(low, high));
}

#endif
