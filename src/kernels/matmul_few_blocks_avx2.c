/* Activations in 8 bits, and the types of 32 weights: their scales stand between the weights and are picked out of eight
 * blocks at once.
 */
#include "kernels/matmul_few_avx2.h"

#include <math.h>

size_t mn_few_x_row_bytes(int64_t n_in) {
    return mn_odd_lines((size_t)((n_in + MN_FEW_INPUTS - 1) / MN_FEW_INPUTS) * sizeof(mn_few_x));
}

MN_ALWAYS_INLINE float max_lane(__m256 v) {
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

/* To the nearest of -127 .. 127 steps of the block's largest magnitude / 127; halves to even. The scale of a block with
 * an infinity or a NaN is one, and so is what comes of it. */
static void prepare_block(const float *x, int8_t q[MN_BLOCK], float *d) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    __m256 v[4], max = _mm256_setzero_ps(), unordered = _mm256_setzero_ps();
    for (int k = 0; k < 4; k++) {
        v[k] = _mm256_loadu_ps(x + 8 * k);
        max = _mm256_max_ps(max, _mm256_andnot_ps(sign, v[k]));
        unordered = _mm256_or_ps(unordered, _mm256_cmp_ps(v[k], v[k], _CMP_UNORD_Q));
    }
    float largest = _mm256_movemask_ps(unordered) ? NAN : max_lane(max);
    *d = largest / 127;
    if (!(largest > 0x1p-120f && largest < INFINITY)) { /* less is nothing that could be seen in a sum */
        memset(q, 0, MN_BLOCK);
        return;
    }
    __m256i steps[4];
    for (int k = 0; k < 4; k++) steps[k] = _mm256_cvtps_epi32(_mm256_mul_ps(v[k], _mm256_set1_ps(127 / largest)));
    __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(steps[0], steps[1]), _mm256_packs_epi32(steps[2], steps[3]));
    bytes = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_storeu_si256((__m256i *)q, bytes);
}

/* Block b of 256, in its places. */
static void place_block(const int8_t q[MN_BLOCK], float d, mn_few_x *x, int b) {
    int sum[2] = {0}, place = b / 2 + b % 2 * 4;
    for (int h = 0; h < 2; h++) {
        memcpy(x->q + b / 2 * 2 * MN_BLOCK + h * MN_BLOCK + b % 2 * 16, q + h * 16, 16);
        for (int j = 0; j < 16; j++) sum[h] += q[h * 16 + j];
        x->half_sum[2 * place + h] = (int16_t)sum[h];
    }
    x->sum[place] = sum[0] + sum[1];
    x->d[place] = d;
}

void mn_few_prepare(const float *x, int64_t n_in, void *row) {
    mn_few_x *out = row;
    for (; n_in > 0; n_in -= MN_FEW_INPUTS, x += MN_FEW_INPUTS, out++) {
        int n_blocks = n_in < MN_FEW_INPUTS ? (int)n_in / MN_BLOCK : MN_FEW_BLOCKS;
        if (n_blocks < MN_FEW_BLOCKS) memset(out, 0, sizeof *out);
        for (int b = 0; b < n_blocks; b++) {
            int8_t q[MN_BLOCK];
            float d;
            prepare_block(x + b * MN_BLOCK, q, &d);
            place_block(q, d, out, b);
        }
    }
}

void mn_few_pack(const mn_matmul_part *part, const mn_vec_kernels *vec, void *panel) {
    (void)part, (void)vec, (void)panel;
}

MN_ALWAYS_INLINE __m128i load_128(const void *p) { return _mm_loadu_si128(p); }

/* The dwords at p in a block and in the fourth, the first and the fifth after it. Each is loaded with what stands before it, at
 * the place where it goes. */
MN_ALWAYS_INLINE __m128i pick_dwords(const char *p, size_t block_bytes) {
    __m128i v = _mm_blend_epi32(load_128(p), load_128(p + 4 * block_bytes - 4), 2);
    v = _mm_blend_epi32(v, load_128(p + block_bytes - 8), 4);
    return _mm_blend_epi32(v, load_128(p + 5 * block_bytes - 12), 8);
}

/* The scales of eight blocks that begin with them. */
MN_ALWAYS_INLINE void block_scales(const char *src, size_t block_bytes, mn_few_scales *w) {
    __m128i low = pick_dwords(src, block_bytes), high = pick_dwords(src + 2 * block_bytes - 2, block_bytes);
    w->scale = _mm256_cvtph_ps(_mm_blend_epi16(low, high, 0xaa));
}

/* Of eight blocks that begin with a scale and with what is added to scaled weights. */
MN_ALWAYS_INLINE void block_scales_and_minima(const char *src, size_t block_bytes, mn_few_scales *w) {
    __m128i low = pick_dwords(src, block_bytes), high = pick_dwords(src + 2 * block_bytes, block_bytes);
    w->scale = _mm256_cvtph_ps(_mm_blend_epi16(low, _mm_slli_epi32(high, 16), 0xaa));
    __m256 added = _mm256_cvtph_ps(_mm_blend_epi16(_mm_srli_epi32(low, 16), high, 0xaa));
    w->min = _mm256_xor_ps(added, _mm256_set1_ps(-0.0f));
}

/* 16 bytes of nibbles in each of two blocks: half 0 is the low ones, half 1 the high ones. */
MN_ALWAYS_INLINE __m256i nibbles(const void *q0, const void *q1, const int half) {
    __m256i v = mn_load_two(q0, q1);
    return mn_and_all(half ? _mm256_srli_epi16(v, 4) : v, 15);
}

/* Bits 0 to 15 (half 0) or 16 to 31 of four bytes of two blocks, as 16 in bytes. */
MN_ALWAYS_INLINE __m256i fifth_bits(const void *high0, const void *high1, const int half) {
    const __m256i bit = _mm256_set1_epi64x((int64_t)0x8040201008040201);
    const int64_t first = half * 0x0202020202020202, second = first + 0x0101010101010101;
    __m256i bits = _mm256_shuffle_epi8(mn_load_two(high0, high1), _mm256_setr_epi64x(first, second, first, second));
    return mn_and_all(_mm256_cmpeq_epi8(_mm256_and_si256(bits, bit), bit), 16);
}

MN_ALWAYS_INLINE __m256i u_of_q8_0(const char *src, const int i) {
    const mn_q8_0 *pair = (const mn_q8_0 *)src + i / 2 * 2;
    return mn_load_two(pair[0].q + i % 2 * 16, pair[1].q + i % 2 * 16);
}

MN_ALWAYS_INLINE __m256i u_of_q4_0(const char *src, const int i) {
    const mn_q4_0 *pair = (const mn_q4_0 *)src + i / 2 * 2;
    return nibbles(pair[0].q, pair[1].q, i % 2);
}

MN_ALWAYS_INLINE __m256i u_of_q4_1(const char *src, const int i) {
    const mn_q4_1 *pair = (const mn_q4_1 *)src + i / 2 * 2;
    return nibbles(pair[0].q, pair[1].q, i % 2);
}

MN_ALWAYS_INLINE __m256i u_of_q5_0(const char *src, const int i) {
    const mn_q5_0 *pair = (const mn_q5_0 *)src + i / 2 * 2;
    return _mm256_or_si256(nibbles(pair[0].q, pair[1].q, i % 2), fifth_bits(pair[0].high, pair[1].high, i % 2));
}

MN_ALWAYS_INLINE __m256i u_of_q5_1(const char *src, const int i) {
    const mn_q5_1 *pair = (const mn_q5_1 *)src + i / 2 * 2;
    return _mm256_or_si256(nibbles(pair[0].q, pair[1].q, i % 2), fifth_bits(pair[0].high, pair[1].high, i % 2));
}

MN_ALWAYS_INLINE __m256i u_of_iq4_nl(const char *src, const int i) {
    const mn_iq4_nl *pair = (const mn_iq4_nl *)src + i / 2 * 2;
    return _mm256_shuffle_epi8(mn_load_twice(mn_iq4_nl_values), nibbles(pair[0].q, pair[1].q, i % 2));
}

#define PATH(type, scales, ...)                                                                  \
    MN_ALWAYS_INLINE void scales_of_##type(const char *src, mn_few_scales *w) {                  \
        scales(src, sizeof(mn_##type), w);                                                       \
    }                                                                                            \
    MN_FEW_QUANT_PATH(type, scales_of_##type, .chunk_bytes = MN_FEW_BLOCKS * sizeof(mn_##type), __VA_ARGS__)
PATH(q8_0, block_scales, .u_bits = 8)
PATH(q4_0, block_scales, .u_bits = 4, .offset_bits = 3)
PATH(q4_1, block_scales_and_minima, .u_bits = 4, .has_min = true)
PATH(q5_0, block_scales, .u_bits = 5, .offset_bits = 4)
PATH(q5_1, block_scales_and_minima, .u_bits = 5, .has_min = true)
PATH(iq4_nl, block_scales, .u_bits = 8)

void mn_matmul_init_few_blocks_avx2(mn_matmul_kernels *table) {
    table->fast[MN_Q8_0] = &path_q8_0;
    table->fast[MN_Q4_0] = &path_q4_0;
    table->fast[MN_Q4_1] = &path_q4_1;
    table->fast[MN_Q5_0] = &path_q5_0;
    table->fast[MN_Q5_1] = &path_q5_1;
    table->fast[MN_IQ4_NL] = &path_iq4_nl;
}
