/* Quantised blocks of 16 rows at a time into panels of bytes. */
#include "kernels/matmul_quant_unpack_avx512bf16.h"

MN_ALWAYS_INLINE void put(mn_quant_panel *panel, int half, int block, const __m512i u[8]) {
    for (int k = 0; k < 8; k++) panel->column[block * 8 + k].half[half] = u[k];
}

/* Types of one block of 32 after the other; 16 rows' lines of a panel that follows are asked for over `period` blocks,
 * which lie on as many lines. */
#define PACK(type, period, has_min)                                                                                    \
    void mn_quant_pack_##type(const char *rows, size_t stride, int n, mn_quant_panel *panel, int half) {               \
        for (int b = 0; b < n / MN_BLOCK; b++, rows += sizeof(mn_##type)) {                                            \
            mn_block16 block;                                                                                          \
            mn_prefetch_next_panel(rows, stride, b % period * (16 / period), 16 / period);                             \
            mn_unpack_##type(rows, stride, &block);                                                                    \
            put(panel, half, b, block.u);                                                                              \
            panel->scale[b][half] = block.scale[0];                                                                    \
            if (has_min) panel->min[b][half] = block.min[0];                                                           \
        }                                                                                                              \
    }
PACK(q8_0, 2, false)
PACK(q4_0, 4, false)
PACK(iq4_nl, 4, false)
PACK(mxfp4, 4, false)
PACK(q4_1, 4, true)
PACK(q5_0, 4, false)
PACK(q5_1, 4, true)

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

/* d and the scales are the first eight bytes of IQ4_XS; see mn_iq4_xs. */
void mn_quant_pack_iq4_xs(const char *rows, size_t stride, int n, mn_quant_panel *panel, int half) {
    for (int b = 0; b < n / MN_BLOCK; b += 8, rows += sizeof(mn_iq4_xs)) {
        __m512i head = load_words(rows, stride), low = load_words(rows + offsetof(mn_iq4_xs, scales_low), stride);
        __m512 d = low_half(head);
        for (int s = 0; s < 8; s++) {
            __m512i value = _mm512_or_si512(bits(low, 4 * s, 4), _mm512_slli_epi32(bits(head, 16 + 2 * s, 2), 4)), u[8];
            if (s % 3 == 0) mn_prefetch_next_panel(rows + 64 * (s / 3), stride, 0, 16);
            panel->scale[b + s][half] = d * _mm512_cvtepi32_ps(_mm512_sub_epi32(value, _mm512_set1_epi32(32)));
            mn_unpack_levels(rows + offsetof(mn_iq4_xs, q) + 16 * s, stride, mn_iq4_levels(), u);
            put(panel, half, b + s, u);
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
