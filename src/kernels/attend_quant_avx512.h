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

static inline float scale_to_bytes(float top) {
    return top > 1e-30f ? MN_QUANT_TOP / top : 0;
}

/* gcc keeps an array of these in registers, and one of __m512i in memory. */
typedef int32_t lanes __attribute__((vector_size(64), may_alias));

/* sum += products of four unsigned and four signed bytes in every lane */
MN_INLINE lanes add_dot(lanes sum, __m512i u, __m512i x) {
    return (lanes)_mm512_dpbusd_epi32((__m512i)sum, u, x);
}

/* The largest size of an element; a NaN is larger than all. */
MN_INLINE __m512i larger_size(__m512i size, __m512 x) {
    return _mm512_max_epu32(size, _mm512_and_si512((__m512i)x, _mm512_set1_epi32(INT32_MAX)));
}
MN_INLINE float reduce_size(__m512i size) {
    return ((__m128)_mm_cvtsi32_si128((int)_mm512_reduce_max_epu32(size)))[0];
}

MN_INLINE size_t block_bytes(mn_dtype type) {
    return type == MN_Q8_0 ? sizeof(mn_q8_0) : sizeof(mn_q4_0);
}

MN_INLINE int block_offset(mn_dtype type) {
    return type == MN_Q8_0 ? 128 : 8;
}

/* The scales of blocks [block, block + n_blocks) of a tile's keys, two at most; those of absent keys are zeros. Copied
 * one by one, by integer units that have nothing else to do; then vectors of keys can be scaled at once. */
typedef struct block_scales {
    uint16_t halves[2][MN_TILE_KEYS] __attribute__((aligned(64)));
} block_scales;

MN_INLINE void copy_scales(block_scales *scales, mn_dtype type, const mn_cached_rows *rows, int block, int n_blocks) {
    if (rows->n_keys < MN_TILE_KEYS || n_blocks < 2) memset(scales, 0, sizeof *scales);
    const char *row = rows->rows + (size_t)block * block_bytes(type);
#pragma GCC unroll 8
    for (int j = 0; j < rows->n_keys; j++, row += rows->row_bytes)
#pragma GCC unroll 2
        for (int b = 0; b < n_blocks; b++)
            memcpy(&scales->halves[b][j], row + (size_t)b * block_bytes(type), sizeof scales->halves[b][j]);
}

MN_INLINE __m512 load_scales(const block_scales *scales, int b, int first) {
    return _mm512_cvtph_ps(_mm256_load_si256((const __m256i *)(const void *)(scales->halves[b] + first)));
}

/* The unsigned bytes of one or two blocks. */
MN_INLINE __m512i load_blocks(mn_dtype type, const char *block, int n_blocks) {
    if (type == MN_Q8_0) {
        __m512i bytes = _mm512_zextsi256_si512(_mm256_loadu_si256((const __m256i_u *)(block + 2)));
        if (n_blocks == 2)
            bytes = _mm512_inserti64x4(bytes, _mm256_loadu_si256((const __m256i_u *)(block + 36)), 1);
        return _mm512_xor_si512(bytes, _mm512_set1_epi8(-128));
    }
    __m512i bytes = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i_u *)(block + 2)));
    if (n_blocks == 2)
        bytes = _mm512_mask_broadcast_i32x4(bytes, 0xff00, _mm_loadu_si128((const __m128i_u *)(block + 20)));
    const __m512i shifts = _mm512_set_epi32(4, 4, 4, 4, 0, 0, 0, 0, 4, 4, 4, 4, 0, 0, 0, 0);
    return _mm512_and_si512(_mm512_srlv_epi32(bytes, shifts), _mm512_set1_epi8(15));
}

#endif
