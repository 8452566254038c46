/* Quantised blocks of 16 rows at a time into panels of bytes: one lane for each row, so that scales packed into odd
 * bits are taken apart for 16 rows by one shift and one mask.
 */
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

MN_ALWAYS_INLINE void put(mn_quant_panel *panel, int half, int block, const __m512i u[8]) {
    for (int k = 0; k < 8; k++) panel->column[block * 8 + k].half[half] = u[k];
}

void mn_quant_pack_q8_0(const char *rows, size_t stride, int n, mn_quant_panel *panel, int half) {
    for (int b = 0; b < n / MN_BLOCK; b++, rows += sizeof(mn_q8_0)) {
        mn_prefetch_next_panel(rows, stride, b % 2 * 8, 8);
        __m512i u[8];
        mn_load_dwords(rows + offsetof(mn_q8_0, q), stride, u);
        mn_load_dwords(rows + offsetof(mn_q8_0, q) + 16, stride, u + 4);
        for (int k = 0; k < 8; k++) u[k] = _mm512_xor_si512(u[k], _mm512_set1_epi8(-128));
        put(panel, half, b, u);
        panel->scale[b][half] = load_halves(rows, stride);
    }
}

void mn_quant_pack_q4_0(const char *rows, size_t stride, int n, mn_quant_panel *panel, int half) {
    for (int b = 0; b < n / MN_BLOCK; b++, rows += sizeof(mn_q4_0)) {
        mn_prefetch_next_panel(rows, stride, b % 4 * 4, 4);
        __m512i u[8];
        unpack_nibbles(rows + offsetof(mn_q4_0, q), stride, u);
        put(panel, half, b, u);
        panel->scale[b][half] = load_halves(rows, stride);
    }
}

void mn_quant_pack_iq4_nl(const char *rows, size_t stride, int n, mn_quant_panel *panel, int half) {
    __m128i values = _mm_xor_si128(_mm_loadu_si128((const __m128i *)mn_iq4_nl_values), _mm_set1_epi8(-128));
    __m512i levels = _mm512_broadcast_i32x4(values);
    for (int b = 0; b < n / MN_BLOCK; b++, rows += sizeof(mn_iq4_nl)) {
        mn_prefetch_next_panel(rows, stride, b % 4 * 4, 4);
        __m512i u[8];
        unpack_nibbles(rows + offsetof(mn_iq4_nl, q), stride, u);
        for (int k = 0; k < 8; k++) u[k] = _mm512_shuffle_epi8(levels, u[k]);
        put(panel, half, b, u);
        panel->scale[b][half] = load_halves(rows, stride);
    }
}

void mn_quant_pack_q4_1(const char *rows, size_t stride, int n, mn_quant_panel *panel, int half) {
    for (int b = 0; b < n / MN_BLOCK; b++, rows += sizeof(mn_q4_1)) {
        mn_prefetch_next_panel(rows, stride, b % 4 * 4, 4);
        __m512i u[8], head = load_words(rows, stride);
        unpack_nibbles(rows + offsetof(mn_q4_1, q), stride, u);
        put(panel, half, b, u);
        panel->scale[b][half] = low_half(head);
        panel->min[b][half] = -high_half(head);
    }
}

MN_ALWAYS_INLINE void unpack_fives(const char *q, const char *high, size_t stride, __m512i u[8]) {
    __m512i fifth = load_words(high, stride);
    unpack_nibbles(q, stride, u);
    for (int k = 0; k < 8; k++) u[k] = _mm512_or_si512(u[k], spread_fifth_bits(bits(fifth, 4 * k, 4)));
}

void mn_quant_pack_q5_0(const char *rows, size_t stride, int n, mn_quant_panel *panel, int half) {
    for (int b = 0; b < n / MN_BLOCK; b++, rows += sizeof(mn_q5_0)) {
        mn_prefetch_next_panel(rows, stride, b % 4 * 4, 4);
        __m512i u[8];
        unpack_fives(rows + offsetof(mn_q5_0, q), rows + offsetof(mn_q5_0, high), stride, u);
        put(panel, half, b, u);
        panel->scale[b][half] = load_halves(rows, stride);
    }
}

void mn_quant_pack_q5_1(const char *rows, size_t stride, int n, mn_quant_panel *panel, int half) {
    for (int b = 0; b < n / MN_BLOCK; b++, rows += sizeof(mn_q5_1)) {
        mn_prefetch_next_panel(rows, stride, b % 4 * 4, 4);
        __m512i u[8], head = load_words(rows, stride);
        unpack_fives(rows + offsetof(mn_q5_1, q), rows + offsetof(mn_q5_1, high), stride, u);
        put(panel, half, b, u);
        panel->scale[b][half] = low_half(head);
        panel->min[b][half] = -high_half(head);
    }
}

void mn_quant_pack_q2_k(const char *rows, size_t stride, int n, mn_quant_panel *panel, int half) {
    for (int b = 0; b < n / MN_BLOCK; b += 8, rows += sizeof(mn_q2_k)) {
        __m512i nibbles[4], head = load_words(rows + offsetof(mn_q2_k, d), stride);
        __m512 d = low_half(head), d_min = high_half(head);
        mn_load_dwords(rows + offsetof(mn_q2_k, scales), stride, nibbles);
        for (int s = 0; s < 16; s++) {
            panel->scale[2 * b + s][half] = d * _mm512_cvtepi32_ps(bits(nibbles[s / 4], s % 4 * 8, 4));
            panel->min[2 * b + s][half] = d_min * _mm512_cvtepi32_ps(bits(nibbles[s / 4], s % 4 * 8 + 4, 4));
        }
        for (int h = 0; h < 2; h++) {
            mn_prefetch_next_panel(rows + 64 * h, stride, 0, 16);
            __m512i v[8], u[8];
            mn_load_dwords(rows + offsetof(mn_q2_k, q) + 32 * h, stride, v);
            mn_load_dwords(rows + offsetof(mn_q2_k, q) + 32 * h + 16, stride, v + 4);
            for (int quarter = 0; quarter < 4; quarter++) {
                for (int k = 0; k < 8; k++) u[k] = byte_bits(v[k], 2 * quarter, 2);
                put(panel, half, b + 4 * h + quarter, u);
            }
        }
    }
}

/* The words that hold the scales of Q3_K, where those begin 96 bytes into the block: four bytes before them, then the
 * scales in dwords 1 to 3. A load that begins at the scales would end beyond the block. */
static void q3_k_scales(const char *rows, size_t stride, __m512 d, __m512 (*scale)[2], int half) {
    __m512i v[4];
    mn_load_dwords(rows + offsetof(mn_q3_k, scales) - 4, stride, v);
    for (int s = 0; s < 16; s++) {
        __m512i low = bits(v[1 + s % 8 / 4], s % 4 * 8 + s / 8 * 4, 4), high = bits(v[3], s % 4 * 8 + s / 4 * 2, 2);
        __m512i value = _mm512_or_si512(low, _mm512_slli_epi32(high, 4));
        scale[s][half] = d * _mm512_cvtepi32_ps(_mm512_sub_epi32(value, _mm512_set1_epi32(32)));
    }
}

void mn_quant_pack_q3_k(const char *rows, size_t stride, int n, mn_quant_panel *panel, int half) {
    for (int b = 0; b < n / MN_BLOCK; b += 8, rows += sizeof(mn_q3_k)) {
        __m512i third[8];
        mn_load_dwords(rows + offsetof(mn_q3_k, high), stride, third);
        mn_load_dwords(rows + offsetof(mn_q3_k, high) + 16, stride, third + 4);
        q3_k_scales(rows, stride, load_halves(rows + offsetof(mn_q3_k, d), stride), panel->scale + 2 * b, half);
        for (int h = 0; h < 2; h++) {
            mn_prefetch_next_panel(rows + 64 * h, stride, 0, 16);
            __m512i v[8], u[8];
            mn_load_dwords(rows + offsetof(mn_q3_k, q) + 32 * h, stride, v);
            mn_load_dwords(rows + offsetof(mn_q3_k, q) + 32 * h + 16, stride, v + 4);
            for (int quarter = 0; quarter < 4; quarter++) {
                for (int k = 0; k < 8; k++) {
                    __m512i top = _mm512_slli_epi32(byte_bits(third[k], 4 * h + quarter, 1), 2);
                    u[k] = _mm512_or_si512(byte_bits(v[k], 2 * quarter, 2), top);
                }
                put(panel, half, b + 4 * h + quarter, u);
            }
        }
    }
}

/* d, d_min and the twelve bytes of scales are the first 16 bytes of Q4_K and Q5_K; see mn_k4_scale. */
MN_ALWAYS_INLINE void k4_scales(const char *rows, size_t stride, mn_quant_panel *panel, int block, int half) {
    __m512i v[4];
    mn_load_dwords(rows, stride, v);
    __m512 d = low_half(v[0]), d_min = high_half(v[0]);
    for (int s = 0; s < 4; s++) {
        panel->scale[block + s][half] = d * _mm512_cvtepi32_ps(bits(v[1], 8 * s, 6));
        panel->min[block + s][half] = d_min * _mm512_cvtepi32_ps(bits(v[2], 8 * s, 6));
        __m512i scale = _mm512_or_si512(bits(v[3], 8 * s, 4), _mm512_slli_epi32(bits(v[1], 8 * s + 6, 2), 4));
        __m512i min = _mm512_or_si512(bits(v[3], 8 * s + 4, 4), _mm512_slli_epi32(bits(v[2], 8 * s + 6, 2), 4));
        panel->scale[block + 4 + s][half] = d * _mm512_cvtepi32_ps(scale);
        panel->min[block + 4 + s][half] = d_min * _mm512_cvtepi32_ps(min);
    }
}

/* 32 bytes of nibbles: 32 elements in the low ones, the next 32 in the high ones. */
MN_ALWAYS_INLINE void unpack_pair(const char *q, size_t stride, __m512i low[8], __m512i high[8]) {
    __m512i v[8];
    mn_load_dwords(q, stride, v);
    mn_load_dwords(q + 16, stride, v + 4);
    for (int k = 0; k < 8; k++) {
        low[k] = _mm512_and_si512(v[k], NIBBLES);
        high[k] = _mm512_and_si512(_mm512_srli_epi32(v[k], 4), NIBBLES);
    }
}

void mn_quant_pack_q4_k(const char *rows, size_t stride, int n, mn_quant_panel *panel, int half) {
    for (int b = 0; b < n / MN_BLOCK; b += 8, rows += sizeof(mn_q4_k)) {
        k4_scales(rows, stride, panel, b, half);
        for (int pair = 0; pair < 4; pair++) {
            mn_prefetch_next_panel(rows + 64 * (pair / 2), stride, pair % 2 * 8, 8);
            __m512i low[8], high[8];
            unpack_pair(rows + offsetof(mn_q4_k, q) + 32 * pair, stride, low, high);
            put(panel, half, b + 2 * pair, low);
            put(panel, half, b + 2 * pair + 1, high);
        }
    }
}

void mn_quant_pack_q5_k(const char *rows, size_t stride, int n, mn_quant_panel *panel, int half) {
    for (int b = 0; b < n / MN_BLOCK; b += 8, rows += sizeof(mn_q5_k)) {
        __m512i fifth[8];
        k4_scales(rows, stride, panel, b, half);
        mn_load_dwords(rows + offsetof(mn_q5_k, high), stride, fifth);
        mn_load_dwords(rows + offsetof(mn_q5_k, high) + 16, stride, fifth + 4);
        for (int pair = 0; pair < 4; pair++) {
            if (pair < 3) mn_prefetch_next_panel(rows + 64 * pair, stride, 0, 16);
            __m512i low[8], high[8];
            unpack_pair(rows + offsetof(mn_q5_k, q) + 32 * pair, stride, low, high);
            for (int k = 0; k < 8; k++) {
                low[k] = _mm512_or_si512(low[k], _mm512_slli_epi32(byte_bits(fifth[k], 2 * pair, 1), 4));
                high[k] = _mm512_or_si512(high[k], _mm512_slli_epi32(byte_bits(fifth[k], 2 * pair + 1, 1), 4));
            }
            put(panel, half, b + 2 * pair, low);
            put(panel, half, b + 2 * pair + 1, high);
        }
    }
}

static void q6_k_scales(const char *rows, size_t stride, __m512 d, __m512 (*scale)[2], int half) {
    __m512i v[4];
    mn_load_dwords(rows + offsetof(mn_q6_k, scales), stride, v);
    for (int s = 0; s < 16; s++) {
        __m512i top = _mm512_sll_epi32(v[s / 4], _mm_cvtsi32_si128(24 - s % 4 * 8));
        scale[s][half] = d * _mm512_cvtepi32_ps(_mm512_srai_epi32(top, 24));
    }
}

/* Half h of a block: 64 bytes of low nibbles and 32 bytes of pairs of upper bits make four blocks of 32. */
MN_ALWAYS_INLINE void q6_k_half(const char *low, const char *high, size_t stride, mn_quant_panel *panel, int block,
                                int half) {
    __m512i v[16], upper[8];
    for (int k = 0; k < 4; k++) mn_load_dwords(low + 16 * k, stride, v + 4 * k);
    for (int k = 0; k < 2; k++) mn_load_dwords(high + 16 * k, stride, upper + 4 * k);
    for (int quarter = 0; quarter < 4; quarter++) {
        __m512i u[8];
        mn_prefetch_next_panel(low + 64 * (quarter / 2), stride, quarter % 2 * 8, 8);
        for (int k = 0; k < 8; k++) {
            __m512i nibble = byte_bits(v[quarter % 2 * 8 + k], quarter / 2 * 4, 4);
            u[k] = _mm512_or_si512(nibble, _mm512_slli_epi32(byte_bits(upper[k], 2 * quarter, 2), 4));
        }
        put(panel, half, block + quarter, u);
    }
}

void mn_quant_pack_q6_k(const char *rows, size_t stride, int n, mn_quant_panel *panel, int half) {
    for (int b = 0; b < n / MN_BLOCK; b += 8, rows += sizeof(mn_q6_k)) {
        const char *low = rows + offsetof(mn_q6_k, low), *high = rows + offsetof(mn_q6_k, high);
        q6_k_scales(rows, stride, load_halves(rows + offsetof(mn_q6_k, d), stride), panel->scale + 2 * b, half);
        q6_k_half(low, high, stride, panel, b, half);
        q6_k_half(low + 64, high + 32, stride, panel, b + 4, half);
    }
}
