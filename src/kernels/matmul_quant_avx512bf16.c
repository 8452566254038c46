/* Quantised weights: tiles of up to 6 rows by 32 outputs. A block of 32 inputs is eight dot instructions for each 16
 * outputs of a row, then one conversion, one product of scales and one multiply-add in f32.
 */
#include "kernels/matmul_f32.h"
#include "kernels/matmul_quant.h"

#include <math.h>

static size_t x_row_bytes(int64_t n_in) {
    return mn_odd_lines((size_t)((n_in + MN_QUANT_INPUTS - 1) / MN_QUANT_INPUTS) * sizeof(mn_quant_x));
}

/* A NaN becomes 0. */
MN_ALWAYS_INLINE __m512i to_steps(__m512 v) {
    return _mm512_maskz_cvtps_epi32(_mm512_cmp_ps_mask(v, v, _CMP_ORD_Q), v);
}

/* To the nearest of -127 .. 127 steps of the block's largest magnitude / 127; halves to even. The scale of a block with
 * an infinity or a NaN is one, and so is what comes of it. */
static void prepare_block(const float *x, mn_quant_x *out, int b) {
    __m512 x0 = _mm512_loadu_ps(x), x1 = _mm512_loadu_ps(x + 16);
    float max = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(x0), _mm512_abs_ps(x1)));
    if (_mm512_cmp_ps_mask(x0, x1, _CMP_UNORD_Q)) max = NAN;
    float inverse = max > 0x1p-120f ? 127 / max : 0; /* less is nothing that could be seen in a sum */
    __m512i q0 = to_steps(x0 * inverse), q1 = to_steps(x1 * inverse);
    out->d[b] = max / 127;
    out->minus_half[0][b] = -_mm512_reduce_add_epi32(q0);
    out->minus_half[1][b] = -_mm512_reduce_add_epi32(q1);
    out->minus_sum[b] = out->minus_half[0][b] + out->minus_half[1][b];
    _mm_storeu_si128((__m128i *)(out->q + b * MN_BLOCK), _mm512_cvtsepi32_epi8(q0));
    _mm_storeu_si128((__m128i *)(out->q + b * MN_BLOCK + 16), _mm512_cvtsepi32_epi8(q1));
}

static void prepare(const float *x, int64_t n_in, void *row) {
    mn_quant_x *out = row;
    for (; n_in > 0; n_in -= MN_QUANT_INPUTS, x += MN_QUANT_INPUTS, out++) {
        int n_blocks = n_in < MN_QUANT_INPUTS ? (int)n_in / MN_BLOCK : MN_QUANT_BLOCKS;
        if (n_blocks < MN_QUANT_BLOCKS) memset(out, 0, sizeof *out);
        for (int b = 0; b < n_blocks; b++) prepare_block(x + b * MN_BLOCK, out, b);
    }
}

/* What differs between the types: inputs that share a scale (32 or 16), and what u stands above. */
typedef struct form {
    int sub_blocks; /* of a block of 32: 1 or 2 */
    bool has_min;   /* w = scale u - min, else w = scale (u - 2^offset_bits) */
    int offset_bits;
} form;

MN_ALWAYS_INLINE __m512i broadcast(const void *four_bytes) {
    int32_t v;
    memcpy(&v, four_bytes, sizeof v);
    return _mm512_set1_epi32(v);
}

/* The bytes and the numbers of the rows of a tile, at the block in work. */
typedef struct tile_x {
    mn_tile_rows q, numbers;
} tile_x;

MN_ALWAYS_INLINE const char *number(const tile_x *x, int r, size_t member) {
    return mn_tile_row(&x->numbers, r) + (member - offsetof(mn_quant_x, d));
}

/* One sub-block of one tile: term[r] = (or +=, when sub > 0) x[r] . w / d of x */
MN_ALWAYS_INLINE void tile_sub_block(const int n_rows, const form f, const mn_panel_column *column, const __m512 *scale,
                                     const __m512 *min, const tile_x *x, const int sub, __m512 (*term)[2]) {
    __m512i acc[6][2];
    const size_t half_bytes = sizeof(int32_t[MN_QUANT_BLOCKS]) * (size_t)sub;
    const size_t sums =
        f.sub_blocks == 1 ? offsetof(mn_quant_x, minus_sum) : offsetof(mn_quant_x, minus_half) + half_bytes;
#pragma GCC unroll 6
    for (int r = 0; r < n_rows; r++)
        acc[r][0] = acc[r][1] = f.has_min ? _mm512_setzero_si512()
                                          : _mm512_slli_epi32(broadcast(number(x, r, sums)), (unsigned)f.offset_bits);
    const int n_columns = 8 / f.sub_blocks;
#pragma GCC unroll 8
    for (int k = 0; k < n_columns; k++) {
        __m512i w0 = column[k].half[0], w1 = column[k].half[1];
#pragma GCC unroll 6
        for (int r = 0; r < n_rows; r++) {
            __m512i q = broadcast(mn_tile_row(&x->q, r) + 16 * sub + 4 * k);
            acc[r][0] = _mm512_dpbusd_epi32(acc[r][0], w0, q);
            acc[r][1] = _mm512_dpbusd_epi32(acc[r][1], w1, q);
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < n_rows; r++) {
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++) {
            __m512 dot = _mm512_cvtepi32_ps(acc[r][h]);
            term[r][h] = sub == 0 ? _mm512_mul_ps(dot, scale[h]) : _mm512_fmadd_ps(dot, scale[h], term[r][h]);
            if (f.has_min)
                term[r][h] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(broadcast(number(x, r, sums))), min[h], term[r][h]);
        }
    }
}

MN_ALWAYS_INLINE void tile_rows(const int n_rows, const form f, const mn_matmul_part *part, const mn_quant_panel *p,
                                const char *x, size_t x_row_bytes, mn_matmul_sums sums) {
    __m512 sum[6][2], term[6][2];
    __mmask16 mask[2] = {mn_half_mask(part->n_outputs, 0), mn_half_mask(part->n_outputs, 1)};
    __mmask16 old[2] = {sums.add ? mask[0] : 0, sums.add ? mask[1] : 0};
#pragma GCC unroll 6
    for (int r = 0; r < n_rows; r++) {
        sum[r][0] = _mm512_maskz_loadu_ps(old[0], sums.old + r * sums.old_stride);
        sum[r][1] = _mm512_maskz_loadu_ps(old[1], sums.old + r * sums.old_stride + 16);
    }
    tile_x at = {mn_tile_rows_at(x, x_row_bytes), mn_tile_rows_at(x + offsetof(mn_quant_x, d), x_row_bytes)};
    for (int b = 0; b < part->n_inputs / MN_BLOCK; b++) {
#pragma GCC unroll 2
        for (int sub = 0; sub < f.sub_blocks; sub++) {
            int s = b * f.sub_blocks + sub;
            tile_sub_block(n_rows, f, p->column + s * (8 / f.sub_blocks), p->scale[s], p->min[s], &at, sub, term);
        }
#pragma GCC unroll 6
        for (int r = 0; r < n_rows; r++) {
            __m512 d = _mm512_castsi512_ps(broadcast(mn_tile_row(&at.numbers, r)));
            sum[r][0] = _mm512_fmadd_ps(term[r][0], d, sum[r][0]);
            sum[r][1] = _mm512_fmadd_ps(term[r][1], d, sum[r][1]);
        }
        mn_tile_advance(&at.q, MN_BLOCK);
        mn_tile_advance(&at.numbers, sizeof(float));
    }
#pragma GCC unroll 6
    for (int r = 0; r < n_rows; r++) mn_store_sums(&sums, sums.out + r * sums.out_stride, mask, sum[r][0], sum[r][1]);
}

MN_ALWAYS_INLINE void tile(const form f, const mn_matmul_part *part, const void *p, const char *x, size_t row_bytes,
                           int64_t n_rows, mn_matmul_sums sums) {
    x += (size_t)part->first_input / MN_QUANT_INPUTS * sizeof(mn_quant_x);
#define TILE(n)                                                                                                        \
    for (; n_rows >= n; n_rows -= n, x += n * row_bytes, mn_sums_advance(&sums, n))                                    \
    tile_rows(n, f, part, p, x, row_bytes, sums)
    TILE(6);
    TILE(4);
    TILE(2);
    TILE(1);
#undef TILE
}

void mn_quant_pack_part(const mn_matmul_part *part, mn_quant_pack_fn *pack_rows, mn_quant_panel *panel) {
    size_t stride = mn_tensor_row_bytes(part->w), bytes = mn_dtype_row_bytes(part->w->type, part->n_inputs);
    char copy[MN_HALF_OUTPUTS * MN_QUANT_INPUTS * 2];
    for (int half = 0; half < 2; half++) {
        int first = half * MN_HALF_OUTPUTS, n = part->n_outputs - first;
        const char *rows = mn_matmul_row(part, first);
        if (n >= MN_HALF_OUTPUTS) {
            pack_rows(rows, stride, part->n_inputs, panel, half);
            continue;
        }
        memset(copy, 0, sizeof copy);
        for (int o = 0; o < n; o++) memcpy(copy + (size_t)o * bytes, mn_matmul_row(part, first + o), bytes);
        pack_rows(copy, bytes, part->n_inputs, panel, half);
    }
}

/* A tile for each form, a path for each type. */
#define FORM(name, ...)                                                                                                \
    static void tile_##name(const mn_matmul_part *part, const void *panel, void *next, const char *x,                  \
                            size_t row_bytes, int64_t n_rows, mn_matmul_sums sums) {                                   \
        (void)next;                                                                                                    \
        tile((form){__VA_ARGS__}, part, panel, x, row_bytes, n_rows, sums);                                            \
    }
FORM(offset_3, .sub_blocks = 1, .offset_bits = 3)
FORM(offset_4, .sub_blocks = 1, .offset_bits = 4)
FORM(offset_7, .sub_blocks = 1, .offset_bits = 7)
FORM(min, .sub_blocks = 1, .has_min = true)
FORM(halves_offset_2, .sub_blocks = 2, .offset_bits = 2)
FORM(halves_offset_5, .sub_blocks = 2, .offset_bits = 5)
FORM(halves_min, .sub_blocks = 2, .has_min = true)

#define PATH(type, form_name, row_fn)                                                                                  \
    static void pack_##type(const mn_matmul_part *part, const mn_vec_kernels *vec, void *panel) {                      \
        (void)vec;                                                                                                     \
        mn_quant_pack_part(part, mn_quant_pack_##type, panel);                                                         \
    }                                                                                                                  \
    static const mn_matmul_path path_##type = {                                                                        \
        .panel_outputs = MN_PANEL_OUTPUTS,                                                                             \
        .block_inputs = MN_QUANT_INPUTS,                                                                               \
        .panel_bytes = sizeof(mn_quant_panel),                                                                         \
        .leave = mn_sums_leave,                                                                                        \
        .x_row_bytes = x_row_bytes,                                                                                    \
        .prepare = prepare,                                                                                            \
        .pack = pack_##type,                                                                                           \
        .tile = tile_##form_name,                                                                                      \
        .row = row_fn,                                                                                                 \
        .few = mn_quant_few_##type,                                                                                    \
        .few_rows = MN_QUANT_FEW_ROWS,                                                                                 \
    };
PATH(q8_0, offset_7, mn_quant_row_q8_0)
PATH(q4_0, offset_3, mn_quant_row_q4_0)
PATH(q4_1, min, NULL)
PATH(q5_0, offset_4, NULL)
PATH(q5_1, min, NULL)
PATH(iq4_nl, offset_7, mn_quant_row_iq4_nl)
PATH(mxfp4, offset_4, mn_quant_row_mxfp4)
PATH(iq4_xs, offset_7, mn_quant_row_iq4_xs)
PATH(q2_k, halves_min, NULL)
PATH(q3_k, halves_offset_2, NULL)
PATH(q4_k, min, mn_quant_row_q4_k)
PATH(q5_k, min, mn_quant_row_q5_k)
PATH(q6_k, halves_offset_5, mn_quant_row_q6_k)

void mn_matmul_init_quant_avx512bf16(mn_matmul_kernels *table) {
    table->fast[MN_Q8_0] = &path_q8_0;
    table->fast[MN_Q4_0] = &path_q4_0;
    table->fast[MN_Q4_1] = &path_q4_1;
    table->fast[MN_Q5_0] = &path_q5_0;
    table->fast[MN_Q5_1] = &path_q5_1;
    table->fast[MN_IQ4_NL] = &path_iq4_nl;
    table->fast[MN_MXFP4] = &path_mxfp4;
    table->fast[MN_IQ4_XS] = &path_iq4_xs;
    table->fast[MN_Q2_K] = &path_q2_k;
    table->fast[MN_Q3_K] = &path_q3_k;
    table->fast[MN_Q4_K] = &path_q4_k;
    table->fast[MN_Q5_K] = &path_q5_k;
    table->fast[MN_Q6_K] = &path_q6_k;
}
