/* Quantised weights times a few rows of 8-bit activations, with 256-bit registers and no dot product of bytes (VNNI).
 *
 * Memory is the limit, so W is read as it is stored, one of its rows after the other. 256 weights at a time become
 * bytes u in registers (matmul_unpack_avx2.h), and
 *
 *   sum x w = sum_b d_b scale_b (sum_j q_j u_j - offset sum_j q_j)    or    sum_b d_b (scale_b sum_j q_j u_j - min_b
 * sum_j q_j)
 *
 * over blocks b of 32, x_j = d_b q_j. Sums within a block are integers, exact. Each of eight lanes of an output's sum
 * takes one block of every eight, and the lanes are added last: a row of x comes out with the same bits alone and among
 * others.
 *
 * Products of bytes are added in pairs, in 16 bits: 2 x 128 x 127 is the most that they come to. A vector holds halves
 * of two blocks, so that both halves of a block are added without moving anything about.
 */
#ifndef MN_KERNELS_MATMUL_FEW_AVX2_H
#define MN_KERNELS_MATMUL_FEW_AVX2_H

#include "kernels/matmul_f32.h"
#include "tensor/blocks.h"

#include <immintrin.h>
#include <limits.h>

#define MN_ALWAYS_INLINE static inline __attribute__((always_inline))

enum {
    MN_FEW_OUTPUTS = 16, /* of a part: what a thread takes at once */
    MN_FEW_ALL_INPUTS = INT_MAX / MN_SUPER_BLOCK * MN_SUPER_BLOCK,
    MN_FEW_INPUTS = 256,
    MN_FEW_BLOCKS = MN_FEW_INPUTS / MN_BLOCK,
    MN_FEW_AHEAD_BYTES = 8192 /* into the second-level cache: more reads are under way there than the first waits for */
};

/* 256 activations: x_j = d[j / 32] q_j, |q_j| <= 127. Vector 2 p + h of q: half h of block 2 p, then half h of block 2
 * p + 1. Blocks of all other members stand in the order 0, 2, 4, 6, 1, 3, 5, 7. minus_sum: -(sum of q) over a block;
 * minus_half: over each half of it; pairs: over the first two, and the last two, of every four inputs alone. What a row
 * does not fill is zero. */
typedef struct mn_few_x {
    int8_t q[MN_FEW_INPUTS];
    float d[MN_FEW_BLOCKS];
    int32_t minus_sum[MN_FEW_BLOCKS];
    int16_t minus_half[2 * MN_FEW_BLOCKS];
    int16_t minus_pairs[MN_FEW_BLOCKS][2];
    int16_t minus_half_pairs[2 * MN_FEW_BLOCKS][2];
} mn_few_x;

/* The same activations in words, in the same order, for weights of 8 bits. */
typedef struct mn_words_x {
    int16_t q[MN_FEW_INPUTS];
    float d[MN_FEW_BLOCKS];
} mn_words_x;

/* One row of x, f32, into mn_few_x, and the bytes of it (mn_matmul_path). */
void mn_few_prepare(const float *x, int64_t n_in, void *row);
size_t mn_few_x_row_bytes(int64_t n_in);
void mn_words_prepare(const float *x, int64_t n_in, void *row);
size_t mn_words_x_row_bytes(int64_t n_in);

/* The `row` of f32 weights (mn_matmul_path). */
void mn_row_f32_avx2(const mn_matmul_part *part, const void *x, void *panel, float *out);

/* Enter the paths of quantised types, and of 16-bit floats. */
void mn_matmul_init_few_quant_avx2(mn_matmul_kernels *table);
void mn_matmul_init_few_quant_avxvnni(mn_matmul_kernels *table);
void mn_matmul_init_few_halves_avx2(mn_matmul_kernels *table);

MN_ALWAYS_INLINE float mn_sum_lanes(__m256 v) {
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

/* A path that reads W without packing it. */
#define MN_FEW_PATH(name, tile_fn, prepare_fn, x_row_bytes_fn)                                                         \
    static const mn_matmul_path name = {                                                                               \
        .panel_outputs = MN_FEW_OUTPUTS,                                                                               \
        .block_inputs = MN_FEW_ALL_INPUTS,                                                                             \
        .panel_bytes = 64, /* none is used */                                                                          \
        .x_row_bytes = x_row_bytes_fn,                                                                                 \
        .prepare = prepare_fn,                                                                                         \
        .tile = tile_fn,                                                                                               \
    };

#endif
