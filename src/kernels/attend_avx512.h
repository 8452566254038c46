/* What the AVX-512 attention files share: the vector of attend_f32.h, and prefetching of KV entries. */
#ifndef MN_KERNELS_ATTEND_AVX512_H
#define MN_KERNELS_ATTEND_AVX512_H

#define MN_LANES 16
#define MN_PANEL_VECTORS 4
#define MN_FAST_ROWS
#include "kernels/rows_avx2.h"
#include "kernels/transpose_avx2.h"
#include "kernels/attend_f32.h"

#include <immintrin.h>

static inline mn_vf mn_vf_fma(mn_vf a, mn_vf b, mn_vf c) { return _mm512_fmadd_ps(a, b, c); }
static inline mn_vf mn_vf_max(mn_vf a, mn_vf b) { return _mm512_max_ps(a, b); }
static inline mn_vf mn_vf_exp2(mn_vf x) {
    /* the fraction of -inf is 0, and scaling by 2^-inf gives 0 */
    mn_vf fraction = _mm512_reduce_ps(x, _MM_FROUND_TO_NEAREST_INT);
    return _mm512_scalef_ps(exp2_fraction(fraction), _mm512_sub_ps(x, fraction));
}

/* Scores to weights, as weigh_f32; the maximum is looked for only in rows that pass the threshold. */
__attribute__((unused)) static void weigh_rows(mn_softmax_rows rows, float *s, int n_rows, int v_pad) {
    for (int r = 0; r < n_rows; r++, s += MN_TILE_KEYS) {
        __m512 x[4];
        for (int i = 0; i < 4; i++) x[i] = _mm512_load_ps(s + 16 * i);
        __m512 top = _mm512_max_ps(_mm512_max_ps(x[0], x[1]), _mm512_max_ps(x[2], x[3]));
        if (_mm512_cmp_ps_mask(top, _mm512_set1_ps(rows.m[r] + MN_RESCALE_THRESHOLD), _CMP_GT_OQ))
            raise_max(&rows.m[r], &rows.l[r], rows.o + (size_t)r * (size_t)v_pad, _mm512_reduce_max_ps(top), v_pad);
        __m512 shift = _mm512_set1_ps(rows.m[r] == -INFINITY ? 0 : rows.m[r]);
        for (int i = 0; i < 4; i++) {
            x[i] = mn_vf_exp2(_mm512_sub_ps(x[i], shift));
            _mm512_store_ps(s + 16 * i, x[i]);
        }
        rows.l[r] += _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(x[0], x[1]), _mm512_add_ps(x[2], x[3])));
    }
}

/* 2^x = 2^floor(x) (1 + c1 f + c2 f^2 + c3 f^3), f = x - floor(x): FlashAttention-4's cubic, 9e-5, which rounding the
 * weights to bf16 (2e-3) hides. */
MN_INLINE __m512 exp2_cubic(__m512 x) {
    __m512 f = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF);
    __m512 p = _mm512_set1_ps(0.077119089663028717f);
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.22756439447402943f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.69514614343643188f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(p, x);
}

/* Query rows at a time of those computed straight from the cache, and the most in all: above, the products of what is
 * packed are so much faster that packing pays. */
enum {
    BLOCK_ROWS = 4,
    MAX_DIRECT_ROWS = 24,
    MAX_DIRECT_ROWS_BF16 = 16,
    MAX_DIRECT_ROWS_BYTES = 8,
    MAX_DIRECT_ROWS_AMX = 8
};

/* Asks for what will be read soon; into the second-level cache, where more reads can be under way. */
MN_INLINE void fetch_bytes(const char *begin, int n) {
    for (int i = 0; i < n; i += 64) _mm_prefetch(begin + i, _MM_HINT_T1);
}

/* Asks for keys [first, first + n) of the tile ahead. */
MN_INLINE void fetch_ahead(const mn_cached_rows *x, int first, int n) {
    fetch_bytes(x->ahead + (size_t)first * x->row_bytes, n * (int)x->row_bytes);
}

/* Asks for one line of each page of the tile ahead, all at once: looking up where pages lie takes as long as reading,
 * and is done side by side so. */
MN_INLINE void touch_ahead(const mn_cached_rows *x) {
    enum { PAGE = 4096 }; /* a virtual machine's large pages may be such to its host */
    const char *end = x->ahead + MN_TILE_KEYS * x->row_bytes;
    for (const char *p = x->ahead; p < end; p += PAGE - (uintptr_t)p % PAGE) _mm_prefetch(p, _MM_HINT_T1);
}

/* Brings a tile to the first-level cache. Requests for the second level are dropped while its queue is full, and what
 * is missing then is missed here, all at once. */
MN_INLINE void pull_tile(const mn_cached_rows *x) {
    const char *end = x->rows + (size_t)x->n_keys * x->row_bytes;
    for (const char *line = x->rows; line < end; line += 64) _mm_prefetch(line, _MM_HINT_T0);
}

/* 16 x 16 dwords, rows to columns: pairs, then quads, then the 128-bit lanes twice. */
MN_INLINE void transpose(__m512i x[16]) {
    __m512i t[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
    }
    for (int i = 0; i < 16; i += 4)
        for (int j = 0; j < 2; j++) {
            x[i + 2 * j] = _mm512_unpacklo_epi64(t[i + j], t[i + j + 2]);
            x[i + 2 * j + 1] = _mm512_unpackhi_epi64(t[i + j], t[i + j + 2]);
        }
    for (int i = 0; i < 4; i++)
        for (int half = 0; half < 16; half += 8) {
            t[half + i] = _mm512_shuffle_i32x4(x[half + i], x[half + 4 + i], 0x88);
            t[half + 4 + i] = _mm512_shuffle_i32x4(x[half + i], x[half + 4 + i], 0xdd);
        }
    for (int i = 0; i < 4; i++)
        for (int odd = 0; odd < 2; odd++) {
            x[4 * odd + i] = _mm512_shuffle_i32x4(t[4 * odd + i], t[8 + 4 * odd + i], 0x88);
            x[4 * odd + 8 + i] = _mm512_shuffle_i32x4(t[4 * odd + i], t[8 + 4 * odd + i], 0xdd);
        }
}

#endif
