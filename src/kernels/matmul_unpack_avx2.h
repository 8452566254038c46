/* 256 quantised weights of any type from the bytes in which they are stored, with 256-bit registers: numbers u of 8
 * bits, in the order of mn_few_x, and scales. w = scale (u - offset), or scale u - min.
 */
#ifndef MN_KERNELS_MATMUL_UNPACK_AVX2_H
#define MN_KERNELS_MATMUL_UNPACK_AVX2_H

#include "kernels/matmul_few_avx2.h"

/* What differs between the types. */
typedef struct mn_unpack_form {
    size_t chunk_bytes; /* of 256 weights */
    int u_bits;         /* 8: u in -128 .. 127, else 0 <= u < 2^u_bits */
    bool has_halves;    /* scales (and minima) of 16 inputs, small integers beside one scale of the block of 256 */
    bool has_min;       /* w = scale u - min, else w = scale (u - 2^offset_bits), or scale u where offset_bits is 0 */
    int offset_bits;
} mn_unpack_form;

/* Of 256 weights, in the order of d. With halves: factors, the integer scales, and what multiplies minus_half, the same
 * or the minima, in the order of minus_half. */
typedef struct mn_unpack_scales {
    __m256 scale, min;
    __m256i factors, half;
} mn_unpack_scales;

/* From 256 weights as they are stored: vector i of u, in the order of mn_few_x.q, and the scales. They read the
 * weights' bytes and none beyond. */
typedef __m256i mn_unpack_u_fn(const char *src, const int i);
typedef void mn_unpack_scales_fn(const char *src, mn_unpack_scales *scales);

MN_ALWAYS_INLINE __m256i mn_load_256(const void *p) { return _mm256_loadu_si256(p); }

/* 32 bytes from two places. */
MN_ALWAYS_INLINE __m256i mn_load_two(const void *low, const void *high) {
    __m256i v = _mm256_castsi128_si256(_mm_loadu_si128(low));
    return _mm256_inserti128_si256(v, _mm_loadu_si128(high), 1);
}

/* 16 bytes, twice. */
MN_ALWAYS_INLINE __m256i mn_load_twice(const void *p) { return _mm256_broadcastsi128_si256(_mm_loadu_si128(p)); }

MN_ALWAYS_INLINE __m256i mn_and_all(__m256i v, int byte) { return _mm256_and_si256(v, _mm256_set1_epi8((char)byte)); }

/* Both halves of v shifted right, each by its own number of bits. Bits cross bytes. */
MN_ALWAYS_INLINE __m256i mn_shift_halves(__m256i v, int low_bits, int high_bits) {
    return _mm256_srlv_epi64(v, _mm256_setr_epi64x(low_bits, low_bits, high_bits, high_bits));
}

/* The types of 32 weights: their scales stand between the weights and are picked out of eight blocks at once. */

MN_ALWAYS_INLINE __m128i mn_load_128(const void *p) { return _mm_loadu_si128(p); }

/* The dwords at p in a block and in the fourth, the first and the fifth after it. Each is loaded with what stands
 * before it, at the place where it goes. */
MN_ALWAYS_INLINE __m128i mn_pick_dwords(const char *p, size_t block_bytes) {
    __m128i v = _mm_blend_epi32(mn_load_128(p), mn_load_128(p + 4 * block_bytes - 4), 2);
    v = _mm_blend_epi32(v, mn_load_128(p + block_bytes - 8), 4);
    return _mm_blend_epi32(v, mn_load_128(p + 5 * block_bytes - 12), 8);
}

/* The scales of eight blocks that begin with them. */
MN_ALWAYS_INLINE void mn_block_scales(const char *src, size_t block_bytes, mn_unpack_scales *w) {
    __m128i low = mn_pick_dwords(src, block_bytes), high = mn_pick_dwords(src + 2 * block_bytes - 2, block_bytes);
    w->scale = _mm256_cvtph_ps(_mm_blend_epi16(low, high, 0xaa));
}

/* Of eight blocks that begin with a scale and with what is added to scaled weights. */
MN_ALWAYS_INLINE void mn_block_scales_and_minima(const char *src, size_t block_bytes, mn_unpack_scales *w) {
    __m128i low = mn_pick_dwords(src, block_bytes), high = mn_pick_dwords(src + 2 * block_bytes, block_bytes);
    w->scale = _mm256_cvtph_ps(_mm_blend_epi16(low, _mm_slli_epi32(high, 16), 0xaa));
    __m256 added = _mm256_cvtph_ps(_mm_blend_epi16(_mm_srli_epi32(low, 16), high, 0xaa));
    w->min = _mm256_xor_ps(added, _mm256_set1_ps(-0.0f));
}

/* 16 bytes of nibbles in each of two blocks: half 0 is the low ones, half 1 the high ones. */
MN_ALWAYS_INLINE __m256i mn_block_nibbles(const void *q0, const void *q1, const int half) {
    __m256i v = mn_load_two(q0, q1);
    return mn_and_all(half ? _mm256_srli_epi16(v, 4) : v, 15);
}

/* Bits 0 to 15 (half 0) or 16 to 31 of four bytes of two blocks, as 16 in bytes. */
MN_ALWAYS_INLINE __m256i mn_block_fifth_bits(const void *high0, const void *high1, const int half) {
    const __m256i bit = _mm256_set1_epi64x((int64_t)0x8040201008040201);
    const int64_t first = half * 0x0202020202020202, second = first + 0x0101010101010101;
    __m256i bits = _mm256_shuffle_epi8(mn_load_two(high0, high1), _mm256_setr_epi64x(first, second, first, second));
    return mn_and_all(_mm256_cmpeq_epi8(_mm256_and_si256(bits, bit), bit), 16);
}

MN_ALWAYS_INLINE __m256i mn_u_of_q8_0(const char *src, const int i) {
    const mn_q8_0 *pair = (const mn_q8_0 *)src + i / 2 * 2;
    return mn_load_two(pair[0].q + i % 2 * 16, pair[1].q + i % 2 * 16);
}

MN_ALWAYS_INLINE __m256i mn_u_of_q4_0(const char *src, const int i) {
    const mn_q4_0 *pair = (const mn_q4_0 *)src + i / 2 * 2;
    return mn_block_nibbles(pair[0].q, pair[1].q, i % 2);
}

MN_ALWAYS_INLINE __m256i mn_u_of_q4_1(const char *src, const int i) {
    const mn_q4_1 *pair = (const mn_q4_1 *)src + i / 2 * 2;
    return mn_block_nibbles(pair[0].q, pair[1].q, i % 2);
}

MN_ALWAYS_INLINE __m256i mn_u_of_q5_0(const char *src, const int i) {
    const mn_q5_0 *pair = (const mn_q5_0 *)src + i / 2 * 2;
    return _mm256_or_si256(mn_block_nibbles(pair[0].q, pair[1].q, i % 2),
                           mn_block_fifth_bits(pair[0].high, pair[1].high, i % 2));
}

MN_ALWAYS_INLINE __m256i mn_u_of_q5_1(const char *src, const int i) {
    const mn_q5_1 *pair = (const mn_q5_1 *)src + i / 2 * 2;
    return _mm256_or_si256(mn_block_nibbles(pair[0].q, pair[1].q, i % 2),
                           mn_block_fifth_bits(pair[0].high, pair[1].high, i % 2));
}

MN_ALWAYS_INLINE __m256i mn_u_of_iq4_nl(const char *src, const int i) {
    const mn_iq4_nl *pair = (const mn_iq4_nl *)src + i / 2 * 2;
    return _mm256_shuffle_epi8(mn_load_twice(mn_iq4_nl_values), mn_block_nibbles(pair[0].q, pair[1].q, i % 2));
}

/* Values of MXFP4 are at most 12 in size: above 16 they are numbers of five bits. */
MN_ALWAYS_INLINE __m256i mn_u_of_mxfp4(const char *src, const int i) {
    const mn_mxfp4 *pair = (const mn_mxfp4 *)src + i / 2 * 2;
    __m256i levels = _mm256_add_epi8(mn_load_twice(mn_mxfp4_values), _mm256_set1_epi8(16));
    return _mm256_shuffle_epi8(levels, mn_block_nibbles(pair[0].q, pair[1].q, i % 2));
}

/* 2^(e - 128) of eight exponents; the first two are below the normal floats. */
MN_ALWAYS_INLINE void mn_scales_of_mxfp4(const char *src, mn_unpack_scales *w) {
    __m128i low = mn_pick_dwords(src, sizeof(mn_mxfp4));
    __m128i high = mn_pick_dwords(src + 2 * sizeof(mn_mxfp4), sizeof(mn_mxfp4));
    __m256i e = _mm256_set_m128i(_mm_unpackhi_epi32(low, high), _mm_unpacklo_epi32(low, high));
    e = _mm256_and_si256(e, _mm256_set1_epi32(255));
    __m256i normal = _mm256_slli_epi32(_mm256_sub_epi32(e, _mm256_set1_epi32(1)), 23);
    __m256i tiny = _mm256_sllv_epi32(_mm256_set1_epi32(1 << 21), e);
    w->scale = _mm256_castsi256_ps(_mm256_blendv_epi8(normal, tiny, _mm256_cmpgt_epi32(_mm256_set1_epi32(2), e)));
}

/* The types of 256: one 16-bit scale (and one minimum), times small integers for each 32 or 16. */

/* The float in every lane. */
MN_ALWAYS_INLINE __m256 mn_half_everywhere(mn_half h) { return _mm256_cvtph_ps(_mm_set1_epi16((short)h)); }

/* Of Q4_K or Q5_K: both begin alike, with d, d_min and three words of scales; see mn_k4_scale. The words are taken
 * apart in general registers, as the vector units have more to do. */
MN_ALWAYS_INLINE void mn_k4_scales(const char *src, mn_unpack_scales *w) {
    const uint64_t low_4 = 0x0f0f0f0f0f0f0f0f, low_6 = 0x3f3f3f3f3f3f3f3f, high_2 = 0x3030303030303030;
    uint64_t words; /* scales 0 to 3, then minima 0 to 3; upper two bits belong to those from 4 to 7 */
    uint32_t last, both;
    memcpy(&words, src + offsetof(mn_q4_k, scales), sizeof words);
    memcpy(&last, src + offsetof(mn_q4_k, scales) + 8, sizeof last);
    memcpy(&both, src, sizeof both);
    uint64_t first = words & low_6, second = ((last | (uint64_t)last << 28) & low_4) | (words >> 2 & high_2);
    __m256i bytes = _mm256_broadcastsi128_si256(_mm_set_epi64x((int64_t)second, (int64_t)first));
    const __m256i scales =
        _mm256_or_si256(_mm256_set1_epi32((int)0x80808000), _mm256_setr_epi32(0, 2, 8, 10, 1, 3, 9, 11));
    __m256i mins = _mm256_or_si256(scales, _mm256_set1_epi32(4));
    __m256 d = _mm256_cvtph_ps(_mm_set1_epi32((int)both)); /* and d_min, alternating */
    w->scale = _mm256_mul_ps(_mm256_moveldup_ps(d), _mm256_cvtepi32_ps(_mm256_shuffle_epi8(bytes, scales)));
    w->min = _mm256_mul_ps(_mm256_movehdup_ps(d), _mm256_cvtepi32_ps(_mm256_shuffle_epi8(bytes, mins)));
}

MN_ALWAYS_INLINE void mn_scales_of_q4_k(const char *src, mn_unpack_scales *w) { mn_k4_scales(src, w); }

MN_ALWAYS_INLINE void mn_scales_of_q5_k(const char *src, mn_unpack_scales *w) { mn_k4_scales(src, w); }

/* 16 bytes of nibbles, the low ones of one block and the high ones of the next. */
MN_ALWAYS_INLINE __m256i mn_k_nibbles(const void *q) { return mn_and_all(mn_shift_halves(mn_load_twice(q), 0, 4), 15); }

MN_ALWAYS_INLINE __m256i mn_u_of_q4_k(const char *src, const int i) {
    return mn_k_nibbles(src + offsetof(mn_q4_k, q) + 16 * i);
}

/* Bit b of each of 16 bytes in one half, bit b + 1 in the other, moved to bit 4. */
MN_ALWAYS_INLINE __m256i mn_k_fifth_bits(const void *high, const int b) {
    __m256i v = mn_load_twice(high);
    v = b < 4 ? _mm256_sllv_epi64(v, _mm256_setr_epi64x(4, 4, 3, 3)) : mn_shift_halves(v, 0, 1);
    return mn_and_all(b % 4 ? _mm256_srli_epi16(v, 2) : v, 16);
}

MN_ALWAYS_INLINE __m256i mn_u_of_q5_k(const char *src, const int i) {
    const mn_q5_k *block = (const mn_q5_k *)src;
    return _mm256_or_si256(mn_k_nibbles(block->q + 16 * i), mn_k_fifth_bits(block->high + i % 2 * 16, i / 2 * 2));
}

/* Sixteen small scales or minima, signed bytes, as words in the order of minus_half. */
MN_ALWAYS_INLINE __m256i mn_half_words(__m128i v) {
    const __m128i order = _mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
    return _mm256_cvtepi8_epi16(_mm_shuffle_epi8(v, order));
}

/* Four blocks lie in 64 bytes of nibbles and 32 of upper bits: of each, half i % 2. */
MN_ALWAYS_INLINE __m256i mn_u_of_q6_k(const char *src, const int i) {
    const mn_q6_k *block = (const mn_q6_k *)src;
    const uint8_t *at = block->low + i / 4 * 64 + i % 2 * 16;
    __m256i low = mn_load_two(at, at + 32), high = mn_load_twice(block->high + i / 4 * 32 + i % 2 * 16);
    low = i % 4 < 2 ? low : _mm256_srli_epi16(low, 4);
    high = i % 4 < 2 ? _mm256_sllv_epi64(high, _mm256_setr_epi64x(4, 4, 2, 2)) : mn_shift_halves(high, 0, 2);
    return _mm256_or_si256(mn_and_all(low, 15), mn_and_all(high, 0x30));
}

MN_ALWAYS_INLINE void mn_scales_of_q6_k(const char *src, mn_unpack_scales *w) {
    const mn_q6_k *block = (const mn_q6_k *)src;
    w->half = w->factors = mn_half_words(mn_load_128(block->scales));
    w->scale = mn_half_everywhere(block->d);
}

/* Two bits of each element, 64 bytes, in the order of Q2_K. */
MN_ALWAYS_INLINE __m256i mn_two_bits(const uint8_t *q, const int i) {
    const int shift = i / 2 % 2 * 4;
    return mn_and_all(mn_shift_halves(mn_load_twice(q + i / 4 * 32 + i % 2 * 16), shift, shift + 2), 3);
}

MN_ALWAYS_INLINE __m256i mn_u_of_q2_k(const char *src, const int i) {
    return mn_two_bits(((const mn_q2_k *)src)->q, i);
}

MN_ALWAYS_INLINE void mn_scales_of_q2_k(const char *src, mn_unpack_scales *w) {
    const mn_q2_k *block = (const mn_q2_k *)src;
    const __m128i nibble = _mm_set1_epi8(15);
    __m128i both = mn_load_128(block->scales);
    w->factors = mn_half_words(_mm_and_si128(both, nibble));
    w->half = mn_half_words(_mm_and_si128(_mm_srli_epi16(both, 4), nibble));
    w->scale = mn_half_everywhere(block->d);
    w->min = mn_half_everywhere(block->d_min);
}

/* The bit of each block, moved to bit 2. */
MN_ALWAYS_INLINE __m256i mn_u_of_q3_k(const char *src, const int i) {
    const mn_q3_k *block = (const mn_q3_k *)src;
    const int b = i / 2 * 2;
    __m256i high = mn_load_twice(block->high + i % 2 * 16);
    high = b == 0 ? _mm256_sllv_epi64(high, _mm256_setr_epi64x(2, 2, 1, 1)) : mn_shift_halves(high, b - 2, b - 1);
    return _mm256_or_si256(mn_two_bits(block->q, i), mn_and_all(high, 4));
}

/* See mn_q3_k_scale. */
MN_ALWAYS_INLINE __m128i mn_q3_k_scales(const uint8_t *packed) {
    int32_t high_bits;
    memcpy(&high_bits, packed + 8, sizeof high_bits);
    __m128i low = _mm_loadl_epi64((const __m128i *)packed);
    low = _mm_and_si128(_mm_unpacklo_epi64(low, _mm_srli_epi16(low, 4)), _mm_set1_epi8(15));
    __m128i high = _mm_srlv_epi32(_mm_set1_epi32(high_bits), _mm_setr_epi32(0, 2, 4, 6));
    high = _mm_slli_epi16(_mm_and_si128(high, _mm_set1_epi8(3)), 4);
    return _mm_sub_epi8(_mm_or_si128(low, high), _mm_set1_epi8(32));
}

MN_ALWAYS_INLINE void mn_scales_of_q3_k(const char *src, mn_unpack_scales *w) {
    const mn_q3_k *block = (const mn_q3_k *)src;
    w->half = w->factors = mn_half_words(mn_q3_k_scales(block->scales));
    w->scale = mn_half_everywhere(block->d);
}

MN_ALWAYS_INLINE __m256i mn_u_of_iq4_xs(const char *src, const int i) {
    const uint8_t *q = ((const mn_iq4_xs *)src)->q + i / 2 * 32;
    return _mm256_shuffle_epi8(mn_load_twice(mn_iq4_nl_values), mn_block_nibbles(q, q + 16, i % 2));
}

/* Eight scales of six bits, in the order of d. */
MN_ALWAYS_INLINE void mn_scales_of_iq4_xs(const char *src, mn_unpack_scales *w) {
    const mn_iq4_xs *block = (const mn_iq4_xs *)src;
    int32_t low_bits;
    memcpy(&low_bits, block->scales_low, sizeof low_bits);
    __m256i low = _mm256_srlv_epi32(_mm256_set1_epi32(low_bits), _mm256_setr_epi32(0, 8, 16, 24, 4, 12, 20, 28));
    __m256i high =
        _mm256_srlv_epi32(_mm256_set1_epi32(block->scales_high), _mm256_setr_epi32(0, 4, 8, 12, 2, 6, 10, 14));
    low = _mm256_and_si256(low, _mm256_set1_epi32(15));
    high = _mm256_slli_epi32(_mm256_and_si256(high, _mm256_set1_epi32(3)), 4);
    __m256i scale = _mm256_sub_epi32(_mm256_or_si256(low, high), _mm256_set1_epi32(32));
    w->scale = _mm256_mul_ps(mn_half_everywhere(block->d), _mm256_cvtepi32_ps(scale));
}

#define MN_BLOCK_SCALES_OF(type, scales)                                                                               \
    MN_ALWAYS_INLINE void mn_scales_of_##type(const char *src, mn_unpack_scales *w) {                                  \
        scales(src, sizeof(mn_##type), w);                                                                             \
    }
MN_BLOCK_SCALES_OF(q8_0, mn_block_scales)
MN_BLOCK_SCALES_OF(q4_0, mn_block_scales)
MN_BLOCK_SCALES_OF(q4_1, mn_block_scales_and_minima)
MN_BLOCK_SCALES_OF(q5_0, mn_block_scales)
MN_BLOCK_SCALES_OF(q5_1, mn_block_scales_and_minima)
MN_BLOCK_SCALES_OF(iq4_nl, mn_block_scales)

/* X(type, dtype, members of its form) */
#define MN_UNPACK_TYPES_OF_8_BITS(X)                                                                                   \
    X(q8_0, MN_Q8_0, .chunk_bytes = 8 * sizeof(mn_q8_0), .u_bits = 8)                                                  \
    X(iq4_nl, MN_IQ4_NL, .chunk_bytes = 8 * sizeof(mn_iq4_nl), .u_bits = 8)                                            \
    X(iq4_xs, MN_IQ4_XS, .chunk_bytes = sizeof(mn_iq4_xs), .u_bits = 8)

#define MN_UNPACK_TYPES_BELOW_8_BITS(X)                                                                                \
    X(q4_0, MN_Q4_0, .chunk_bytes = 8 * sizeof(mn_q4_0), .u_bits = 4, .offset_bits = 3)                                \
    X(q4_1, MN_Q4_1, .chunk_bytes = 8 * sizeof(mn_q4_1), .u_bits = 4, .has_min = true)                                 \
    X(q5_0, MN_Q5_0, .chunk_bytes = 8 * sizeof(mn_q5_0), .u_bits = 5, .offset_bits = 4)                                \
    X(q5_1, MN_Q5_1, .chunk_bytes = 8 * sizeof(mn_q5_1), .u_bits = 5, .has_min = true)                                 \
    X(mxfp4, MN_MXFP4, .chunk_bytes = 8 * sizeof(mn_mxfp4), .u_bits = 5, .offset_bits = 4)                             \
    X(q2_k, MN_Q2_K, .chunk_bytes = sizeof(mn_q2_k), .u_bits = 2, .has_halves = true, .has_min = true)                 \
    X(q3_k, MN_Q3_K, .chunk_bytes = sizeof(mn_q3_k), .u_bits = 3, .has_halves = true, .offset_bits = 2)                \
    X(q4_k, MN_Q4_K, .chunk_bytes = sizeof(mn_q4_k), .u_bits = 4, .has_min = true)                                     \
    X(q5_k, MN_Q5_K, .chunk_bytes = sizeof(mn_q5_k), .u_bits = 5, .has_min = true)                                     \
    X(q6_k, MN_Q6_K, .chunk_bytes = sizeof(mn_q6_k), .u_bits = 6, .has_halves = true, .offset_bits = 5)

#define MN_UNPACK_TYPES(X)                                                                                             \
    MN_UNPACK_TYPES_OF_8_BITS(X)                                                                                       \
    MN_UNPACK_TYPES_BELOW_8_BITS(X)

#endif
