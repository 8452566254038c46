/* Quantised weights times a few rows of 8-bit activations, with 256-bit registers and no dot product of bytes (VNNI).
 *
 * Memory is the limit, so W is read as it lies, one of its rows after the other. 256 weights at a time become bytes u
 * in registers, and
 *
 *   sum x w = sum_b d_b scale_b (sum_j q_j u_j - offset sum_j q_j)    or    sum_b d_b (scale_b sum_j q_j u_j - min_b sum_j q_j)
 *
 * over blocks b of 32, x_j = d_b q_j. Sums within a block are integers, exact. Each of eight lanes of an output's sum takes one
 * block of every eight, and the lanes are added last: a row of x comes out with the same bits alone and among others.
 *
 * Products of bytes are added in pairs, in 16 bits: 2 x 128 x 127 is the most that they come to. A vector holds halves of two
 * blocks, so that both halves of a block are added without moving anything about.
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

/* 256 activations: x_j = d[j / 32] q_j, |q_j| <= 127. Vector 2 p + h of q: half h of block 2 p, then half h of block 2 p + 1.
 * Blocks of all other members stand in the order 0, 2, 4, 6, 1, 3, 5, 7. sum: of q over a block; half_sum: over each half of
 * it. What a row does not fill is zero. */
typedef struct mn_few_x {
    int8_t q[MN_FEW_INPUTS];
    float d[MN_FEW_BLOCKS];
    int32_t sum[MN_FEW_BLOCKS];
    int16_t half_sum[2 * MN_FEW_BLOCKS];
} mn_few_x;

/* What differs between the types. */
typedef struct mn_few_form {
    size_t chunk_bytes; /* of 256 weights */
    int u_bits;         /* 8: u in -128 .. 127, else 0 <= u < 2^u_bits */
    bool has_halves;    /* scales (and minima) of 16 inputs, small integers beside one scale of the block of 256 */
    bool has_min;       /* w = scale u - min, else w = scale (u - 2^offset_bits), or scale u where offset_bits is 0 */
    int offset_bits;
} mn_few_form;

/* Of 256 weights, in the order of d. With halves: factors, the integer scales, and what multiplies half_sum, the same or the
 * minima, in the order of half_sum. */
typedef struct mn_few_scales {
    __m256 scale, min;
    __m256i factors, half;
} mn_few_scales;

/* From 256 weights as they are stored: vector i of u, in the order of mn_few_x.q, and the scales. They read the weights' bytes
 * and none beyond. */
typedef __m256i mn_few_u_fn(const char *src, const int i);
typedef void mn_few_scales_fn(const char *src, mn_few_scales *scales);

/* One row of x, f32, into mn_few_x, and the bytes of it (mn_matmul_path). */
void mn_few_prepare(const float *x, int64_t n_in, void *row);
size_t mn_few_x_row_bytes(int64_t n_in);
/* There is no panel: the tile reads W. */
void mn_few_pack(const mn_matmul_part *part, const mn_vec_kernels *vec, void *panel);

/* The `row` of f32 weights (mn_matmul_path). */
void mn_row_f32_avx2(const mn_matmul_part *part, const void *x, void *panel, float *out);

/* Enter the paths of quantised blocks of 32, of 256, and of 16-bit floats. */
void mn_matmul_init_few_blocks_avx2(mn_matmul_kernels *table);
void mn_matmul_init_few_super_blocks_avx2(mn_matmul_kernels *table);
void mn_matmul_init_few_halves_avx2(mn_matmul_kernels *table);

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

MN_ALWAYS_INLINE float mn_sum_lanes(__m256 v) {
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

/* Sixteen sums of two products. */
MN_ALWAYS_INLINE __m256i mn_few_pairs(const mn_few_form f, __m256i u, const int8_t *x) {
    __m256i q = mn_load_256(x);
    if (f.u_bits == 8) return _mm256_maddubs_epi16(_mm256_abs_epi8(u), _mm256_sign_epi8(q, u));
    return _mm256_maddubs_epi16(u, q);
}

/* Times the integer scales of vector i, or one, and added in pairs. */
MN_ALWAYS_INLINE __m256i mn_few_widen(const mn_few_form f, __m256i pairs, __m256i factors, const int i) {
    if (!f.has_halves) return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    return _mm256_madd_epi16(pairs, _mm256_shuffle_epi8(factors, _mm256_set1_epi16((short)((2 * i + 1) * 256 + 2 * i))));
}

/* Words, or dwords, of a and b that stand two (four) apart in a half are added; those of a and b alternate as dwords (qwords). */
MN_ALWAYS_INLINE __m256i mn_add_dwords(const bool words, __m256i a, __m256i b) {
    __m256i low = _mm256_unpacklo_epi32(a, b), high = _mm256_unpackhi_epi32(a, b);
    return words ? _mm256_add_epi16(low, high) : _mm256_add_epi32(low, high);
}

MN_ALWAYS_INLINE __m256i mn_add_qwords(const bool words, __m256i a, __m256i b) {
    __m256i low = _mm256_unpacklo_epi64(a, b), high = _mm256_unpackhi_epi64(a, b);
    return words ? _mm256_add_epi16(low, high) : _mm256_add_epi32(low, high);
}

/* sum_j q_j u_j of eight blocks; u: eight vectors, or NULL to take them from src one after the other. 16 bits hold 16 products
 * of 4-bit numbers, or 8 of 5-bit ones. */
MN_ALWAYS_INLINE __m256i mn_few_dots(const mn_few_form f, mn_few_u_fn *u_of, const char *src, const __m256i *u,
                                     __m256i factors, const int8_t *x) {
    const bool words = f.u_bits <= 5 && !f.has_halves;
    __m256i v[4];
#pragma GCC unroll 4
    for (int i = 0; i < MN_FEW_BLOCKS; i += 2) {
        __m256i first = mn_few_pairs(f, u ? u[i] : u_of(src, i), x + i * MN_BLOCK);
        __m256i second = mn_few_pairs(f, u ? u[i + 1] : u_of(src, i + 1), x + (i + 1) * MN_BLOCK);
        v[i / 2] = words ? _mm256_add_epi16(first, second) :
                           _mm256_add_epi32(mn_few_widen(f, first, factors, i), mn_few_widen(f, second, factors, i + 1));
    }
    __m256i a = mn_add_dwords(words, v[0], v[1]), b = mn_add_dwords(words, v[2], v[3]);
    const __m256i ones = _mm256_set1_epi16(1);
    if (!words) return mn_add_qwords(false, a, b);
    if (f.u_bits == 5) return mn_add_qwords(false, _mm256_madd_epi16(a, ones), _mm256_madd_epi16(b, ones));
    return _mm256_madd_epi16(mn_add_qwords(true, a, b), ones);
}

/* sum + w . x; dots: of u and q */
MN_ALWAYS_INLINE __m256 mn_few_add(const mn_few_form f, const mn_few_scales *w, __m256i dots, const mn_few_x *x, __m256 sum) {
    __m256i q_sums = f.has_halves ? _mm256_madd_epi16(w->half, mn_load_256(x->half_sum)) : mn_load_256(x->sum);
    if (f.offset_bits) dots = _mm256_sub_epi32(dots, _mm256_slli_epi32(q_sums, f.offset_bits));
    __m256 term = _mm256_mul_ps(_mm256_cvtepi32_ps(dots), w->scale);
    if (f.has_min) term = _mm256_fnmadd_ps(_mm256_cvtepi32_ps(q_sums), w->min, term);
    return _mm256_fmadd_ps(term, _mm256_loadu_ps(x->d), sum);
}

/* sum[r] += w . x[r], for 256 inputs. For one row nothing is unpacked before it is multiplied: registers are few. */
MN_ALWAYS_INLINE void mn_few_chunk(const mn_few_form f, mn_few_u_fn *u_of, mn_few_scales_fn *scales_of, const int n_rows,
                                   const char *src, const char *x, size_t x_row_bytes, __m256 *sum) {
    mn_few_scales w;
    __m256i u[MN_FEW_BLOCKS];
    scales_of(src, &w);
    if (n_rows == 1) {
        const mn_few_x *row = (const mn_few_x *)x;
        sum[0] = mn_few_add(f, &w, mn_few_dots(f, u_of, src, NULL, w.factors, row->q), row, sum[0]);
        return;
    }
#pragma GCC unroll 8
    for (int i = 0; i < MN_FEW_BLOCKS; i++) u[i] = u_of(src, i);
    for (int r = 0; r < n_rows; r++, x += x_row_bytes) {
        const mn_few_x *row = (const mn_few_x *)x;
        sum[r] = mn_few_add(f, &w, mn_few_dots(f, u_of, src, u, w.factors, row->q), row, sum[r]);
    }
}

/* One output of fewer than MN_MANY_ROWS rows; src: a row of W. A rest of fewer than 256 inputs is filled up with zeros. */
MN_ALWAYS_INLINE void mn_few_output(const mn_few_form f, mn_few_u_fn *u_of, mn_few_scales_fn *scales_of, int64_t n_in,
                                    const int n_rows, const char *src, const char *x, size_t x_row_bytes, float *out,
                                    int64_t out_stride) {
    __m256 sum[MN_MANY_ROWS];
    for (int r = 0; r < n_rows; r++) sum[r] = _mm256_setzero_ps();
    for (; n_in >= MN_FEW_INPUTS; n_in -= MN_FEW_INPUTS, src += f.chunk_bytes, x += sizeof(mn_few_x)) {
        for (size_t at = 0; at < f.chunk_bytes; at += 64) _mm_prefetch(src + MN_FEW_AHEAD_BYTES + at, _MM_HINT_T1);
        mn_few_chunk(f, u_of, scales_of, n_rows, src, x, x_row_bytes, sum);
    }
    if (n_in > 0) {
        char rest[MN_FEW_INPUTS * 2] = {0};
        memcpy(rest, src, f.chunk_bytes * (size_t)n_in / MN_FEW_INPUTS);
        mn_few_chunk(f, u_of, scales_of, n_rows, rest, x, x_row_bytes, sum);
    }
    for (int r = 0; r < n_rows; r++) out[r * out_stride] = mn_sum_lanes(sum[r]);
}

/* The tile of a path. One row is a case of its own, whose sum stays in a register. */
MN_ALWAYS_INLINE void mn_few_tile(const mn_few_form f, mn_few_u_fn *u_of, mn_few_scales_fn *scales_of,
                                  const mn_matmul_part *part, const char *x, size_t x_row_bytes, int64_t n_rows, float *out,
                                  int64_t out_stride) {
    const char *src = mn_matmul_row(part, 0);
    size_t stride = mn_tensor_row_bytes(part->w);
    for (int o = 0; o < part->n_outputs; o++, src += stride, out++) {
        if (n_rows == 1) mn_few_output(f, u_of, scales_of, part->n_inputs, 1, src, x, x_row_bytes, out, out_stride);
        else mn_few_output(f, u_of, scales_of, part->n_inputs, (int)n_rows, src, x, x_row_bytes, out, out_stride);
    }
}

/* A path that reads W without packing it. */
#define MN_FEW_PATH(name, tile_fn, prepare_fn, x_row_bytes_fn) \
    static const mn_matmul_path name = {                       \
        .panel_outputs = MN_FEW_OUTPUTS,                       \
        .block_inputs = MN_FEW_ALL_INPUTS,                     \
        .panel_bytes = 64, /* none is used */                  \
        .x_row_bytes = x_row_bytes_fn,                         \
        .prepare = prepare_fn,                                 \
        .pack = mn_few_pack,                                   \
        .tile = tile_fn,                                       \
    };

/* Tile and path of a quantised type, from u_of_##type and scales_of; then its form. */
#define MN_FEW_QUANT_PATH(type, scales_of, ...)                                                                           \
    static void tile_##type(const mn_matmul_part *part, const void *panel, const char *x, size_t x_row_bytes,            \
                            int64_t n_rows, float *out, int64_t out_stride) {                                             \
        (void)panel;                                                                                                      \
        mn_few_tile((mn_few_form){__VA_ARGS__}, u_of_##type, scales_of, part, x, x_row_bytes, n_rows, out, out_stride);  \
    }                                                                                                                     \
    MN_FEW_PATH(path_##type, tile_##type, mn_few_prepare, mn_few_x_row_bytes)

#endif
