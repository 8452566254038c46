/* Products of pairs of bf16 by vdpbf16ps, and the packing of rows to pairs: what the forward and the backward of
 * attention share.
 */
#ifndef MN_KERNELS_ATTEND_DOT_AVX512BF16_H
#define MN_KERNELS_ATTEND_DOT_AVX512BF16_H

#include "kernels/attend_bf16.h"

MN_INLINE void pack_v_type(char *out, mn_dtype type, const mn_cached_rows *v, int v_dim) {
    const char *rows = v->rows;
    int v_pad = mn_attend_pad(v_dim);
    for (int j = 0; j < MN_TILE_KEYS; j += 2, rows += 2 * v->row_bytes)
        for (int i = 0; 32 * i < v_pad; i++, out += v_pad - 32 * (i - 1) >= 32 ? 128 : 64) {
            __mmask32 mask = dims_mask(v_dim, i);
            __m512i a = j < v->n_keys ? load_bf16(type, rows, i, mask) : _mm512_setzero_si512();
            __m512i b = j + 1 < v->n_keys ? load_bf16(type, rows + v->row_bytes, i, mask) : _mm512_setzero_si512();
            pack_v_pair(out, a, b, v_pad - 32 * i);
        }
}

/* out[r, panel] = factor * (sum over pairs of a[r, pair] . b[pair, panel]), or += the sum; a[r, i] stands at r *
 * a_row + i * a_step. */
MN_INLINE void dot_panel(float *out, int out_stride, const uint32_t *a, int a_row, int a_step, const uint32_t *b,
                         int b_stride, int n_pairs, int n_rows, int n_vectors, float factor, bool add) {
    __m512 sums[TILE_ROWS][MN_PANEL_VECTORS];
    for (int r = 0; r < n_rows; r++)
        for (int w = 0; w < n_vectors; w++) sums[r][w] = _mm512_setzero_ps();
    for (int i = 0; i < n_pairs; i++) {
        __m512bh columns[MN_PANEL_VECTORS];
        for (int w = 0; w < n_vectors; w++)
            columns[w] = (__m512bh)_mm512_load_si512(b + (size_t)i * (size_t)b_stride + w * 16);
        for (int r = 0; r < n_rows; r++) {
            __m512bh x = (__m512bh)_mm512_set1_epi32((int)a[r * a_row + i * a_step]);
            for (int w = 0; w < n_vectors; w++) sums[r][w] = _mm512_dpbf16_ps(sums[r][w], x, columns[w]);
        }
    }
    for (int r = 0; r < n_rows; r++)
        for (int w = 0; w < n_vectors; w++) {
            float *cell = out + r * out_stride + w * 16;
            _mm512_store_ps(cell, add ? _mm512_add_ps(_mm512_load_ps(cell), sums[r][w])
                                      : _mm512_mul_ps(sums[r][w], _mm512_set1_ps(factor)));
        }
}

MN_INLINE void dot_rows(float *out, const uint32_t *a, int a_row, int a_step, const uint32_t *b, int n_pairs, int width,
                        int n_rows, float factor, bool add) {
    int j = 0;
    for (; j + 64 <= width; j += 64)
        dot_panel(out + j, width, a, a_row, a_step, b + j, width, n_pairs, n_rows, 4, factor, add);
    for (; j < width; j += 16)
        dot_panel(out + j, width, a, a_row, a_step, b + j, width, n_pairs, n_rows, 1, factor, add);
}

MN_INLINE void dot(float *out, const uint32_t *a, int a_row, int a_step, const uint32_t *b, int n_pairs, int width,
                   int n_rows, float factor, bool add) {
    switch (n_rows) {
    case 1: dot_rows(out, a, a_row, a_step, b, n_pairs, width, 1, factor, add); break;
    case 2: dot_rows(out, a, a_row, a_step, b, n_pairs, width, 2, factor, add); break;
    case 3: dot_rows(out, a, a_row, a_step, b, n_pairs, width, 3, factor, add); break;
    case 4: dot_rows(out, a, a_row, a_step, b, n_pairs, width, 4, factor, add); break;
    case 5: dot_rows(out, a, a_row, a_step, b, n_pairs, width, 5, factor, add); break;
    default: dot_rows(out, a, a_row, a_step, b, n_pairs, width, 6, factor, add); break;
    }
}

#endif
