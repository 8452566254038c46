/* f32 with 256-bit FMA: tiles of up to 6 rows by 16 outputs, 12 accumulators. */
#include "kernels/matmul_f32.h"
#include "kernels/matmul_few_avx2.h"
#include "kernels/transpose_avx2.h"

#include <immintrin.h>

enum { OUTPUTS = 16, INPUTS = 256 };

#define ALWAYS_INLINE static inline __attribute__((always_inline))

typedef struct panel {
    float w[INPUTS][OUTPUTS];
    float rows[OUTPUTS][INPUTS];
} panel;

/* f32 rows are packed from where they stand when that reads nothing beyond them. */
static void pack(const mn_matmul_part *part, const mn_vec_kernels *vec, void *dst) {
    panel *p = dst;
    const float *rows = (const float *)mn_matmul_row(part, 0);
    int64_t stride = part->w->ne[0];
    if (part->w->type != MN_F32 || part->n_outputs < OUTPUTS || part->n_inputs % 4) {
        for (int o = 0; o < OUTPUTS; o++)
            vec->to_f32(part->w->type, mn_matmul_row(part, o), p->rows[o], part->n_inputs);
        rows = p->rows[0];
        stride = INPUTS;
    }
    for (int i = 0; i < part->n_inputs; i += 4) {
        mn_transpose_8x4(p->w[i], OUTPUTS, rows + i, stride);
        mn_transpose_8x4(p->w[i] + 8, OUTPUTS, rows + 8 * stride + i, stride);
    }
}

static void pack_transposed(const mn_matmul_part *part, const mn_vec_kernels *vec, void *dst) {
    panel *p = dst;
    size_t stride = part->row_bytes;
    const char *column = mn_matmul_column(part, 0);
    if (part->w->type == MN_F32 && part->n_outputs == OUTPUTS)
        for (int i = 0; i < part->n_inputs; i++, column += stride) memcpy(p->w[i], column, sizeof p->w[i]);
    else
        for (int i = 0; i < part->n_inputs; i++, column += stride)
            vec->to_f32(part->w->type, column, p->w[i], part->n_outputs);
}

ALWAYS_INLINE void tile_rows(const int n_rows, int n_inputs, const panel *p, const char *x, size_t x_row_bytes,
                             float *out, int64_t out_stride) {
    __m256 sum[6][2];
#pragma GCC unroll 6
    for (int r = 0; r < n_rows; r++) {
        sum[r][0] = _mm256_loadu_ps(out + r * out_stride);
        sum[r][1] = _mm256_loadu_ps(out + r * out_stride + 8);
    }
    for (int i = 0; i < n_inputs; i++, x += sizeof(float)) {
        __m256 w0 = _mm256_loadu_ps(p->w[i]), w1 = _mm256_loadu_ps(p->w[i] + 8);
#pragma GCC unroll 6
        for (int r = 0; r < n_rows; r++) {
            __m256 v = _mm256_broadcast_ss((const float *)(x + (size_t)r * x_row_bytes));
            sum[r][0] = _mm256_fmadd_ps(v, w0, sum[r][0]);
            sum[r][1] = _mm256_fmadd_ps(v, w1, sum[r][1]);
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < n_rows; r++) {
        _mm256_storeu_ps(out + r * out_stride, sum[r][0]);
        _mm256_storeu_ps(out + r * out_stride + 8, sum[r][1]);
    }
}

static void tile_some(int n_rows, int n_inputs, const panel *p, const char *x, size_t x_row_bytes, float *out,
                      int64_t out_stride) {
    switch (n_rows) {
    case 6: tile_rows(6, n_inputs, p, x, x_row_bytes, out, out_stride); break;
    case 5: tile_rows(5, n_inputs, p, x, x_row_bytes, out, out_stride); break;
    case 4: tile_rows(4, n_inputs, p, x, x_row_bytes, out, out_stride); break;
    case 3: tile_rows(3, n_inputs, p, x, x_row_bytes, out, out_stride); break;
    case 2: tile_rows(2, n_inputs, p, x, x_row_bytes, out, out_stride); break;
    default: tile_rows(1, n_inputs, p, x, x_row_bytes, out, out_stride); break;
    }
}

/* Tiles go through a buffer of full width, so that the last panel of a matrix needs no kernel of its own. */
static void tile(const mn_matmul_part *part, const void *p, void *next, const char *x, size_t x_row_bytes,
                 int64_t n_rows, mn_matmul_sums sums) {
    (void)next;
    x += (size_t)part->first_input * sizeof(float);
    for (int64_t first = 0; first < n_rows; first += 6) {
        int n = (int)(n_rows - first < 6 ? n_rows - first : 6);
        float sum[6][OUTPUTS] = {{0}};
        for (int r = 0; sums.add && r < n; r++)
            memcpy(sum[r], sums.old + (first + r) * sums.old_stride, (size_t)part->n_outputs * sizeof(float));
        tile_some(n, part->n_inputs, p, x + (size_t)first * x_row_bytes, x_row_bytes, sum[0], OUTPUTS);
        for (int r = 0; r < n; r++)
            memcpy(sums.out + (first + r) * sums.out_stride, sum[r], (size_t)part->n_outputs * sizeof(float));
    }
}

#define PATH(name, row_fn)                                                                                             \
    static const mn_matmul_path name = {                                                                               \
        .panel_outputs = OUTPUTS,                                                                                      \
        .block_inputs = INPUTS,                                                                                        \
        .panel_bytes = sizeof(panel),                                                                                  \
        .x_element_bytes = sizeof(float),                                                                              \
        .x_row_bytes = mn_f32_x_row_bytes,                                                                             \
        .prepare = mn_f32_prepare,                                                                                     \
        .pack = pack,                                                                                                  \
        .pack_transposed = pack_transposed,                                                                            \
        .tile = tile,                                                                                                  \
        .row = row_fn,                                                                                                 \
    };
PATH(path_any, NULL)
PATH(path_f32, mn_row_f32_avx2)

void mn_matmul_init_avx2(mn_matmul_kernels *table) {
    table->exact = &path_any;
    for (int type = 0; type < MN_DTYPE_COUNT; type++) table->fast[type] = table->many[type] = &path_any;
    table->fast[MN_F32] = &path_f32;
    table->many[MN_F32] = NULL;
    mn_matmul_init_few_quant_avx2(table);
    mn_matmul_init_few_halves_avx2(table);
}
