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
static void prepare_block(const float *x, mn_few_x *out, int b) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    __m256 v[4], max = _mm256_setzero_ps(), unordered = _mm256_setzero_ps();
    for (int k = 0; k < 4; k++) {
        v[k] = _mm256_loadu_ps(x + 8 * k);
        max = _mm256_max_ps(max, _mm256_andnot_ps(sign, v[k]));
        unordered = _mm256_or_ps(unordered, _mm256_cmp_ps(v[k], v[k], _CMP_UNORD_Q));
    }
    float largest = _mm256_movemask_ps(unordered) ? NAN : max_lane(max);
    out->d[b] = largest / 127;
    float inverse = largest > 0x1p-120f && largest < INFINITY ? 127 / largest : 0; /* less is nothing that could be seen in a sum */
    if (inverse == 0) {
        memset(out->q + b * MN_BLOCK, 0, MN_BLOCK);
        return;
    }
    __m256i q[4];
    for (int k = 0; k < 4; k++) q[k] = _mm256_cvtps_epi32(_mm256_mul_ps(v[k], _mm256_set1_ps(inverse)));
    __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
    bytes = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_storeu_si256((__m256i *)(out->q + b * MN_BLOCK), bytes);
}

static void sum_block(mn_few_x *x, int b) {
    int half[2] = {0};
    for (int j = 0; j < MN_BLOCK; j++) half[j / 16] += x->q[b * MN_BLOCK + j];
    x->half_sum[2 * b] = (int16_t)half[0];
    x->half_sum[2 * b + 1] = (int16_t)half[1];
    x->sum[b] = half[0] + half[1];
}

void mn_few_prepare(const float *x, int64_t n_in, void *row) {
    mn_few_x *out = row;
    for (; n_in > 0; n_in -= MN_FEW_INPUTS, x += MN_FEW_INPUTS, out++) {
        int n_blocks = n_in < MN_FEW_INPUTS ? (int)n_in / MN_BLOCK : MN_FEW_BLOCKS;
        if (n_blocks < MN_FEW_BLOCKS) memset(out, 0, sizeof *out);
        for (int b = 0; b < n_blocks; b++) {
            prepare_block(x + b * MN_BLOCK, out, b);
            sum_block(out, b);
        }
    }
}

void mn_few_pack(const mn_matmul_part *part, const mn_vec_kernels *vec, void *panel) {
    (void)part, (void)vec, (void)panel;
}

MN_ALWAYS_INLINE __m128i load_128(const void *p) { return _mm_loadu_si128(p); }

/* Four dwords, `step` (at least 12) bytes apart. Each is loaded with what stands before it, at the place where it goes. */
MN_ALWAYS_INLINE __m128i pick_dwords(const char *p, size_t step) {
    __m128i v = _mm_blend_epi32(load_128(p), load_128(p + step - 4), 2);
    v = _mm_blend_epi32(v, load_128(p + 2 * step - 8), 4);
    return _mm_blend_epi32(v, load_128(p + 3 * step - 12), 8);
}

/* The scales of eight blocks that begin with them. */
MN_ALWAYS_INLINE __m256 block_scales(const char *src, size_t block_bytes) {
    __m128i even = pick_dwords(src, 2 * block_bytes);
    __m128i odd = pick_dwords(src + block_bytes - 2, 2 * block_bytes); /* in the upper halves of the dwords */
    return _mm256_cvtph_ps(_mm_blend_epi16(even, odd, 0xaa));
}

/* Of eight blocks that begin with a scale and with what is added to scaled weights. */
MN_ALWAYS_INLINE void block_scales_and_minima(const char *src, size_t block_bytes, mn_few_w *w) {
    __m128i even = pick_dwords(src, 2 * block_bytes), odd = pick_dwords(src + block_bytes, 2 * block_bytes);
    w->scale = _mm256_cvtph_ps(_mm_blend_epi16(even, _mm_slli_epi32(odd, 16), 0xaa));
    __m256 added = _mm256_cvtph_ps(_mm_blend_epi16(_mm_srli_epi32(even, 16), odd, 0xaa));
    w->min = _mm256_xor_ps(added, _mm256_set1_ps(-0.0f));
}

/* 16 bytes of nibbles: elements 0 to 15 are low ones, 16 to 31 high ones. */
MN_ALWAYS_INLINE __m256i nibbles(const void *q) {
    __m256i twice = _mm256_broadcastsi128_si256(load_128(q));
    return _mm256_and_si256(_mm256_srlv_epi32(twice, _mm256_setr_epi32(0, 0, 0, 0, 4, 4, 4, 4)), _mm256_set1_epi8(15));
}

/* Bit j of four bytes, as 16 in byte j. */
MN_ALWAYS_INLINE __m256i fifth_bits(const void *four_bytes) {
    int32_t v;
    memcpy(&v, four_bytes, sizeof v);
    const __m256i byte = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit = _mm256_set1_epi64x((int64_t)0x8040201008040201);
    __m256i bits = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(v), byte), bit);
    return _mm256_and_si256(_mm256_cmpeq_epi8(bits, bit), _mm256_set1_epi8(16));
}

MN_ALWAYS_INLINE void expand_q8_0(const char *src, mn_few_w *w) {
    const mn_q8_0 *block = (const mn_q8_0 *)src;
#pragma GCC unroll 8
    for (int b = 0; b < MN_FEW_BLOCKS; b++) w->u[b] = mn_load_256(block[b].q);
    w->scale = block_scales(src, sizeof *block);
}

MN_ALWAYS_INLINE void expand_q4_0(const char *src, mn_few_w *w) {
    const mn_q4_0 *block = (const mn_q4_0 *)src;
#pragma GCC unroll 8
    for (int b = 0; b < MN_FEW_BLOCKS; b++) w->u[b] = nibbles(block[b].q);
    w->scale = block_scales(src, sizeof *block);
}

MN_ALWAYS_INLINE void expand_q4_1(const char *src, mn_few_w *w) {
    const mn_q4_1 *block = (const mn_q4_1 *)src;
#pragma GCC unroll 8
    for (int b = 0; b < MN_FEW_BLOCKS; b++) w->u[b] = nibbles(block[b].q);
    block_scales_and_minima(src, sizeof *block, w);
}

MN_ALWAYS_INLINE void expand_q5_0(const char *src, mn_few_w *w) {
    const mn_q5_0 *block = (const mn_q5_0 *)src;
#pragma GCC unroll 8
    for (int b = 0; b < MN_FEW_BLOCKS; b++) w->u[b] = _mm256_or_si256(nibbles(block[b].q), fifth_bits(block[b].high));
    w->scale = block_scales(src, sizeof *block);
}

MN_ALWAYS_INLINE void expand_q5_1(const char *src, mn_few_w *w) {
    const mn_q5_1 *block = (const mn_q5_1 *)src;
#pragma GCC unroll 8
    for (int b = 0; b < MN_FEW_BLOCKS; b++) w->u[b] = _mm256_or_si256(nibbles(block[b].q), fifth_bits(block[b].high));
    block_scales_and_minima(src, sizeof *block, w);
}

MN_ALWAYS_INLINE void expand_iq4_nl(const char *src, mn_few_w *w) {
    const mn_iq4_nl *block = (const mn_iq4_nl *)src;
    __m256i values = _mm256_broadcastsi128_si256(load_128(mn_iq4_nl_values));
#pragma GCC unroll 8
    for (int b = 0; b < MN_FEW_BLOCKS; b++) w->u[b] = _mm256_shuffle_epi8(values, nibbles(block[b].q));
    w->scale = block_scales(src, sizeof *block);
}

MN_FEW_QUANT_PATH(q8_0, mn_q8_0, MN_BLOCK, .is_signed = true)
MN_FEW_QUANT_PATH(q4_0, mn_q4_0, MN_BLOCK, .offset_bits = 3)
MN_FEW_QUANT_PATH(q4_1, mn_q4_1, MN_BLOCK, .has_min = true)
MN_FEW_QUANT_PATH(q5_0, mn_q5_0, MN_BLOCK, .offset_bits = 4)
MN_FEW_QUANT_PATH(q5_1, mn_q5_1, MN_BLOCK, .has_min = true)
MN_FEW_QUANT_PATH(iq4_nl, mn_iq4_nl, MN_BLOCK, .is_signed = true)

void mn_matmul_init_few_blocks_avx2(mn_matmul_kernels *table) {
    table->fast[MN_Q8_0] = &path_q8_0;
    table->fast[MN_Q4_0] = &path_q4_0;
    table->fast[MN_Q4_1] = &path_q4_1;
    table->fast[MN_Q5_0] = &path_q5_0;
    table->fast[MN_Q5_1] = &path_q5_1;
    table->fast[MN_IQ4_NL] = &path_iq4_nl;
}
