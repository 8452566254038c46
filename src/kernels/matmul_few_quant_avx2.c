/* Quantised weights times a few rows of activations in 8 bits (matmul_few_tile_avx2.h), and what makes these of f32. */
#include "kernels/matmul_few_tile_avx2.h"

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
    const int place = b / 2 + b % 2 * 4;
    __m256i bytes = _mm256_loadu_si256((const __m256i *)q);
    for (int h = 0; h < 2; h++) memcpy(x->q + b / 2 * 2 * MN_BLOCK + h * MN_BLOCK + b % 2 * 16, q + h * 16, 16);
    /* Words: sums of inputs 0 and 1, and 2 and 3, of four; then of all fours of a half. */
    __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), bytes);
    pairs = _mm256_add_epi16(pairs, _mm256_shuffle_epi32(pairs, 0x4e));
    pairs = _mm256_sub_epi16(_mm256_setzero_si256(), _mm256_add_epi16(pairs, _mm256_shuffle_epi32(pairs, 0xb1)));
    __m128i low = _mm256_castsi256_si128(pairs), high = _mm256_extracti128_si256(pairs, 1);
    __m128i halves = _mm_unpacklo_epi32(low, high), both = _mm_add_epi16(low, high);
    _mm_storel_epi64((__m128i *)x->minus_half_pairs[2 * place], halves);
    memcpy(x->minus_pairs[place], &both, sizeof x->minus_pairs[place]);
    __m128i sums = _mm_madd_epi16(halves, _mm_set1_epi16(1));
    x->minus_half[2 * place] = (int16_t)_mm_extract_epi32(sums, 0);
    x->minus_half[2 * place + 1] = (int16_t)_mm_extract_epi32(sums, 1);
    x->minus_sum[place] = x->minus_half[2 * place] + x->minus_half[2 * place + 1];
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

size_t mn_words_x_row_bytes(int64_t n_in) {
    return mn_odd_lines((size_t)((n_in + MN_FEW_INPUTS - 1) / MN_FEW_INPUTS) * sizeof(mn_words_x));
}

void mn_words_prepare(const float *x, int64_t n_in, void *row) {
    mn_words_x *out = row;
    for (; n_in > 0; n_in -= MN_FEW_INPUTS, x += MN_FEW_INPUTS, out++) {
        mn_few_x chunk;
        mn_few_prepare(x, n_in < MN_FEW_INPUTS ? n_in : MN_FEW_INPUTS, &chunk);
        for (int i = 0; i < MN_FEW_INPUTS; i += 16) {
            __m256i words = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(chunk.q + i)));
            _mm256_storeu_si256((__m256i *)(out->q + i), words);
        }
        memcpy(out->d, chunk.d, sizeof out->d);
    }
}

MN_UNPACK_TYPES(MN_FEW_QUANT_PATH)

void mn_matmul_init_few_quant_avx2(mn_matmul_kernels *table) {
#define ENTER(type, dtype, ...) table->fast[dtype] = &path_##type;
    MN_UNPACK_TYPES(ENTER)
}
