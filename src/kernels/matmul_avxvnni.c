/* Quantised weights times many rows of 8-bit activations, with the 256-bit dot product of bytes: tiles of up to 3 rows
 * by 16 outputs. A block of 32 inputs is eight dot instructions for each 8 outputs of a row, then one conversion, one
 * product of scales and one multiply-add in f32. Activations are those of few rows, mn_few_x, and a panel stands in
 * their order.
 */
#include "kernels/matmul_panel_avx2.h"

enum { PANEL_WINS = 16 }; /* rows from which a panel is worth its packing (matmul_few_quant_avxvnni.c takes fewer) */

/* What u stands above in a panel, where signed numbers are moved up as well. */
MN_ALWAYS_INLINE int offset_bits_of(const mn_unpack_form f) { return f.u_bits == 8 ? 7 : f.offset_bits; }

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
        __m256i minus = mn_minus_sum(f, (const mn_few_x *)(x + (size_t)r * x_row_bytes), place, h);
        acc[r][0] = acc[r][1] = offset_bits ? _mm256_slli_epi32(minus, offset_bits) : _mm256_setzero_si256();
    }
#pragma GCC unroll 2
    for (int run = 0; run < n_runs; run++) {
#pragma GCC unroll 4
        for (int k = 8 * run; k < 8 * run + 4; k++) {
            __m256i w0 = u[k][0], w1 = u[k][1];
#pragma GCC unroll 3
            for (int r = 0; r < n_rows; r++) {
                __m256i v = mn_broadcast_dword(q + (size_t)r * x_row_bytes + 4 * k);
                acc[r][0] = _mm256_dpbusd_avx_epi32(acc[r][0], w0, v);
                acc[r][1] = _mm256_dpbusd_avx_epi32(acc[r][1], w1, v);
            }
        }
    }
    mn_panel_scale(n_rows, f, acc, p->scale[scale], p->min[scale], x, x_row_bytes, place, h, sum);
}

MN_ALWAYS_INLINE void add_chunk(const int n_rows, const mn_unpack_form f, const mn_panel_chunk *p, const char *x,
                                size_t x_row_bytes, __m256 (*sum)[2]) {
    for (int b = 0; b < MN_FEW_BLOCKS; b++) {
        add_run(n_rows, f, p, b, 0, x, x_row_bytes, sum);
        if (f.has_halves) add_run(n_rows, f, p, b, 1, x, x_row_bytes, sum);
    }
}

#define PATH(type, dtype, ...) MN_PANEL_PATH(mn_panel_chunk, mn_few, mn_panel_pack_rows, add_chunk, type, __VA_ARGS__)
MN_UNPACK_TYPES(PATH)

void mn_matmul_init_avxvnni(mn_matmul_kernels *table) {
    mn_matmul_init_few_quant_avxvnni(table);
#define ENTER(type, dtype, ...) table->many[dtype] = &path_##type, table->many_rows[dtype] = PANEL_WINS;
    MN_UNPACK_TYPES(ENTER)
}
