/* Blocks of 32 quantised weights of 16 rows at a time, as bytes: one lane for each row, so that scales packed into odd
 * bits are taken apart for 16 rows by one shift and one mask.
 */
#ifndef MN_KERNELS_MATMUL_QUANT_UNPACK_AVX512BF16_H
#define MN_KERNELS_MATMUL_QUANT_UNPACK_AVX512BF16_H

#include "kernels/matmul_quant.h"

#include <string.h>

#define NIBBLES _mm512_set1_epi32(0x0f0f0f0f)

static inline uint16_t load_u16(const char *p) {
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* An f16 of each of 16 rows. */
MN_ALWAYS_INLINE __m512 load_halves(const char *p, size_t stride) {
    __m128i low = _mm_setzero_si128(), high = _mm_setzero_si128();
#define ROW(k)                                                                                                         \
    low = _mm_insert_epi16(low, load_u16(p + k * stride), k);                                                          \
    high = _mm_insert_epi16(high, load_u16(p + (k + 8) * stride), k)
    ROW(0);
    ROW(1);
    ROW(2);
    ROW(3);
    ROW(4);
    ROW(5);
    ROW(6);
    ROW(7);
#undef ROW
    return _mm512_cvtph_ps(_mm256_set_m128i(high, low));
}

/* Four bytes of each of 16 rows. */
MN_ALWAYS_INLINE __m512i load_words(const char *p, size_t stride) {
    int32_t v[16];
    for (int r = 0; r < 16; r++) memcpy(&v[r], p + (size_t)r * stride, sizeof v[r]);
    return _mm512_loadu_si512(v);
}

MN_ALWAYS_INLINE __m512 low_half(__m512i v) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(v)); }

MN_ALWAYS_INLINE __m512 high_half(__m512i v) { return low_half(_mm512_srli_epi32(v, 16)); }

/* Bits [shift, shift + width) of every lane. */
MN_ALWAYS_INLINE __m512i bits(__m512i v, int shift, int width) {
    return _mm512_and_si512(_mm512_srl_epi32(v, _mm_cvtsi32_si128(shift)), _mm512_set1_epi32((1 << width) - 1));
}

/* The same of every byte. */
MN_ALWAYS_INLINE __m512i byte_bits(__m512i v, int shift, int width) {
    return _mm512_and_si512(_mm512_srl_epi32(v, _mm_cvtsi32_si128(shift)),
                            _mm512_set1_epi32(0x01010101 * ((1 << width) - 1)));
}

/* Bits 0 to 3 of every lane become bit 4 of its bytes 0 to 3. */
MN_ALWAYS_INLINE __m512i spread_fifth_bits(__m512i four) {
    __m512i spread = _mm512_mullo_epi32(four, _mm512_set1_epi32(0x00204081));
    return _mm512_slli_epi32(_mm512_and_si512(spread, _mm512_set1_epi32(0x01010101)), 4);
}

/* 16 bytes of nibbles: elements 0..15 in the low ones, 16..31 in the high ones. */
MN_ALWAYS_INLINE void unpack_nibbles(const char *p, size_t stride, __m512i u[8]) {
    __m512i v[4];
    mn_load_dwords(p, stride, v);
    for (int k = 0; k < 4; k++) {
        u[k] = _mm512_and_si512(v[k], NIBBLES);
        u[k + 4] = _mm512_and_si512(_mm512_srli_epi32(v[k], 4), NIBBLES);
    }
}

MN_ALWAYS_INLINE void unpack_fives(const char *q, const char *high, size_t stride, __m512i u[8]) {
    __m512i fifth = load_words(high, stride);
    unpack_nibbles(q, stride, u);
    for (int k = 0; k < 8; k++) u[k] = _mm512_or_si512(u[k], spread_fifth_bits(bits(fifth, 4 * k, 4)));
}

/* A block of 16 rows: bytes u, scales, and minima where the type has them (matmul_quant.h). */
typedef struct mn_block16 {
    __m512i u[8];
    __m512 scale[2], min[2]; /* of its halves, where these have scales of their own; else [0] of all */
} mn_block16;

/* The block at `rows`, of rows that lie `stride` bytes apart. */
MN_ALWAYS_INLINE void mn_unpack_q8_0(const char *rows, size_t stride, mn_block16 *b) {
    mn_load_dwords(rows + offsetof(mn_q8_0, q), stride, b->u);
    mn_load_dwords(rows + offsetof(mn_q8_0, q) + 16, stride, b->u + 4);
#pragma GCC unroll 8
    for (int k = 0; k < 8; k++) b->u[k] = _mm512_xor_si512(b->u[k], _mm512_set1_epi8(-128));
    b->scale[0] = load_halves(rows, stride);
}

MN_ALWAYS_INLINE void mn_unpack_q4_0(const char *rows, size_t stride, mn_block16 *b) {
    unpack_nibbles(rows + offsetof(mn_q4_0, q), stride, b->u);
    b->scale[0] = load_halves(rows, stride);
}

/* 2^(e - 128); the first two are below the normal floats. */
MN_ALWAYS_INLINE __m512 mn_mxfp4_scales(__m128i exponents) {
    __m512i e = _mm512_cvtepu8_epi32(exponents);
    __m512i normal = _mm512_slli_epi32(_mm512_sub_epi32(e, _mm512_set1_epi32(1)), 23);
    __mmask16 is_tiny = _mm512_cmplt_epi32_mask(e, _mm512_set1_epi32(2));
    return _mm512_castsi512_ps(_mm512_mask_sllv_epi32(normal, is_tiny, _mm512_set1_epi32(1 << 21), e));
}

/* Values of MXFP4 above 16. */
MN_ALWAYS_INLINE __m512i mn_mxfp4_levels(void) {
    __m128i values = _mm_loadu_si128((const __m128i *)mn_mxfp4_values);
    return _mm512_broadcast_i32x4(_mm_add_epi8(values, _mm_set1_epi8(16)));
}

/* Those of IQ4_NL and IQ4_XS above 128. */
MN_ALWAYS_INLINE __m512i mn_iq4_levels(void) {
    __m128i values = _mm_loadu_si128((const __m128i *)mn_iq4_nl_values);
    return _mm512_broadcast_i32x4(_mm_xor_si128(values, _mm_set1_epi8(-128)));
}

/* A byte of each of 16 places. */
MN_ALWAYS_INLINE __m128i mn_load_bytes(const char *p, size_t stride) {
    char bytes[16];
#pragma GCC unroll 16
    for (int r = 0; r < 16; r++) bytes[r] = p[(size_t)r * stride];
    return _mm_setr_epi8(bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7], bytes[8],
                         bytes[9], bytes[10], bytes[11], bytes[12], bytes[13], bytes[14], bytes[15]);
}

MN_ALWAYS_INLINE void mn_unpack_levels(const char *q, size_t stride, __m512i levels, __m512i u[8]) {
    unpack_nibbles(q, stride, u);
#pragma GCC unroll 8
    for (int k = 0; k < 8; k++) u[k] = _mm512_shuffle_epi8(levels, u[k]);
}

MN_ALWAYS_INLINE void mn_unpack_iq4_nl(const char *rows, size_t stride, mn_block16 *b) {
    mn_unpack_levels(rows + offsetof(mn_iq4_nl, q), stride, mn_iq4_levels(), b->u);
    b->scale[0] = load_halves(rows, stride);
}

MN_ALWAYS_INLINE void mn_unpack_mxfp4(const char *rows, size_t stride, mn_block16 *b) {
    mn_unpack_levels(rows + offsetof(mn_mxfp4, q), stride, mn_mxfp4_levels(), b->u);
    b->scale[0] = mn_mxfp4_scales(mn_load_bytes(rows, stride));
}

MN_ALWAYS_INLINE void mn_unpack_q4_1(const char *rows, size_t stride, mn_block16 *b) {
    __m512i head = load_words(rows, stride);
    unpack_nibbles(rows + offsetof(mn_q4_1, q), stride, b->u);
    b->scale[0] = low_half(head);
    b->min[0] = -high_half(head);
}

MN_ALWAYS_INLINE void mn_unpack_q5_0(const char *rows, size_t stride, mn_block16 *b) {
    unpack_fives(rows + offsetof(mn_q5_0, q), rows + offsetof(mn_q5_0, high), stride, b->u);
    b->scale[0] = load_halves(rows, stride);
}

MN_ALWAYS_INLINE void mn_unpack_q5_1(const char *rows, size_t stride, mn_block16 *b) {
    __m512i head = load_words(rows, stride);
    unpack_fives(rows + offsetof(mn_q5_1, q), rows + offsetof(mn_q5_1, high), stride, b->u);
    b->scale[0] = low_half(head);
    b->min[0] = -high_half(head);
}

#endif
