/* f32, f16 and bf16 weights times a few rows of f32 activations, for memory's sake without panels: W is read as it lies, one of
 * its rows after the other, and multiplied in f32. Sixteen inputs at a time go to sixteen sums for each output, which are added
 * last: a row of x comes out with the same bits alone and among others.
 */
#include "kernels/matmul_few_avx2.h"

enum { STEP = 16 };

/* Eight weights, from 32 or 16 bytes. */
typedef __m256 load_fn(const char *p);

MN_ALWAYS_INLINE __m256 load_f32(const char *p) { return _mm256_loadu_ps((const float *)p); }

MN_ALWAYS_INLINE __m256 load_f16(const char *p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)); }

MN_ALWAYS_INLINE __m256 load_bf16(const char *p) {
    __m256i dwords = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(dwords, 16));
}

static size_t x_row_bytes_of(int64_t n_in) { return mn_f32_x_row_bytes((n_in + STEP - 1) / STEP * STEP); }

static void prepare(const float *x, int64_t n_in, void *row) {
    float *out = row;
    memcpy(out, x, (size_t)n_in * sizeof *x);
    for (; n_in % STEP; n_in++) out[n_in] = 0;
}

MN_ALWAYS_INLINE void add_step(load_fn *load, const size_t elem_bytes, const int n_rows, const char *w, const char *x,
                               size_t x_row_bytes, __m256 sum[][2]) {
    __m256 w0 = load(w), w1 = load(w + 8 * elem_bytes);
#pragma GCC unroll 8
    for (int r = 0; r < n_rows; r++) {
        const float *v = (const float *)(x + (size_t)r * x_row_bytes);
        sum[r][0] = _mm256_fmadd_ps(_mm256_loadu_ps(v), w0, sum[r][0]);
        sum[r][1] = _mm256_fmadd_ps(_mm256_loadu_ps(v + 8), w1, sum[r][1]);
    }
}

/* One output of n_rows rows, in registers; w: a row of W. A rest of fewer than 16 inputs is filled up with zeros. */
MN_ALWAYS_INLINE void output_rows(load_fn *load, const size_t elem_bytes, const int n_rows, int64_t n_in, const char *w,
                                  const char *x, size_t x_row_bytes, float *out, int64_t out_stride) {
    const size_t step_bytes = STEP * elem_bytes;
    __m256 sum[MN_MANY_ROWS][2];
#pragma GCC unroll 8
    for (int r = 0; r < n_rows; r++) sum[r][0] = sum[r][1] = _mm256_setzero_ps();
    for (; n_in >= STEP; n_in -= STEP, w += step_bytes, x += STEP * sizeof(float)) {
        _mm_prefetch(w + MN_FEW_AHEAD_BYTES, _MM_HINT_T1);
        add_step(load, elem_bytes, n_rows, w, x, x_row_bytes, sum);
    }
    if (n_in > 0) {
        char rest[STEP * sizeof(float)] = {0};
        memcpy(rest, w, (size_t)n_in * elem_bytes);
        add_step(load, elem_bytes, n_rows, rest, x, x_row_bytes, sum);
    }
#pragma GCC unroll 8
    for (int r = 0; r < n_rows; r++) out[r * out_stride] = mn_sum_lanes(_mm256_add_ps(sum[r][0], sum[r][1]));
}

MN_ALWAYS_INLINE void outputs(load_fn *load, const size_t elem_bytes, const int n_rows, const mn_matmul_part *part,
                              const char *x, size_t x_row_bytes, float *out, int64_t out_stride) {
    const char *w = mn_matmul_row(part, 0);
    size_t stride = mn_tensor_row_bytes(part->w);
    for (int o = 0; o < part->n_outputs; o++, w += stride)
        output_rows(load, elem_bytes, n_rows, part->n_inputs, w, x, x_row_bytes, out + o, out_stride);
}

MN_ALWAYS_INLINE void tile(load_fn *load, const size_t elem_bytes, const mn_matmul_part *part, const char *x,
                           size_t x_row_bytes, int64_t n_rows, float *out, int64_t out_stride) {
    switch (n_rows) {
    case 1: outputs(load, elem_bytes, 1, part, x, x_row_bytes, out, out_stride); break;
    case 2: outputs(load, elem_bytes, 2, part, x, x_row_bytes, out, out_stride); break;
    case 3: outputs(load, elem_bytes, 3, part, x, x_row_bytes, out, out_stride); break;
    case 4: outputs(load, elem_bytes, 4, part, x, x_row_bytes, out, out_stride); break;
    case 5: outputs(load, elem_bytes, 5, part, x, x_row_bytes, out, out_stride); break;
    case 6: outputs(load, elem_bytes, 6, part, x, x_row_bytes, out, out_stride); break;
    default: outputs(load, elem_bytes, 7, part, x, x_row_bytes, out, out_stride); break;
    }
}

#define PATH(type, elem_type)                                                                                        \
    static void tile_##type(const mn_matmul_part *part, const void *panel, const char *x, size_t x_row_bytes,       \
                            int64_t n_rows, float *out, int64_t out_stride) {                                        \
        (void)panel;                                                                                                 \
        tile(load_##type, sizeof(elem_type), part, x, x_row_bytes, n_rows, out, out_stride);                         \
    }                                                                                                                \
    MN_FEW_PATH(path_##type, tile_##type, prepare, x_row_bytes_of)
PATH(f32, float)
PATH(f16, uint16_t)
PATH(bf16, uint16_t)

void mn_matmul_init_few_floats_avx2(mn_matmul_kernels *table) {
    table->fast[MN_F32] = &path_f32;
    table->fast[MN_F16] = &path_f16;
    table->fast[MN_BF16] = &path_bf16;
}
