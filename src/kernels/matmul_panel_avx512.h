/* Panels of 32 outputs for 512-bit levels: vector [dword k][half h] holds, for each of 16 outputs, the k-th four bytes
 * of its row: one f32, two bf16 or four quantised weights.
 */
#ifndef MN_KERNELS_MATMUL_PANEL_AVX512_H
#define MN_KERNELS_MATMUL_PANEL_AVX512_H

#include "kernels/matmul.h"

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

enum { MN_PANEL_OUTPUTS = 32, MN_HALF_OUTPUTS = 16 };

#define MN_ALWAYS_INLINE static inline __attribute__((always_inline))

/* One dword column of the panel: both halves. */
typedef struct mn_panel_column {
    __m512i half[2];
} mn_panel_column;

/* Rows j, j + 4, j + 8, j + 12 of 16 bytes each, in one vector. */
MN_ALWAYS_INLINE __m512i mn_load_4_rows(const char *p, size_t stride) {
    __m512i v = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)p));
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(p + 4 * stride)), 1);
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(p + 8 * stride)), 2);
    return _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(p + 12 * stride)), 3);
}

/* Asks for the place in the next panel that corresponds to p, of rows [first, first + n): sixteen rows are more streams
 * than the processor's own prefetcher follows. Beyond the matrix it asks in vain. */
MN_ALWAYS_INLINE void mn_prefetch_next_panel(const char *p, size_t stride, int first, int n) {
    uintptr_t at = (uintptr_t)p + (uintptr_t)(MN_PANEL_OUTPUTS + first) * stride;
#pragma GCC unroll 16
    for (int r = 0; r < n; r++) _mm_prefetch((const char *)(at + (uintptr_t)r * stride), _MM_HINT_T1);
}

/* 16 bytes of each of 16 rows -> 4 vectors; lane o of vector k is the k-th dword of row o. */
MN_ALWAYS_INLINE void mn_load_dwords(const char *p, size_t stride, __m512i out[4]) {
    __m512i r0 = mn_load_4_rows(p, stride), r1 = mn_load_4_rows(p + stride, stride);
    __m512i r2 = mn_load_4_rows(p + 2 * stride, stride), r3 = mn_load_4_rows(p + 3 * stride, stride);
    __m512i low01 = _mm512_unpacklo_epi32(r0, r1), high01 = _mm512_unpackhi_epi32(r0, r1);
    __m512i low23 = _mm512_unpacklo_epi32(r2, r3), high23 = _mm512_unpackhi_epi32(r2, r3);
    out[0] = _mm512_unpacklo_epi64(low01, low23);
    out[1] = _mm512_unpackhi_epi64(low01, low23);
    out[2] = _mm512_unpacklo_epi64(high01, high23);
    out[3] = _mm512_unpackhi_epi64(high01, high23);
}

/* n_dwords (rounded up to 4) of 16 rows into one half of a panel. */
MN_ALWAYS_INLINE void mn_pack_dwords(const char *rows, size_t stride, int n_dwords, mn_panel_column *columns,
                                     int half) {
    for (int k = 0; k < n_dwords; k += 4) {
        __m512i v[4];
        mn_prefetch_next_panel(rows + 4 * (size_t)k, stride, k % 16, 4);
        mn_load_dwords(rows + 4 * (size_t)k, stride, v);
        for (int i = 0; i < 4; i++) columns[k + i].half[half] = v[i];
    }
}

/* The rows of a tile, three to a pointer: row r is at[r / 3] + r % 3 * stride, which one address can say. */
typedef struct mn_tile_rows {
    const char *at[4];
    size_t stride;
} mn_tile_rows;

MN_ALWAYS_INLINE mn_tile_rows mn_tile_rows_at(const char *x, size_t stride) {
    return (mn_tile_rows){{x, x + 3 * stride, x + 6 * stride, x + 9 * stride}, stride};
}

MN_ALWAYS_INLINE const char *mn_tile_row(const mn_tile_rows *rows, int r) {
    return rows->at[r / 3] + (size_t)(r % 3) * rows->stride;
}

/* Moves to the next inputs. Compilers would keep a pointer for each row and run out of registers; not knowing the
 * stride, they cannot. */
MN_ALWAYS_INLINE void mn_tile_advance(mn_tile_rows *rows, size_t bytes) {
#pragma GCC unroll 4
    for (int g = 0; g < 4; g++) rows->at[g] += bytes;
    __asm__("" : "+r"(rows->stride));
}

/* Moves to the sums of the rows after n. */
MN_ALWAYS_INLINE void mn_sums_advance(mn_matmul_sums *sums, int n) {
    sums->old += n * sums->old_stride;
    sums->out += n * sums->out_stride;
}

/* A row's sums of a panel to where they belong. */
MN_ALWAYS_INLINE void mn_store_sums(const mn_matmul_sums *sums, float *out, const __mmask16 mask[2], __m512 low,
                                    __m512 high) {
    if (sums->stream) {
        _mm512_stream_ps(out, low);
        _mm512_stream_ps(out + 16, high);
    } else {
        _mm512_mask_storeu_ps(out, mask[0], low);
        _mm512_mask_storeu_ps(out + 16, mask[1], high);
    }
}

/* `leave` of the paths that store by mn_store_sums. */
static inline void mn_sums_leave(void) { _mm_sfence(); }

/* Outputs [16 half, 16 half + 16) that exist, of n. */
MN_ALWAYS_INLINE __mmask16 mn_half_mask(int n_outputs, int half) {
    int n = n_outputs - half * MN_HALF_OUTPUTS;
    return n >= 16 ? 0xffff : n <= 0 ? 0 : (__mmask16)((1u << n) - 1);
}

#endif
