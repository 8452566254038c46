/* f32 with 512-bit FMA: tiles of up to 12 rows by 32 outputs, 24 accumulators. */
#include "kernels/matmul_f32.h"
#include "kernels/matmul_panel_avx512.h"
#include "kernels/matmul_row_avx512.h"

enum {
    INPUTS = 256,
    QUANTISED_F32_WINS = 16 /* rows from which this is faster than reading quantised W as it is stored */
};

typedef struct panel {
    mn_panel_column column[INPUTS];
    float rows[MN_HALF_OUTPUTS][INPUTS];
} panel;

/* f32 rows are packed from where they stand when that reads nothing beyond them. */
static void pack(const mn_matmul_part *part, const mn_vec_kernels *vec, void *dst) {
    panel *p = dst;
    for (int half = 0; half < 2; half++) {
        int first = half * MN_HALF_OUTPUTS;
        const char *rows = mn_matmul_row(part, first);
        size_t stride = mn_tensor_row_bytes(part->w);
        if (part->w->type != MN_F32 || part->n_outputs < first + MN_HALF_OUTPUTS || part->n_inputs % 4) {
            for (int o = 0; o < MN_HALF_OUTPUTS; o++)
                vec->to_f32(part->w->type, mn_matmul_row(part, first + o), p->rows[o], part->n_inputs);
            rows = (const char *)p->rows;
            stride = sizeof p->rows[0];
        }
        mn_pack_dwords(rows, stride, part->n_inputs, p->column, half);
    }
}

static void pack_transposed(const mn_matmul_part *part, const mn_vec_kernels *vec, void *dst) {
    panel *p = dst;
    size_t stride = part->row_bytes;
    const char *column = mn_matmul_column(part, 0);
    __mmask16 low = mn_half_mask(part->n_outputs, 0), high = mn_half_mask(part->n_outputs, 1);
    for (int i = 0; i < part->n_inputs; i++, column += stride) {
        const float *outputs = (const float *)column;
        if (part->w->type != MN_F32) {
            vec->to_f32(part->w->type, column, p->rows[0], part->n_outputs);
            outputs = p->rows[0];
        }
        p->column[i].half[0] = _mm512_castps_si512(_mm512_maskz_loadu_ps(low, outputs));
        p->column[i].half[1] = _mm512_castps_si512(_mm512_maskz_loadu_ps(high, outputs + MN_HALF_OUTPUTS));
    }
}

MN_ALWAYS_INLINE void tile_rows(const int n_rows, const mn_matmul_part *part, const panel *p, const char *x,
                                size_t x_row_bytes, mn_matmul_sums sums) {
    __m512 sum[12][2];
    __mmask16 mask[2] = {mn_half_mask(part->n_outputs, 0), mn_half_mask(part->n_outputs, 1)};
    __mmask16 old[2] = {sums.add ? mask[0] : 0, sums.add ? mask[1] : 0};
#pragma GCC unroll 12
    for (int r = 0; r < n_rows; r++) {
        sum[r][0] = _mm512_maskz_loadu_ps(old[0], sums.old + r * sums.old_stride);
        sum[r][1] = _mm512_maskz_loadu_ps(old[1], sums.old + r * sums.old_stride + 16);
    }
    mn_tile_rows rows = mn_tile_rows_at(x + (size_t)part->first_input * sizeof(float), x_row_bytes);
    for (int i = 0; i < part->n_inputs; i++, mn_tile_advance(&rows, sizeof(float))) {
        __m512 w0 = _mm512_castsi512_ps(p->column[i].half[0]), w1 = _mm512_castsi512_ps(p->column[i].half[1]);
#pragma GCC unroll 12
        for (int r = 0; r < n_rows; r++) {
            __m512 v = _mm512_set1_ps(*(const float *)mn_tile_row(&rows, r));
            sum[r][0] = _mm512_fmadd_ps(v, w0, sum[r][0]);
            sum[r][1] = _mm512_fmadd_ps(v, w1, sum[r][1]);
        }
    }
#pragma GCC unroll 12
    for (int r = 0; r < n_rows; r++) mn_store_sums(&sums, sums.out + r * sums.out_stride, mask, sum[r][0], sum[r][1]);
}

static void tile(const mn_matmul_part *part, const void *p, void *next, const char *x, size_t x_row_bytes,
                 int64_t n_rows, mn_matmul_sums sums) {
    (void)next;
#define TILE(n)                                                                                                        \
    for (; n_rows >= n; n_rows -= n, x += n * x_row_bytes, mn_sums_advance(&sums, n))                                  \
    tile_rows(n, part, p, x, x_row_bytes, sums)
    TILE(12);
    TILE(6);
    TILE(4);
    TILE(2);
    TILE(1);
#undef TILE
}

MN_ALWAYS_INLINE __m512i load_floats(const char *p, int64_t n_bytes) {
    return _mm512_maskz_loadu_epi32(n_bytes >= 64 ? 0xffff : (__mmask16)((1u << n_bytes / 4) - 1), p);
}

MN_ALWAYS_INLINE __m512 dot_float(__m512 sum, __m512i w, const char *x) {
    return _mm512_fmadd_ps(_mm512_set1_ps(*(const float *)x), _mm512_castsi512_ps(w), sum);
}

static void row(const mn_matmul_part *part, const void *x, void *work, float *out) {
    (void)work;
    mn_row_by_dwords(load_floats, dot_float, part, x, out);
}

#define PATH(name, row_fn)                                                                                             \
    static const mn_matmul_path name = {                                                                               \
        .panel_outputs = MN_PANEL_OUTPUTS,                                                                             \
        .block_inputs = INPUTS,                                                                                        \
        .panel_bytes = sizeof(panel),                                                                                  \
        .leave = mn_sums_leave,                                                                                        \
        .x_element_bytes = sizeof(float),                                                                              \
        .x_row_bytes = mn_f32_x_row_bytes,                                                                             \
        .prepare = mn_f32_prepare,                                                                                     \
        .pack = pack,                                                                                                  \
        .pack_transposed = pack_transposed,                                                                            \
        .tile = tile,                                                                                                  \
        .row = row_fn,                                                                                                 \
    };
PATH(path_any, NULL)
PATH(path_f32, row)

void mn_matmul_init_avx512(mn_matmul_kernels *table) {
    table->exact = &path_any;
    for (int type = 0; type < MN_DTYPE_COUNT; type++) {
        table->many[type] = &path_any;
        table->many_rows[type] = type == MN_F16 || type == MN_BF16 ? MN_MANY_ROWS : QUANTISED_F32_WINS;
    }
    table->fast[MN_F32] = &path_f32;
    table->many[MN_F32] = NULL; /* the tile's sums, as those of the row */
}
