/* Quantised weights times a few rows of activations: those in 8 bits, and the tiles that read W. */
#include "kernels/matmul_unpack_avx2.h"

#include <math.h>

enum {
    MAX_ROWS = 8, /* that pass over a chunk of W before the next */
    F32_WINS = 48 /* rows from which panels of f32 are about as fast, and exact */
};

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
        x->minus_half[2 * place + h] = (int16_t)-sum[h];
    }
    x->minus_sum[place] = -(sum[0] + sum[1]);
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

/* sum_j q_j u_j of eight blocks; u: eight vectors, or NULL to take them from src one after the other. 16 bits hold 16
 * products of 4-bit numbers, or 8 of 5-bit ones. */
MN_ALWAYS_INLINE __m256i dots_of(const mn_unpack_form f, mn_unpack_u_fn *u_of, const char *src, const __m256i *u,
                                 __m256i factors, const int8_t *x) {
    const bool words = f.u_bits <= 5 && !f.has_halves;
    __m256i v[4];
#pragma GCC unroll 4
    for (int i = 0; i < MN_FEW_BLOCKS; i += 2) {
        __m256i first = pairs_of(f, u ? u[i] : u_of(src, i), x + i * MN_BLOCK);
        __m256i second = pairs_of(f, u ? u[i + 1] : u_of(src, i + 1), x + (i + 1) * MN_BLOCK);
        v[i / 2] = words ? _mm256_add_epi16(first, second)
                         : _mm256_add_epi32(widen(f, first, factors, i), widen(f, second, factors, i + 1));
    }
    __m256i a = add_dwords(words, v[0], v[1]), b = add_dwords(words, v[2], v[3]);
    const __m256i ones = _mm256_set1_epi16(1);
    if (!words) return add_qwords(false, a, b);
    if (f.u_bits == 5) return add_qwords(false, _mm256_madd_epi16(a, ones), _mm256_madd_epi16(b, ones));
    return _mm256_madd_epi16(add_qwords(true, a, b), ones);
}

/* sum + w . x; dots: of u and q */
MN_ALWAYS_INLINE __m256 add_terms(const mn_unpack_form f, const mn_unpack_scales *w, __m256i dots, const mn_few_x *x,
                                  __m256 sum) {
    __m256i minus = f.has_halves ? _mm256_madd_epi16(w->half, mn_load_256(x->minus_half)) : mn_load_256(x->minus_sum);
    if (f.offset_bits) dots = _mm256_add_epi32(dots, _mm256_slli_epi32(minus, f.offset_bits));
    __m256 term = _mm256_mul_ps(_mm256_cvtepi32_ps(dots), w->scale);
    if (f.has_min) term = _mm256_fmadd_ps(_mm256_cvtepi32_ps(minus), w->min, term);
    return _mm256_fmadd_ps(term, _mm256_loadu_ps(x->d), sum);
}

/* sum[r] += w . x[r], for 256 inputs. For one row nothing is unpacked before it is multiplied: registers are few. */
MN_ALWAYS_INLINE void add_chunk(const mn_unpack_form f, mn_unpack_u_fn *u_of, mn_unpack_scales_fn *scales_of,
                                const int n_rows, const char *src, const char *x, size_t x_row_bytes, __m256 *sum) {
    mn_unpack_scales w;
    __m256i u[MN_FEW_BLOCKS];
    scales_of(src, &w);
    if (n_rows == 1) {
        const mn_few_x *row = (const mn_few_x *)x;
        sum[0] = add_terms(f, &w, dots_of(f, u_of, src, NULL, w.factors, row->q), row, sum[0]);
        return;
    }
#pragma GCC unroll 8
    for (int i = 0; i < MN_FEW_BLOCKS; i++) u[i] = u_of(src, i);
    for (int r = 0; r < n_rows; r++, x += x_row_bytes) {
        const mn_few_x *row = (const mn_few_x *)x;
        sum[r] = add_terms(f, &w, dots_of(f, u_of, src, u, w.factors, row->q), row, sum[r]);
    }
}

/* One output of up to MAX_ROWS rows; src: a row of W. A rest of fewer than 256 inputs is filled up with zeros.
 */
MN_ALWAYS_INLINE void output_rows(const mn_unpack_form f, mn_unpack_u_fn *u_of, mn_unpack_scales_fn *scales_of,
                                  int64_t n_in, const int n_rows, const char *src, const char *x, size_t x_row_bytes,
                                  float *out, int64_t out_stride) {
    __m256 sum[MAX_ROWS];
    for (int r = 0; r < n_rows; r++) sum[r] = _mm256_setzero_ps();
    for (; n_in >= MN_FEW_INPUTS; n_in -= MN_FEW_INPUTS, src += f.chunk_bytes, x += sizeof(mn_few_x)) {
        for (size_t at = 0; at < f.chunk_bytes; at += 64) _mm_prefetch(src + MN_FEW_AHEAD_BYTES + at, _MM_HINT_T1);
        add_chunk(f, u_of, scales_of, n_rows, src, x, x_row_bytes, sum);
    }
    if (n_in > 0) {
        char rest[MN_FEW_INPUTS * 2] = {0};
        memcpy(rest, src, f.chunk_bytes * (size_t)n_in / MN_FEW_INPUTS);
        add_chunk(f, u_of, scales_of, n_rows, rest, x, x_row_bytes, sum);
    }
    for (int r = 0; r < n_rows; r++) out[r * out_stride] = mn_sum_lanes(sum[r]);
}

/* The tile of a path. One row is a case of its own, whose sum stays in a register. */
MN_ALWAYS_INLINE void tile(const mn_unpack_form f, mn_unpack_u_fn *u_of, mn_unpack_scales_fn *scales_of,
                           const mn_matmul_part *part, const char *x, size_t x_row_bytes, int64_t n_rows, float *out,
                           int64_t out_stride) {
    const char *src = mn_matmul_row(part, 0);
    size_t stride = mn_tensor_row_bytes(part->w);
    for (int o = 0; o < part->n_outputs; o++, src += stride, out++) {
        if (n_rows == 1) output_rows(f, u_of, scales_of, part->n_inputs, 1, src, x, x_row_bytes, out, out_stride);
        for (int64_t r = 0; n_rows > 1 && r < n_rows; r += MAX_ROWS)
            output_rows(f, u_of, scales_of, part->n_inputs, (int)(n_rows - r < MAX_ROWS ? n_rows - r : MAX_ROWS), src,
                        x + (size_t)r * x_row_bytes, x_row_bytes, out + r * out_stride, out_stride);
    }
}

/* Tile and path of a type. All inputs at once: there are no old sums. */
#define PATH(type, dtype, ...)                                                                                         \
    static void tile_##type(const mn_matmul_part *part, const void *panel, void *next, const char *x,                  \
                            size_t x_row_bytes, int64_t n_rows, mn_matmul_sums sums) {                                 \
        (void)panel;                                                                                                   \
        (void)next;                                                                                                    \
        tile((mn_unpack_form){__VA_ARGS__}, mn_u_of_##type, mn_scales_of_##type, part, x, x_row_bytes, n_rows,         \
             sums.out, sums.out_stride);                                                                               \
    }                                                                                                                  \
    MN_FEW_PATH(path_##type, tile_##type, mn_few_prepare, mn_few_x_row_bytes)
MN_UNPACK_TYPES(PATH)

void mn_matmul_init_few_quant_avx2(mn_matmul_kernels *table) {
#define ENTER(type, dtype, ...) table->fast[dtype] = &path_##type, table->many_rows[dtype] = F32_WINS;
    MN_UNPACK_TYPES(ENTER)
}
