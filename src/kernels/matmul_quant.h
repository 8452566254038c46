/* Quantised weights times 8-bit activations, with the dot products of bytes (VNNI).
 *
 * Every type becomes a panel of unsigned bytes u with a scale, and either an offset common to the type or a minimum
 * of its own for each block: w = scale (u - offset), or w = scale u - min. With x = d q over the same block
 *
 *   sum x w = d scale (sum q u - offset sum q)    or    d scale sum q u - d min sum q
 *
 * where sum q u and sum q are integers, exact.
 */
#ifndef MN_KERNELS_MATMUL_QUANT_H
#define MN_KERNELS_MATMUL_QUANT_H

#include "kernels/matmul.h"
#include "kernels/matmul_panel_avx512.h"
#include "tensor/blocks.h"

enum { MN_QUANT_INPUTS = 512, MN_QUANT_BLOCKS = MN_QUANT_INPUTS / MN_BLOCK };

/* 512 activations in blocks of 32: x_j = d[j / 32] q_j. minus_sum[b] = -(sum of q over block b), minus_half[h][b] over
 * half h of it. What a row does not fill is zero. */
typedef struct mn_quant_x {
    int8_t q[MN_QUANT_INPUTS];
    float d[MN_QUANT_BLOCKS];
    int32_t minus_sum[MN_QUANT_BLOCKS];
    int32_t minus_half[2][MN_QUANT_BLOCKS];
} mn_quant_x;

/* Scales (and minima) come one for each 32 inputs, or for each 16. */
typedef struct mn_quant_panel {
    mn_panel_column column[MN_QUANT_INPUTS / 4];
    __m512 scale[2 * MN_QUANT_BLOCKS][2];
    __m512 min[2 * MN_QUANT_BLOCKS][2];
} mn_quant_panel;

/* Expands `n` inputs (whole blocks) of 16 rows, `stride` bytes apart, into one half of the panel. */
typedef void mn_quant_pack_fn(const char *rows, size_t stride, int n, mn_quant_panel *panel, int half);

mn_quant_pack_fn mn_quant_pack_q8_0, mn_quant_pack_q4_0, mn_quant_pack_q4_1, mn_quant_pack_q5_0, mn_quant_pack_q5_1,
    mn_quant_pack_iq4_nl, mn_quant_pack_iq4_xs, mn_quant_pack_mxfp4, mn_quant_pack_q2_k, mn_quant_pack_q3_k,
    mn_quant_pack_q4_k, mn_quant_pack_q5_k, mn_quant_pack_q6_k;

/* The same for a part of a tensor. Rows that are not there are zeros: blocks of scale zero. */
void mn_quant_pack_part(const mn_matmul_part *part, mn_quant_pack_fn *pack_rows, mn_quant_panel *panel);

/* The `row` of a path (see mn_matmul_path). */
typedef void mn_quant_row_fn(const mn_matmul_part *part, const void *x, void *panel, float *out);

mn_quant_row_fn mn_quant_row_q8_0, mn_quant_row_q4_0, mn_quant_row_iq4_nl, mn_quant_row_iq4_xs, mn_quant_row_mxfp4,
    mn_quant_row_q4_k, mn_quant_row_q5_k, mn_quant_row_q6_k;

/* The `few` of a path (see mn_matmul_path), up to so many rows. */
enum { MN_QUANT_FEW_ROWS = 16 };
typedef void mn_quant_few_fn(const mn_matmul_part *part, const void *x, size_t x_row_bytes, int64_t n_rows, void *panel,
                             float *out, int64_t out_stride);

mn_quant_few_fn mn_quant_few_q8_0, mn_quant_few_q4_0, mn_quant_few_q4_1, mn_quant_few_q5_0, mn_quant_few_q5_1,
    mn_quant_few_iq4_nl, mn_quant_few_iq4_xs, mn_quant_few_mxfp4, mn_quant_few_q2_k, mn_quant_few_q3_k,
    mn_quant_few_q4_k, mn_quant_few_q5_k, mn_quant_few_q6_k;

/* Enters the quantised types' paths. */
void mn_matmul_init_quant_avx512bf16(mn_matmul_kernels *table);

#endif
