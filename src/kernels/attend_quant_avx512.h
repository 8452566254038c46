/* Decode from q8_0 and q4_0 rows as they are cached, dotted by vpdpbusd: what keys and values share.
 *
 * Cached elements are unsigned bytes u = x + offset. What they are multiplied with, queries and weights, is rounded to
 * 16 bits in two signed bytes, 256 h + l: so every sum
 *
 *   256 sum h u + sum l u - offset sum (256 h + l)
 *
 * is an integer and exact. Blocks are taken in pairs, as 64 bytes are one vector.
 */
#ifndef MN_KERNELS_ATTEND_QUANT_AVX512_H
#define MN_KERNELS_ATTEND_QUANT_AVX512_H

#include "kernels/attend_avx512.h"

#include "base/checked.h"
#include "tensor/blocks.h"

void mn_attend_pack_q_q8_0(void *packed, const float *q, int k_dim);
void mn_attend_pack_q_q4_0(void *packed, const float *q, int k_dim);
void mn_attend_scores_q8_0(float *s, const void *q, const mn_cached_rows *k, float factor, int n_rows, int k_dim);
void mn_attend_scores_q4_0(float *s, const void *q, const mn_cached_rows *k, float factor, int n_rows, int k_dim);
void mn_attend_absorb_q8_0(mn_softmax_rows rows, float *s, const mn_cached_rows *v, int n_rows, int v_dim);
void mn_attend_absorb_q4_0(mn_softmax_rows rows, float *s, const mn_cached_rows *v, int n_rows, int v_dim);

#define MN_QUANT_TOP 32512.0f /* 127 * 256: its high byte does not overflow when it rounds */
#define MN_QUANT_HALF 128     /* added before the high byte is taken; it flips the sign of the low one */

static inline float scale_to_bytes(float top) { return top > 1e-30f ? MN_QUANT_TOP / top : 0; }

/* gcc keeps an array of these in registers, and one of __m512i in memory. */
typedef int32_t lanes __attribute__((vector_size(64), may_alias));

/* sum += products of four unsigned and four signed bytes in every lane */
MN_INLINE lanes add_dot(lanes sum, __m512i u, __m512i x) { return (lanes)_mm512_dpbusd_epi32((__m512i)sum, u, x); }

/* The largest size of an element; a NaN is larger than all. */
MN_INLINE __m512i larger_size(__m512i size, __m512 x) {
    return _mm512_max_epu32(size, _mm512_and_si512((__m512i)x, _mm512_set1_epi32(INT32_MAX)));
}
MN_INLINE float reduce_size(__m512i size) { return ((__m128)_mm_cvtsi32_si128((int)_mm512_reduce_max_epu32(size)))[0]; }

MN_INLINE size_t block_bytes(mn_dtype type) { return type == MN_Q8_0 ? sizeof(mn_q8_0) : sizeof(mn_q4_0); }

MN_INLINE int block_offset(mn_dtype type) { return type == MN_Q8_0 ? 128 : 8; }

/* Asks for keys [first, first + n) of the tile ahead, in as many calls as their blocks take: each asks for its share.
 */
MN_INLINE void fetch_blocks(const mn_cached_rows *x, mn_dtype type, int first, int n, int block, int n_blocks) {
    int bytes = n * (int)block_bytes(type);
    fetch_bytes(x->ahead + (size_t)first * x->row_bytes + (size_t)(block * bytes), n_blocks * bytes);
}

/* The scales of one block of keys [first, first + 16); those of absent keys are zeros. What a scale lies beside is
 * gathered with it, and nothing behind the last row is touched. */
MN_INLINE __m512 load_scales(mn_dtype type, const mn_cached_rows *rows, int block, int first) {
    const char *at = rows->rows + (size_t)first * rows->row_bytes + (size_t)block * block_bytes(type);
    int n = MN_MAX(0, MN_MIN(16, rows->n_keys - first));
    __mmask16 present = (__mmask16)((1u << n) - 1);
    __m512i places = _mm512_mullo_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                                        _mm512_set1_epi32((int)rows->row_bytes));
    __m512i halves = _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), present, places, at, 1);
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(halves));
}

/* The unsigned bytes of one or two blocks. */
MN_INLINE __m512i load_blocks(mn_dtype type, const char *block, int n_blocks) {
    if (type == MN_Q8_0) {
        __m512i bytes = _mm512_zextsi256_si512(_mm256_loadu_si256((const __m256i_u *)(block + 2)));
        if (n_blocks == 2) bytes = _mm512_inserti64x4(bytes, _mm256_loadu_si256((const __m256i_u *)(block + 36)), 1);
        return _mm512_xor_si512(bytes, _mm512_set1_epi8(-128));
    }
    __m512i bytes = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i_u *)(block + 2)));
    if (n_blocks == 2)
        bytes = _mm512_mask_broadcast_i32x4(bytes, 0xff00, _mm_loadu_si128((const __m128i_u *)(block + 20)));
    const __m512i shifts = _mm512_set_epi32(4, 4, 4, 4, 0, 0, 0, 0, 4, 4, 4, 4, 0, 0, 0, 0);
    return _mm512_and_si512(_mm512_srlv_epi32(bytes, shifts), _mm512_set1_epi8(15));
}

#endif
