/* Quantised weights times many rows of 8-bit activations, with 256-bit registers and no dot product of bytes (VNNI):
 * tiles of up to 3 rows by 16 outputs over the panels of matmul_panel_avx2.h. Activations are those of few rows,
 * mn_few_x, and every sum within a block is an integer, exact.
 *
 * u of up to 6 bits: vpmaddubsw multiplies bytes and adds pairs, vpaddw adds the pairs of a whole block (or half) in 16
 * bits, and one vpmaddwd widens them: 17 instructions for 32 inputs of 8 outputs, where products in f32 are 32. Sums of
 * the centred numbers u - 2^offset_bits fit 16 bits (32 x 16 x 127 / 2 with 5 bits, 16 x 32 x 127 / 2 with 6), so those
 * of u begin at minus_pairs << offset_bits, and 16 bits may wrap on the way. One pair of products never does: 2 x 63 x
 * 127.
 *
 * 8-bit numbers would: 2 x 255 x 127 is more than 16 bits hold. They are words in a panel of their own, and so are the
 * activations of a tile; vpmaddwd does half as many products at once and needs nothing to widen them.
 */
#include "kernels/in_place_avx2.h"
#include "kernels/matmul_panel_avx2.h"

enum { PANEL_WINS = 16 }; /* rows from which a panel is worth its packing (matmul_few_quant_avx2.c takes fewer) */

/* Types with a minimum are centred as well where 16 bits do not hold sums of u: scale u - min = scale (u - 16) - (min -
 * 16 scale). */
MN_ALWAYS_INLINE bool centres_minima(const mn_unpack_form f) { return f.has_min && f.u_bits == 5; }

MN_ALWAYS_INLINE int offset_bits_of(const mn_unpack_form f) { return centres_minima(f) ? 4 : f.offset_bits; }

MN_ALWAYS_INLINE void pack_rows(const mn_unpack_form f, mn_unpack_u_fn *u_of, mn_unpack_scales_fn *scales_of,
                                const char *const rows[MN_PANEL_GROUP], size_t ahead, mn_panel_chunk *p, int group) {
    mn_panel_pack_rows(f, u_of, scales_of, rows, ahead, p, group);
    for (int b = 0; centres_minima(f) && b < MN_FEW_BLOCKS; b++)
        p->min[b][group] = _mm256_fnmadd_ps(_mm256_set1_ps(16), p->scale[b][group], p->min[b][group]);
}

/* sum[r] += w . x[r] over one block, or half h of it. */
MN_ALWAYS_INLINE void add_run(const int n_rows, const mn_unpack_form f, const mn_panel_chunk *p, int b, const int h,
                              const char *x, size_t x_row_bytes, __m256 (*sum)[2]) {
    __m256i acc[MN_PANEL_ROWS][2];
    const int n_runs = f.has_halves ? 1 : 2, place = mn_panel_place(b), first = mn_panel_first(b) + 8 * h;
    const __m256i(*u)[2] = p->u + first;
    const int8_t *q = ((const mn_few_x *)x)->q + 4 * first;
    const int offset_bits = offset_bits_of(f), scale = f.has_halves ? 2 * place + h : place;
#pragma GCC unroll 3
    for (int r = 0; r < n_rows; r++) {
        const mn_few_x *row = (const mn_few_x *)(x + (size_t)r * x_row_bytes);
        const int16_t *pairs = f.has_halves ? row->minus_half_pairs[2 * place + h] : row->minus_pairs[place];
        acc[r][0] = acc[r][1] =
            offset_bits ? _mm256_slli_epi16(mn_broadcast_dword(pairs), offset_bits) : _mm256_setzero_si256();
    }
#pragma GCC unroll 2
    for (int run = 0; run < n_runs; run++) {
#pragma GCC unroll 4
        for (int k = 8 * run; k < 8 * run + 4; k++) {
            __m256i w0 = u[k][0], w1 = u[k][1];
#pragma GCC unroll 3
            for (int r = 0; r < n_rows; r++) {
                __m256i v = mn_broadcast_dword(q + (size_t)r * x_row_bytes + 4 * k);
                acc[r][0] = mn_add_words_in_place(acc[r][0], _mm256_maddubs_epi16(w0, v));
                acc[r][1] = mn_add_words_in_place(acc[r][1], _mm256_maddubs_epi16(w1, v));
            }
        }
    }
    const __m256i ones = _mm256_set1_epi16(1);
#pragma GCC unroll 3
    for (int r = 0; r < n_rows; r++)
        for (int g = 0; g < 2; g++) acc[r][g] = _mm256_madd_epi16(acc[r][g], ones);
    mn_panel_scale(n_rows, f, acc, p->scale[scale], p->min[scale], x, x_row_bytes, place, h, sum);
}

MN_ALWAYS_INLINE void add_chunk(const int n_rows, const mn_unpack_form f, const mn_panel_chunk *p, const char *x,
                                size_t x_row_bytes, __m256 (*sum)[2]) {
    for (int b = 0; b < MN_FEW_BLOCKS; b++) {
        add_run(n_rows, f, p, b, 0, x, x_row_bytes, sum);
        if (f.has_halves) add_run(n_rows, f, p, b, 1, x, x_row_bytes, sum);
    }
}

/* 256 inputs of 16 outputs in words: w[k] multiplies words 2 k and 2 k + 1 of q. */
typedef struct words_chunk {
    __m256i w[2 * MN_PANEL_DWORDS][2];
    __m256 scale[MN_FEW_BLOCKS][2];
} words_chunk;

MN_ALWAYS_INLINE void pack_word_rows(const mn_unpack_form f, mn_unpack_u_fn *u_of, mn_unpack_scales_fn *scales_of,
                                     const char *const rows[MN_PANEL_GROUP], size_t ahead, words_chunk *p, int group) {
    const __m256i low = _mm256_setr_epi8(-1, 0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13, -1, 0, -1, 1, -1, 4,
                                         -1, 5, -1, 8, -1, 9, -1, 12, -1, 13);
    const __m256i high = _mm256_setr_epi8(-1, 2, -1, 3, -1, 6, -1, 7, -1, 10, -1, 11, -1, 14, -1, 15, -1, 2, -1, 3, -1,
                                          6, -1, 7, -1, 10, -1, 11, -1, 14, -1, 15);
    for (int i = 0; i < MN_FEW_BLOCKS; i++) {
        __m256i v[MN_PANEL_GROUP], dwords[MN_PANEL_GROUP][2];
        mn_panel_ask(f, rows, ahead, i);
        for (int o = 0; o < MN_PANEL_GROUP; o++) v[o] = u_of(rows[o], i);
        mn_panel_transpose(v, dwords);
        for (int k = 0; k < 8; k++) {
            p->w[16 * i + 2 * k][group] = _mm256_srai_epi16(_mm256_shuffle_epi8(dwords[k][0], low), 8);
            p->w[16 * i + 2 * k + 1][group] = _mm256_srai_epi16(_mm256_shuffle_epi8(dwords[k][0], high), 8);
        }
    }
    mn_panel_pack_scales(f, scales_of, rows, (__m256(*)[2]) & p->scale[0][group], NULL);
}

MN_ALWAYS_INLINE void add_words_block(const int n_rows, const words_chunk *p, int b, const char *x, size_t x_row_bytes,
                                      __m256 (*sum)[2]) {
    __m256i acc[MN_PANEL_ROWS][2];
    const int first = 2 * mn_panel_first(b), place = mn_panel_place(b);
    const __m256i(*w)[2] = p->w + first;
    const char *q = (const char *)(((const mn_words_x *)x)->q + 2 * first);
#pragma GCC unroll 3
    for (int r = 0; r < n_rows; r++) acc[r][0] = acc[r][1] = _mm256_setzero_si256();
#pragma GCC unroll 2
    for (int run = 0; run < 2; run++) {
#pragma GCC unroll 8
        for (int k = 16 * run; k < 16 * run + 8; k++) {
            __m256i w0 = w[k][0], w1 = w[k][1];
#pragma GCC unroll 3
            for (int r = 0; r < n_rows; r++) {
                __m256i v = mn_broadcast_dword(q + (size_t)r * x_row_bytes + 4 * k);
                acc[r][0] = mn_add_dwords_in_place(acc[r][0], _mm256_madd_epi16(w0, v));
                acc[r][1] = mn_add_dwords_in_place(acc[r][1], _mm256_madd_epi16(w1, v));
            }
        }
    }
#pragma GCC unroll 3
    for (int r = 0; r < n_rows; r++) {
        __m256 d = _mm256_broadcast_ss(&((const mn_words_x *)(x + (size_t)r * x_row_bytes))->d[place]);
        for (int g = 0; g < 2; g++)
            sum[r][g] = _mm256_fmadd_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(acc[r][g]), p->scale[place][g]), d, sum[r][g]);
    }
}

MN_ALWAYS_INLINE void add_words(const int n_rows, const mn_unpack_form f, const words_chunk *p, const char *x,
                                size_t x_row_bytes, __m256 (*sum)[2]) {
    (void)f;
    for (int b = 0; b < MN_FEW_BLOCKS; b++) add_words_block(n_rows, p, b, x, x_row_bytes, sum);
}

#define BYTES_PATH(type, dtype, ...) MN_PANEL_PATH(mn_panel_chunk, mn_few, pack_rows, add_chunk, type, __VA_ARGS__)
#define WORDS_PATH(type, dtype, ...) MN_PANEL_PATH(words_chunk, mn_words, pack_word_rows, add_words, type, __VA_ARGS__)
MN_UNPACK_TYPES_BELOW_8_BITS(BYTES_PATH)
MN_UNPACK_TYPES_OF_8_BITS(WORDS_PATH)

void mn_matmul_init_quant_avx2(mn_matmul_kernels *table) {
#define ENTER(type, dtype, ...) table->many[dtype] = &path_##type, table->many_rows[dtype] = PANEL_WINS;
    MN_UNPACK_TYPES(ENTER)
}
