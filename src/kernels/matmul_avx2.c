/* f32 with 256-bit FMA: tiles of up to 6 rows by 16 outputs, 12 accumulators. */
#include "kernels/matmul_f32.h"
#include "kernels/matmul_few_avx2.h"

#include <immintrin.h>

enum { OUTPUTS = 16, INPUTS = 256 };

#define ALWAYS_INLINE static inline __attribute__((always_inline))

typedef struct panel {
    float w[INPUTS][OUTPUTS];
    float rows[OUTPUTS][INPUTS];
} panel;

/* Rows j and j + 4 of 4 floats, in one vector. */
ALWAYS_INLINE __m256 load_2_rows(const float *p, size_t stride) {
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), _mm_loadu_ps(p + 4 * stride), 1);
}

/* 4 inputs of 8 rows: lane o of w[i] is input i of row o. */
ALWAYS_INLINE void transpose(const float *p, size_t stride, float w[4][OUTPUTS]) {
    __m256 r0 = load_2_rows(p, stride), r1 = load_2_rows(p + stride, stride);
    __m256 r2 = load_2_rows(p + 2 * stride, stride), r3 = load_2_rows(p + 3 * stride, stride);
    __m256d low01 = _mm256_castps_pd(_mm256_unpacklo_ps(r0, r1)), high01 = _mm256_castps_pd(_mm256_unpackhi_ps(r0, r1));
    __m256d low23 = _mm256_castps_pd(_mm256_unpacklo_ps(r2, r3)), high23 = _mm256_castps_pd(_mm256_unpackhi_ps(r2, r3));
    _mm256_storeu_ps(w[0], _mm256_castpd_ps(_mm256_unpacklo_pd(low01, low23)));
    _mm256_storeu_ps(w[1], _mm256_castpd_ps(_mm256_unpackhi_pd(low01, low23)));
    _mm256_storeu_ps(w[2], _mm256_castpd_ps(_mm256_unpacklo_pd(high01, high23)));
    _mm256_storeu_ps(w[3], _mm256_castpd_ps(_mm256_unpackhi_pd(high01, high23)));
}

/* f32 rows are packed from where they stand when that reads nothing beyond them. */
static void pack(const mn_matmul_part *part, const mn_vec_kernels *vec, void *dst) {
    panel *p = dst;
    const float *rows = (const float *)mn_matmul_row(part, 0);
    size_t stride = (size_t)part->w->ne[0];
    if (part->w->type != MN_F32 || part->n_outputs < OUTPUTS || part->n_inputs % 4) {
        for (int o = 0; o < OUTPUTS; o++)
            vec->to_f32(part->w->type, mn_matmul_row(part, o), p->rows[o], part->n_inputs);
        rows = p->rows[0];
        stride = INPUTS;
    }
    for (int i = 0; i < part->n_inputs; i += 4) {
        transpose(rows + i, stride, &p->w[i]);
        transpose(rows + 8 * stride + i, stride, (float(*)[OUTPUTS]) & p->w[i][8]);
    }
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
        .x_row_bytes = mn_f32_x_row_bytes,                                                                             \
        .prepare = mn_f32_prepare,                                                                                     \
        .pack = pack,                                                                                                  \
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
