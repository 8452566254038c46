/* bf16 and f16 weights with the dot products of bf16 pairs: tiles of up to 12 rows by 32 outputs. */
#include "kernels/matmul_f32.h"
#include "kernels/matmul_pairs_avx512bf16.h"
#include "kernels/matmul_panel_avx512.h"
#include "kernels/matmul_quant.h"

enum { INPUTS = 512, PAIRS = INPUTS / 2 };

typedef struct panel {
    mn_panel_column column[PAIRS];
    uint16_t rows[MN_HALF_OUTPUTS][INPUTS];
} panel;

static size_t x_row_bytes(int64_t n_in) { return mn_odd_lines((size_t)(n_in + 1) / 2 * 4); }

/* n inputs of either type, rounded to bf16; an odd one is followed by a zero. */
static void bf16_row(const float *x, int64_t n, uint16_t *row) {
    for (int64_t i = 0; i < n; i += 16) {
        __mmask16 mask = n - i >= 16 ? 0xffff : (__mmask16)((1u << (n - i)) - 1);
        __mmask16 store = n - i >= 16 ? 0xffff : (__mmask16)((1u << ((n - i + 1) & ~1)) - 1);
        __m256i half = (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, x + i));
        _mm256_mask_storeu_epi16(row + i, store, half);
    }
}

static void prepare(const float *x, int64_t n_in, void *row) { bf16_row(x, n_in, row); }

static void bf16_row_from_f16(const uint16_t *src, size_t stride, int n, uint16_t *row) {
    for (int i = 0; i < n; i += 16) {
        if (i % 32 == 0) mn_prefetch_next_panel((const char *)(src + i), stride, 0, 1);
        __mmask16 mask = n - i >= 16 ? 0xffff : (__mmask16)((1u << (n - i)) - 1);
        __m512 v = _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, src + i));
        _mm256_storeu_si256((__m256i *)(row + i), (__m256i)_mm512_cvtneps_pbh(v));
    }
}

static void pack_f16(const mn_matmul_part *part, panel *p) {
    for (int half = 0; half < 2; half++) {
        for (int o = 0; o < MN_HALF_OUTPUTS; o++)
            bf16_row_from_f16((const uint16_t *)mn_matmul_row(part, half * MN_HALF_OUTPUTS + o),
                              mn_tensor_row_bytes(part->w), part->n_inputs, p->rows[o]);
        mn_pack_dwords((const char *)p->rows, sizeof p->rows[0], (part->n_inputs + 1) / 2, p->column, half);
    }
}

static void pack_f32(const mn_matmul_part *part, panel *p) {
    for (int half = 0; half < 2; half++) {
        for (int o = 0; o < MN_HALF_OUTPUTS; o++)
            bf16_row((const float *)mn_matmul_row(part, half * MN_HALF_OUTPUTS + o), part->n_inputs, p->rows[o]);
        mn_pack_dwords((const char *)p->rows, sizeof p->rows[0], (part->n_inputs + 1) / 2, p->column, half);
    }
}

/* Rows are packed from where they stand when that reads nothing beyond them. */
static void pack_bf16(const mn_matmul_part *part, panel *p) {
    for (int half = 0; half < 2; half++) {
        int first = half * MN_HALF_OUTPUTS;
        const char *rows = mn_matmul_row(part, first);
        size_t stride = mn_tensor_row_bytes(part->w);
        if (part->n_outputs < first + MN_HALF_OUTPUTS || part->n_inputs % 8) {
            for (int o = 0; o < MN_HALF_OUTPUTS; o++) {
                if (part->n_inputs % 2) p->rows[o][part->n_inputs] = 0;
                memcpy(p->rows[o], mn_matmul_row(part, first + o), (size_t)part->n_inputs * sizeof(uint16_t));
            }
            rows = (const char *)p->rows;
            stride = sizeof p->rows[0];
        }
        mn_pack_dwords(rows, stride, (part->n_inputs + 1) / 2, p->column, half);
    }
}

void mn_bf16_pack(const mn_matmul_part *part, const mn_vec_kernels *vec, void *dst) {
    (void)vec;
    switch (part->w->type) {
    case MN_F16: pack_f16(part, dst); break;
    case MN_BF16: pack_bf16(part, dst); break;
    default: pack_f32(part, dst); break;
    }
}

/* Sixteen outputs of one input. */
MN_ALWAYS_INLINE __m512 load_outputs(mn_dtype type, const char *outputs, __mmask16 mask) {
    if (type == MN_F32) return _mm512_maskz_loadu_ps(mask, outputs);
    __m256i half = _mm256_maskz_loadu_epi16(mask, outputs);
    if (type == MN_F16) return _mm512_cvtph_ps(half);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

MN_ALWAYS_INLINE void pack_columns(mn_dtype type, const mn_matmul_part *part, mn_panel_column *column) {
    size_t stride = part->row_bytes, half_bytes = MN_HALF_OUTPUTS * mn_dtype_row_bytes(type, 1);
    const char *outputs = mn_matmul_column(part, 0);
    for (int i = 0; i < part->n_inputs; i += 2, outputs += 2 * stride, column++)
#pragma GCC unroll 2
        for (int half = 0; half < 2; half++) {
            __mmask16 mask = mn_half_mask(part->n_outputs, half);
            const char *at = outputs + (size_t)half * half_bytes;
            __m512 second = i + 1 < part->n_inputs ? load_outputs(type, at + stride, mask) : _mm512_setzero_ps();
            column->half[half] = mn_join_pair(load_outputs(type, at, mask), second);
        }
}

void mn_bf16_pack_transposed(const mn_matmul_part *part, const mn_vec_kernels *vec, void *dst) {
    (void)vec;
    panel *p = dst;
    switch (part->w->type) {
    case MN_F16: pack_columns(MN_F16, part, p->column); break;
    case MN_BF16: pack_columns(MN_BF16, part, p->column); break;
    default: pack_columns(MN_F32, part, p->column); break;
    }
}

MN_ALWAYS_INLINE __m512bh broadcast_pair(const char *pair) {
    int32_t v;
    memcpy(&v, pair, sizeof v);
    return (__m512bh)_mm512_set1_epi32(v);
}

MN_ALWAYS_INLINE void tile_rows(const int n_rows, const mn_matmul_part *part, const panel *p, const char *x,
                                size_t row_bytes, mn_matmul_sums sums) {
    __m512 sum[12][2];
    __mmask16 mask[2] = {mn_half_mask(part->n_outputs, 0), mn_half_mask(part->n_outputs, 1)};
    __mmask16 old[2] = {sums.add ? mask[0] : 0, sums.add ? mask[1] : 0};
#pragma GCC unroll 12
    for (int r = 0; r < n_rows; r++) {
        sum[r][0] = _mm512_maskz_loadu_ps(old[0], sums.old + r * sums.old_stride);
        sum[r][1] = _mm512_maskz_loadu_ps(old[1], sums.old + r * sums.old_stride + 16);
    }
    mn_tile_rows rows = mn_tile_rows_at(x + (size_t)part->first_input * sizeof(uint16_t), row_bytes);
    for (int i = 0; i < (part->n_inputs + 1) / 2; i++, mn_tile_advance(&rows, 4)) {
        __m512bh w0 = (__m512bh)p->column[i].half[0], w1 = (__m512bh)p->column[i].half[1];
#pragma GCC unroll 12
        for (int r = 0; r < n_rows; r++) {
            __m512bh pair = broadcast_pair(mn_tile_row(&rows, r));
            sum[r][0] = _mm512_dpbf16_ps(sum[r][0], w0, pair);
            sum[r][1] = _mm512_dpbf16_ps(sum[r][1], w1, pair);
        }
    }
#pragma GCC unroll 12
    for (int r = 0; r < n_rows; r++) mn_store_sums(&sums, sums.out + r * sums.out_stride, mask, sum[r][0], sum[r][1]);
}

static void tile(const mn_matmul_part *part, const void *p, void *next, const char *x, size_t row_bytes, int64_t n_rows,
                 mn_matmul_sums sums) {
    (void)next;
#define TILE(n)                                                                                                        \
    for (; n_rows >= n; n_rows -= n, x += n * row_bytes, mn_sums_advance(&sums, n))                                    \
    tile_rows(n, part, p, x, row_bytes, sums)
    TILE(12);
    TILE(6);
    TILE(4);
    TILE(2);
    TILE(1);
#undef TILE
}

static const mn_matmul_path path = {
    .panel_outputs = MN_PANEL_OUTPUTS,
    .block_inputs = INPUTS,
    .panel_bytes = sizeof(panel),
    .leave = mn_sums_leave,
    .x_element_bytes = sizeof(uint16_t),
    .x_row_bytes = x_row_bytes,
    .prepare = prepare,
    .pack = mn_bf16_pack,
    .pack_transposed = mn_bf16_pack_transposed,
    .tile = tile,
};

void mn_matmul_init_avx512bf16(mn_matmul_kernels *table) {
    for (int type = 0; type < MN_DTYPE_COUNT; type++)
        if (type != MN_F16) table->many[type] = NULL; /* f16 weights have more bits than bf16: avx512's f32 stays */
    /* Few rows wait for memory, and f32 multiplies them no slower (matmul_few_halves_avx2.c). */
    table->many[MN_BF16] = &path;
    table->many_rows[MN_BF16] = MN_MANY_ROWS;
    mn_matmul_init_quant_avx512bf16(table);
}
