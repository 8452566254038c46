/* One row of x (GEMV) times f32 weights. Memory is the limit, so there is no panel: 64 bytes of each of 8 rows of W are
 * transposed in registers and added to 8 outputs side by side, one input after the other, as a tile does it. Two such
 * groups take turns, as one sum alone would wait for itself.
 *
 * Every cache line is touched once, as rows a power of two apart would push each other out of the first-level cache.
 * The block that comes next is asked for in the order of its addresses, which memory serves fastest.
 */
#include "kernels/matmul_few_avx2.h"

enum {
    GROUP = 8,
    LINE_INPUTS = 16,
    BLOCK_LINES = 32 /* of 16 rows: 32 KiB, and as much of what comes next, within any second-level cache */
};

/* Four inputs of rows o and o + 4. */
MN_ALWAYS_INLINE __m256 load_2_rows(const float *const rows[GROUP], int o, int64_t at) {
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(rows[o] + at)), _mm_loadu_ps(rows[o + 4] + at), 1);
}

/* Four inputs of 8 rows: lane o of v[i] is input i of row o. */
MN_ALWAYS_INLINE void transpose(const float *const rows[GROUP], int64_t at, __m256 v[4]) {
    __m256 r0 = load_2_rows(rows, 0, at), r1 = load_2_rows(rows, 1, at);
    __m256 r2 = load_2_rows(rows, 2, at), r3 = load_2_rows(rows, 3, at);
    __m256d low01 = _mm256_castps_pd(_mm256_unpacklo_ps(r0, r1)), high01 = _mm256_castps_pd(_mm256_unpackhi_ps(r0, r1));
    __m256d low23 = _mm256_castps_pd(_mm256_unpacklo_ps(r2, r3)), high23 = _mm256_castps_pd(_mm256_unpackhi_ps(r2, r3));
    v[0] = _mm256_castpd_ps(_mm256_unpacklo_pd(low01, low23));
    v[1] = _mm256_castpd_ps(_mm256_unpackhi_pd(low01, low23));
    v[2] = _mm256_castpd_ps(_mm256_unpacklo_pd(high01, high23));
    v[3] = _mm256_castpd_ps(_mm256_unpackhi_pd(high01, high23));
}

MN_ALWAYS_INLINE __m256 add_line(const float *const rows[GROUP], int64_t at, const float *x, __m256 sum) {
#pragma GCC unroll 4
    for (int i = 0; i < LINE_INPUTS; i += 4) {
        __m256 v[4];
        transpose(rows, at + i, v);
#pragma GCC unroll 4
        for (int k = 0; k < 4; k++) sum = _mm256_fmadd_ps(_mm256_broadcast_ss(x + at + i + k), v[k], sum);
    }
    return sum;
}

/* The last inputs, fewer than a line. */
static __m256 add_rest(const float *const rows[GROUP], int64_t at, int n, const float *x, __m256 sum) {
    float rest[GROUP][LINE_INPUTS] = {{0}};
    const float *rest_rows[GROUP];
    for (int o = 0; o < GROUP; o++) {
        memcpy(rest[o], rows[o] + at, (size_t)n * sizeof *x);
        rest_rows[o] = rest[o];
    }
    for (int i = 0; i < n; i += 4) {
        __m256 v[4];
        transpose(rest_rows, i, v);
        for (int k = 0; k < 4 && i + k < n; k++) sum = _mm256_fmadd_ps(_mm256_broadcast_ss(x + at + i + k), v[k], sum);
    }
    return sum;
}

/* Asks for 16 lines of 16 rows of `n_lines` lines each, the line-th such part. */
MN_ALWAYS_INLINE void prefetch_in_order(const char *next, size_t stride, int64_t line, int64_t n_lines) {
    uintptr_t at = (uintptr_t)next + (uintptr_t)(16 * line / n_lines) * stride + (uintptr_t)(16 * line % n_lines * 64);
#pragma GCC unroll 16
    for (int k = 0; k < 16; k++) _mm_prefetch((const char *)(at + (uintptr_t)k * 64), _MM_HINT_T1);
}

void mn_row_f32_avx2(const mn_matmul_part *part, const void *x, void *panel, float *out) {
    (void)panel;
    const float *rows[2][GROUP];
    for (int o = 0; o < 2 * GROUP; o++) rows[o / GROUP][o % GROUP] = (const float *)mn_matmul_row(part, o);
    size_t stride = mn_tensor_row_bytes(part->w);
    int64_t n_lines = part->w->ne[0] / LINE_INPUTS, done = n_lines * LINE_INPUTS;
    int rest = (int)(part->w->ne[0] - done);
    __m256 sum[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    for (int64_t first = 0; first < n_lines; first += BLOCK_LINES) {
        int64_t n = n_lines - first < BLOCK_LINES ? n_lines - first : BLOCK_LINES;
        const char *next = (const char *)(rows[0][0] + (first + n) * LINE_INPUTS);
        if (first + n == n_lines) next = (const char *)rows[0][0] + 2 * GROUP * stride;
        for (int64_t line = 0; line < n; line++) {
            prefetch_in_order(next, stride, line, n);
            for (int g = 0; g < 2; g++) sum[g] = add_line(rows[g], (first + line) * LINE_INPUTS, x, sum[g]);
        }
    }
    float sums[2][GROUP];
    for (int g = 0; g < 2; g++) _mm256_storeu_ps(sums[g], rest ? add_rest(rows[g], done, rest, x, sum[g]) : sum[g]);
    memcpy(out, sums, (size_t)part->n_outputs * sizeof *out);
}
