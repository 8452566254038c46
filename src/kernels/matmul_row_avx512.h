/* One row of x (GEMV) times weights that are dwords: f32, or pairs of 16-bit floats. Memory is the limit, so there is
 * no panel: 64 bytes of each of 16 rows of W are transposed in registers and added to 16 outputs side by side, one
 * dword of x after the other, as a tile does it.
 *
 * Every cache line is touched once, as rows a power of two apart would push each other out of the first-level cache.
 * The block that comes next is asked for in the order of its addresses, which memory serves fastest.
 */
#ifndef MN_KERNELS_MATMUL_ROW_AVX512_H
#define MN_KERNELS_MATMUL_ROW_AVX512_H

#include "kernels/matmul_f32.h"
#include "kernels/matmul_panel_avx512.h"

enum { MN_ROW_STEP_BYTES = 64, MN_ROW_BLOCK_BYTES = 8192 /* 16 rows of it and of the next block: a quarter of L2 */ };

/* 16 dwords from min(n_bytes, 64) bytes at p, the rest zero. */
typedef __m512i mn_row_load_fn(const char *p, int64_t n_bytes);
/* sum + w . x, for one dword of x */
typedef __m512 mn_row_dot_fn(__m512 sum, __m512i w, const char *x);

/* Lane o of v[k] becomes lane k of v[o]. */
MN_ALWAYS_INLINE void mn_transpose_16(__m512i v[16]) {
    __m512i u[16];
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {
        __m512i low01 = _mm512_unpacklo_epi32(v[i], v[i + 1]), high01 = _mm512_unpackhi_epi32(v[i], v[i + 1]);
        __m512i low23 = _mm512_unpacklo_epi32(v[i + 2], v[i + 3]), high23 = _mm512_unpackhi_epi32(v[i + 2], v[i + 3]);
        u[i] = _mm512_unpacklo_epi64(low01, low23);
        u[i + 1] = _mm512_unpackhi_epi64(low01, low23);
        u[i + 2] = _mm512_unpacklo_epi64(high01, high23);
        u[i + 3] = _mm512_unpackhi_epi64(high01, high23);
    }
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        __m512i even01 = _mm512_shuffle_i32x4(u[j], u[j + 4], 0x88), odd01 = _mm512_shuffle_i32x4(u[j], u[j + 4], 0xdd);
        __m512i even23 = _mm512_shuffle_i32x4(u[j + 8], u[j + 12], 0x88);
        __m512i odd23 = _mm512_shuffle_i32x4(u[j + 8], u[j + 12], 0xdd);
        v[j] = _mm512_shuffle_i32x4(even01, even23, 0x88);
        v[j + 4] = _mm512_shuffle_i32x4(odd01, odd23, 0x88);
        v[j + 8] = _mm512_shuffle_i32x4(even01, even23, 0xdd);
        v[j + 12] = _mm512_shuffle_i32x4(odd01, odd23, 0xdd);
    }
}

/* Asks for 16 lines of 16 rows of `n_steps` lines each, the step-th such part. */
MN_ALWAYS_INLINE void mn_prefetch_in_order(const char *next, size_t stride, int64_t step, int64_t n_steps) {
    uintptr_t at = (uintptr_t)next + (uintptr_t)(16 * step / n_steps) * stride + (uintptr_t)(16 * step % n_steps * 64);
#pragma GCC unroll 16
    for (int line = 0; line < 16; line++) _mm_prefetch((const char *)(at + (uintptr_t)line * 64), _MM_HINT_T1);
}

/* sum + rows . x over n_bytes of each of 16 rows; every step of 64 bytes asks for as much of what comes next. */
MN_ALWAYS_INLINE __m512 mn_row_block(mn_row_load_fn *load, mn_row_dot_fn *dot, const char *const rows[16],
                                     const char *x, int64_t n_bytes, const char *next, size_t stride, __m512 sum) {
    int64_t n_steps = (n_bytes + MN_ROW_STEP_BYTES - 1) / MN_ROW_STEP_BYTES;
    for (int64_t step = 0; step < n_steps; step++) {
        int64_t at = step * MN_ROW_STEP_BYTES, left = n_bytes - at;
        __m512i v[16];
        mn_prefetch_in_order(next, stride, step, n_steps);
#pragma GCC unroll 16
        for (int o = 0; o < 16; o++) v[o] = load(rows[o] + at, left);
        mn_transpose_16(v);
        if (left >= MN_ROW_STEP_BYTES) {
#pragma GCC unroll 16
            for (int k = 0; k < 16; k++) sum = dot(sum, v[k], x + at + 4 * k);
        } else {
            for (int k = 0; 4 * k < left; k++) sum = dot(sum, v[k], x + at + 4 * k);
        }
    }
    return sum;
}

/* The `row` of a path; x holds as many bytes as a row of W, rounded up to dwords. */
MN_ALWAYS_INLINE void mn_row_by_dwords(mn_row_load_fn *load, mn_row_dot_fn *dot, const mn_matmul_part *part,
                                       const char *x, float *out) {
    size_t stride = mn_tensor_row_bytes(part->w);
    for (int half = 0; half * MN_HALF_OUTPUTS < part->n_outputs; half++) {
        const char *rows[MN_HALF_OUTPUTS];
        for (int o = 0; o < MN_HALF_OUTPUTS; o++) rows[o] = mn_matmul_row(part, half * MN_HALF_OUTPUTS + o);
        const char *next_group = rows[0] + MN_HALF_OUTPUTS * stride;
        __m512 sum = _mm512_setzero_ps();
        for (int64_t at = 0, left = (int64_t)stride; left > 0; at += MN_ROW_BLOCK_BYTES, left -= MN_ROW_BLOCK_BYTES) {
            int64_t n_bytes = left < MN_ROW_BLOCK_BYTES ? left : MN_ROW_BLOCK_BYTES;
            const char *next = left > MN_ROW_BLOCK_BYTES ? rows[0] + MN_ROW_BLOCK_BYTES : next_group;
            sum = mn_row_block(load, dot, rows, x + at, n_bytes, next, stride, sum);
            for (int o = 0; o < MN_HALF_OUTPUTS; o++) rows[o] += n_bytes;
        }
        _mm512_mask_storeu_ps(out + half * MN_HALF_OUTPUTS, mn_half_mask(part->n_outputs, half), sum);
    }
}

#endif
