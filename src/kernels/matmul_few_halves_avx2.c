/* f16 and bf16 weights times a few rows of f32 activations, for memory's sake without panels: W is read as it is
 * stored, one of its rows after the other, and multiplied in f32. Sixteen inputs at a time go to sixteen sums for each
 * output, which are added last: a row of x comes out with the same bits alone and among others.
 */
#include "kernels/matmul_few_avx2.h"

enum { STEP = 16, MAX_ROWS = 7, F32_WINS = 16 }; /* rows: whose sums stay in registers; from which panels of f32 win */

/* Eight weights. */
typedef __m256 load_fn(const uint16_t *p);

MN_ALWAYS_INLINE __m256 load_f16(const uint16_t *p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)); }

MN_ALWAYS_INLINE __m256 load_bf16(const uint16_t *p) {
    __m256i dwords = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(dwords, 16));
}

static size_t x_row_bytes_of(int64_t n_in) { return mn_f32_x_row_bytes((n_in + STEP - 1) / STEP * STEP); }

static void prepare(const float *x, int64_t n_in, void *row) {
    float *out = row;
    memcpy(out, x, (size_t)n_in * sizeof *x);
    for (; n_in % STEP; n_in++) out[n_in] = 0;
}

MN_ALWAYS_INLINE void add_step(load_fn *load, const int n_rows, const uint16_t *w, const char *x, size_t x_row_bytes,
                               __m256 sum[][2]) {
    __m256 w0 = load(w), w1 = load(w + 8);
#pragma GCC unroll 8
    for (int r = 0; r < n_rows; r++) {
        const float *v = (const float *)(x + (size_t)r * x_row_bytes);
        sum[r][0] = _mm256_fmadd_ps(_mm256_loadu_ps(v), w0, sum[r][0]);
        sum[r][1] = _mm256_fmadd_ps(_mm256_loadu_ps(v + 8), w1, sum[r][1]);
    }
}

/* One output of n_rows rows, in registers; w: a row of W. A rest of fewer than 16 inputs is filled up with zeros. */
MN_ALWAYS_INLINE void output_rows(load_fn *load, const int n_rows, int64_t n_in, const uint16_t *w, const char *x,
                                  size_t x_row_bytes, float *out, int64_t out_stride) {
    __m256 sum[MAX_ROWS][2];
#pragma GCC unroll 8
    for (int r = 0; r < n_rows; r++) sum[r][0] = sum[r][1] = _mm256_setzero_ps();
    for (; n_in >= STEP; n_in -= STEP, w += STEP, x += STEP * sizeof(float)) {
        _mm_prefetch((const char *)w + MN_FEW_AHEAD_BYTES, _MM_HINT_T1);
        add_step(load, n_rows, w, x, x_row_bytes, sum);
    }
    if (n_in > 0) {
        uint16_t rest[STEP] = {0};
        memcpy(rest, w, (size_t)n_in * sizeof *w);
        add_step(load, n_rows, rest, x, x_row_bytes, sum);
    }
#pragma GCC unroll 8
    for (int r = 0; r < n_rows; r++) out[r * out_stride] = mn_sum_lanes(_mm256_add_ps(sum[r][0], sum[r][1]));
}

MN_ALWAYS_INLINE void outputs(load_fn *load, const int n_rows, const mn_matmul_part *part, const char *x,
                              size_t x_row_bytes, float *out, int64_t out_stride) {
    const uint16_t *w = (const uint16_t *)mn_matmul_row(part, 0);
    for (int o = 0; o < part->n_outputs; o++, w += part->w->ne[0])
        output_rows(load, n_rows, part->n_inputs, w, x, x_row_bytes, out + o, out_stride);
}

MN_ALWAYS_INLINE void some_rows(load_fn *load, const mn_matmul_part *part, const char *x, size_t x_row_bytes,
                                int n_rows, float *out, int64_t out_stride) {
    switch (n_rows) {
    case 1: outputs(load, 1, part, x, x_row_bytes, out, out_stride); break;
    case 2: outputs(load, 2, part, x, x_row_bytes, out, out_stride); break;
    case 3: outputs(load, 3, part, x, x_row_bytes, out, out_stride); break;
    case 4: outputs(load, 4, part, x, x_row_bytes, out, out_stride); break;
    case 5: outputs(load, 5, part, x, x_row_bytes, out, out_stride); break;
    case 6: outputs(load, 6, part, x, x_row_bytes, out, out_stride); break;
    default: outputs(load, MAX_ROWS, part, x, x_row_bytes, out, out_stride); break;
    }
}

/* As few passes over W as there must be, each of about as many rows. */
MN_ALWAYS_INLINE void tile(load_fn *load, const mn_matmul_part *part, const char *x, size_t x_row_bytes, int64_t n_rows,
                           float *out, int64_t out_stride) {
    for (int64_t n_passes = (n_rows + MAX_ROWS - 1) / MAX_ROWS; n_passes > 0; n_passes--) {
        int n = (int)((n_rows + n_passes - 1) / n_passes);
        some_rows(load, part, x, x_row_bytes, n, out, out_stride);
        n_rows -= n, x += (size_t)n * x_row_bytes, out += n * out_stride;
    }
}

/* All inputs at once: there are no old sums. */
#define PATH(type)                                                                                                     \
    static void tile_##type(const mn_matmul_part *part, const void *panel, void *next, const char *x,                  \
                            size_t x_row_bytes, int64_t n_rows, mn_matmul_sums sums) {                                 \
        (void)panel;                                                                                                   \
        (void)next;                                                                                                    \
        tile(load_##type, part, x, x_row_bytes, n_rows, sums.out, sums.out_stride);                                    \
    }                                                                                                                  \
    MN_FEW_PATH(path_##type, tile_##type, prepare, x_row_bytes_of)
PATH(f16)
PATH(bf16)

void mn_matmul_init_few_halves_avx2(mn_matmul_kernels *table) {
    table->fast[MN_F16] = &path_f16;
    table->fast[MN_BF16] = &path_bf16;
    table->many_rows[MN_F16] = table->many_rows[MN_BF16] = F32_WINS;
}
