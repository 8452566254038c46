/* The tile of quantised weights times a few rows of 8-bit activations, which reads W as it is stored: for AVX2, and for
 * a file that defines MN_HAS_DOT_BYTES for AVX-VNNI, whose dot product of bytes takes the place of three instructions.
 * Both have the same sums, integers within a block, and so the same bits.
 */
#ifndef MN_KERNELS_MATMUL_FEW_TILE_AVX2_H
#define MN_KERNELS_MATMUL_FEW_TILE_AVX2_H

#include "kernels/matmul_unpack_avx2.h"

enum { MAX_ROWS = 8 }; /* that pass over a chunk of W before the next */

/* sum + four products of unsigned w and signed x in each lane; scales of 16 inputs stand between products and sums. */
#ifdef MN_HAS_DOT_BYTES
#define HAS_DOT(f) (!(f).has_halves)
MN_ALWAYS_INLINE __m256i dot_bytes(__m256i sum, __m256i w, const int8_t *x) {
    return _mm256_dpbusd_avx_epi32(sum, w, mn_load_256(x));
}
#else
#define HAS_DOT(f) false
MN_ALWAYS_INLINE __m256i dot_bytes(__m256i sum, __m256i w, const int8_t *x) {
    (void)w, (void)x;
    return sum;
}
#endif

/* Sixteen sums of two products. */
MN_ALWAYS_INLINE __m256i pairs_of(const mn_unpack_form f, __m256i u, const int8_t *x) {
    __m256i q = mn_load_256(x);
    if (f.u_bits == 8) return _mm256_maddubs_epi16(_mm256_abs_epi8(u), _mm256_sign_epi8(q, u));
    return _mm256_maddubs_epi16(u, q);
}

/* Times the integer scales of vector i, or one, and added in pairs. */
MN_ALWAYS_INLINE __m256i widen(const mn_unpack_form f, __m256i pairs, __m256i factors, const int i) {
    if (!f.has_halves) return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    return _mm256_madd_epi16(pairs,
                             _mm256_shuffle_epi8(factors, _mm256_set1_epi16((short)((2 * i + 1) * 256 + 2 * i))));
}

/* Words, or dwords, of a and b that stand two (four) apart in a half are added; those of a and b alternate as dwords
 * (qwords). */
MN_ALWAYS_INLINE __m256i add_dwords(const bool words, __m256i a, __m256i b) {
    __m256i low = _mm256_unpacklo_epi32(a, b), high = _mm256_unpackhi_epi32(a, b);
    return words ? _mm256_add_epi16(low, high) : _mm256_add_epi32(low, high);
}

MN_ALWAYS_INLINE __m256i add_qwords(const bool words, __m256i a, __m256i b) {
    __m256i low = _mm256_unpacklo_epi64(a, b), high = _mm256_unpackhi_epi64(a, b);
    return words ? _mm256_add_epi16(low, high) : _mm256_add_epi32(low, high);
}

/* 16 bits hold 16 products of 4-bit numbers, or 8 of 5-bit ones. */
MN_ALWAYS_INLINE bool sums_words(const mn_unpack_form f) { return !HAS_DOT(f) && f.u_bits <= 5 && !f.has_halves; }

/* sum_j q_j u_j over parts of the blocks of vectors i and i + 1. */
MN_ALWAYS_INLINE __m256i dots_of_two(const mn_unpack_form f, const __m256i u[2], __m256i factors, const int8_t *x,
                                     const int i) {
    const int8_t *q = x + i * MN_BLOCK;
    if (HAS_DOT(f)) return dot_bytes(dot_bytes(_mm256_setzero_si256(), u[0], q), u[1], q + MN_BLOCK);
    __m256i first = pairs_of(f, u[0], q), second = pairs_of(f, u[1], q + MN_BLOCK);
    if (sums_words(f)) return _mm256_add_epi16(first, second);
    return _mm256_add_epi32(widen(f, first, factors, i), widen(f, second, factors, i + 1));
}

/* The same of four vectors, with half as many sums of each block. */
MN_ALWAYS_INLINE __m256i dots_of_four(const mn_unpack_form f, const __m256i u[4], __m256i factors, const int8_t *x,
                                      const int i) {
    return add_dwords(sums_words(f), dots_of_two(f, u, factors, x, i), dots_of_two(f, u + 2, factors, x, i + 2));
}

/* sum_j q_j u_j of eight blocks, from those of vectors 0 to 3 and 4 to 7. */
MN_ALWAYS_INLINE __m256i dots_of_eight(const mn_unpack_form f, __m256i a, __m256i b) {
    const __m256i ones = _mm256_set1_epi16(1);
    if (!sums_words(f)) return add_qwords(false, a, b);
    if (f.u_bits == 5) return add_qwords(false, _mm256_madd_epi16(a, ones), _mm256_madd_epi16(b, ones));
    return _mm256_madd_epi16(add_qwords(true, a, b), ones);
}

/* sum + w . x; dots: of u and q */
MN_ALWAYS_INLINE __m256 add_terms(const mn_unpack_form f, const mn_unpack_scales *w, __m256i dots, const mn_few_x *x,
                                  __m256 sum) {
    __m256i minus = f.has_halves ? _mm256_madd_epi16(w->half, mn_load_256(x->minus_half)) : mn_load_256(x->minus_sum);
    const int offset_bits = HAS_DOT(f) && f.u_bits == 8 ? 7 : f.offset_bits;
    if (offset_bits) dots = _mm256_add_epi32(dots, _mm256_slli_epi32(minus, offset_bits));
    __m256 term = _mm256_mul_ps(_mm256_cvtepi32_ps(dots), w->scale);
    if (f.has_min) term = _mm256_fmadd_ps(_mm256_cvtepi32_ps(minus), w->min, term);
    return _mm256_fmadd_ps(term, _mm256_loadu_ps(x->d), sum);
}

/* Vectors i to i + 3 of u, without a sign for dot_bytes. */
MN_ALWAYS_INLINE void four_of(const mn_unpack_form f, mn_unpack_u_fn *u_of, const char *src, const int i,
                              __m256i u[4]) {
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) {
        u[k] = u_of(src, i + k);
        if (HAS_DOT(f) && f.u_bits == 8) u[k] = _mm256_xor_si256(u[k], _mm256_set1_epi8(-128));
    }
}

/* Lanes of the first n of eight blocks, in the order of mn_few_x.d. */
MN_ALWAYS_INLINE __m256 lanes_of_blocks(int n) {
    const __m256i block = _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7);
    return _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(n), block));
}

/* sum[r] += w . x[r], for 256 inputs: a half at a time of the rows of x, so that what is unpacked stays in registers.
 * held: lanes of the blocks that belong to the row, for the others' bytes may be anything; NULL: all. */
MN_ALWAYS_INLINE void add_chunk(const mn_unpack_form f, mn_unpack_u_fn *u_of, mn_unpack_scales_fn *scales_of,
                                const int n_rows, const char *src, const __m256 *held, const char *x,
                                size_t x_row_bytes, __m256 *sum) {
    mn_unpack_scales w;
    __m256i u[4], first[MAX_ROWS];
    scales_of(src, &w);
    if (held) {
        w.scale = _mm256_and_ps(w.scale, *held);
        if (f.has_min) w.min = _mm256_and_ps(w.min, *held);
    }
    four_of(f, u_of, src, 0, u);
    for (int r = 0; r < n_rows; r++)
        first[r] = dots_of_four(f, u, w.factors, ((const mn_few_x *)(x + (size_t)r * x_row_bytes))->q, 0);
    four_of(f, u_of, src, 4, u);
    for (int r = 0; r < n_rows; r++) {
        const mn_few_x *row = (const mn_few_x *)(x + (size_t)r * x_row_bytes);
        __m256i dots = dots_of_eight(f, first[r], dots_of_four(f, u, w.factors, row->q, 4));
        sum[r] = add_terms(f, &w, dots, row, sum[r]);
    }
}

/* One output of up to MAX_ROWS rows; src: a row of W, which ends at `end`. A rest of fewer than 256 inputs is read with
 * what follows it, the next row: a copy filled up with zeros takes longer than all else, and only W's end needs one. */
MN_ALWAYS_INLINE void output_rows(const mn_unpack_form f, mn_unpack_u_fn *u_of, mn_unpack_scales_fn *scales_of,
                                  int64_t n_in, const int n_rows, const char *src, const char *end, const char *x,
                                  size_t x_row_bytes, float *out, int64_t out_stride) {
    __m256 sum[MAX_ROWS];
    for (int r = 0; r < n_rows; r++) sum[r] = _mm256_setzero_ps();
    for (; n_in >= MN_FEW_INPUTS; n_in -= MN_FEW_INPUTS, src += f.chunk_bytes, x += sizeof(mn_few_x)) {
        for (size_t at = 0; at < f.chunk_bytes; at += 64) _mm_prefetch(src + MN_FEW_AHEAD_BYTES + at, _MM_HINT_T1);
        add_chunk(f, u_of, scales_of, n_rows, src, NULL, x, x_row_bytes, sum);
    }
    if (n_in > 0) {
        const __m256 held = lanes_of_blocks((int)n_in / MN_BLOCK);
        const size_t rest_bytes = f.chunk_bytes * (size_t)n_in / MN_FEW_INPUTS;
        char rest[MN_FEW_INPUTS * 2];
        for (size_t at = 0; at < rest_bytes; at += 64) _mm_prefetch(src + MN_FEW_AHEAD_BYTES + at, _MM_HINT_T1);
        if ((size_t)(end - src) < f.chunk_bytes) {
            memset(rest, 0, sizeof rest);
            src = memcpy(rest, src, rest_bytes);
        }
        add_chunk(f, u_of, scales_of, n_rows, src, &held, x, x_row_bytes, sum);
    }
    for (int r = 0; r < n_rows; r++) out[r * out_stride] = mn_sum_lanes(sum[r]);
}

/* The tile of a path. One row is a case of its own, whose sum stays in a register. */
MN_ALWAYS_INLINE void tile(const mn_unpack_form f, mn_unpack_u_fn *u_of, mn_unpack_scales_fn *scales_of,
                           const mn_matmul_part *part, const char *x, size_t x_row_bytes, int64_t n_rows, float *out,
                           int64_t out_stride) {
    const char *src = mn_matmul_row(part, 0), *end = mn_matmul_end(part);
    size_t stride = mn_tensor_row_bytes(part->w);
    for (int o = 0; o < part->n_outputs; o++, src += stride, out++) {
        if (n_rows == 1) output_rows(f, u_of, scales_of, part->n_inputs, 1, src, end, x, x_row_bytes, out, out_stride);
        for (int64_t r = 0; n_rows > 1 && r < n_rows; r += MAX_ROWS)
            output_rows(f, u_of, scales_of, part->n_inputs, (int)(n_rows - r < MAX_ROWS ? n_rows - r : MAX_ROWS), src,
                        end, x + (size_t)r * x_row_bytes, x_row_bytes, out + r * out_stride, out_stride);
    }
}

/* Tile and path of a type. All inputs at once: there are no old sums. */
#define MN_FEW_QUANT_PATH(type, dtype, ...)                                                                            \
    static void tile_##type(const mn_matmul_part *part, const void *panel, void *next, const char *x,                  \
                            size_t x_row_bytes, int64_t n_rows, mn_matmul_sums sums) {                                 \
        (void)panel;                                                                                                   \
        (void)next;                                                                                                    \
        tile((mn_unpack_form){__VA_ARGS__}, mn_u_of_##type, mn_scales_of_##type, part, x, x_row_bytes, n_rows,         \
             sums.out, sums.out_stride);                                                                               \
    }                                                                                                                  \
    MN_FEW_PATH(path_##type, tile_##type, mn_few_prepare, mn_few_x_row_bytes)

#endif
