/* KV entries of every type as bf16, and as pairs of bf16: what vdpbf16ps and tdpbf16ps take alike. */
#ifndef MN_KERNELS_ATTEND_BF16_H
#define MN_KERNELS_ATTEND_BF16_H

#include "kernels/attend_avx512.h"

static inline __m512i round_pair(__m512 low, __m512 high) { return (__m512i)_mm512_cvtne2ps_pbh(high, low); }

static inline __m512 scaled_bytes(__m128i bytes, __m512 scale) {
    return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)), scale);
}

static inline __m512 block_scale(const char *block) {
    uint16_t half;
    memcpy(&half, block, sizeof half);
    return _mm512_broadcastss_ps(_mm_cvtph_ps(_mm_cvtsi32_si128(half)));
}

/* Dims [32 i, 32 i + 32) of a row as bf16; those that mask leaves out become zeros. Quantised rows are zero there. */
MN_INLINE __m512i load_bf16(mn_dtype type, const char *row, int i, __mmask32 mask) {
    switch (type) {
    case MN_BF16: return _mm512_maskz_loadu_epi16(mask, row + 64 * i);
    case MN_F16: {
        __m512i halves = _mm512_maskz_loadu_epi16(mask, row + 64 * i);
        return round_pair(_mm512_cvtph_ps(_mm512_castsi512_si256(halves)),
                          _mm512_cvtph_ps(_mm512_extracti64x4_epi64(halves, 1)));
    }
    case MN_Q8_0: {
        const char *block = row + 34 * i;
        __m512 scale = block_scale(block);
        return round_pair(scaled_bytes(_mm_loadu_si128((const __m128i_u *)(block + 2)), scale),
                          scaled_bytes(_mm_loadu_si128((const __m128i_u *)(block + 18)), scale));
    }
    case MN_Q4_0: {
        const char *block = row + 18 * i;
        __m512 scale = block_scale(block);
        __m128i packed = _mm_loadu_si128((const __m128i_u *)(block + 2)), low = _mm_set1_epi8(15),
                eight = _mm_set1_epi8(8);
        return round_pair(scaled_bytes(_mm_sub_epi8(_mm_and_si128(packed, low), eight), scale),
                          scaled_bytes(_mm_sub_epi8(_mm_and_si128(_mm_srli_epi16(packed, 4), low), eight), scale));
    }
    default:
        return round_pair(_mm512_maskz_loadu_ps((__mmask16)mask, row + 128 * i),
                          _mm512_maskz_loadu_ps((__mmask16)(mask >> 16), row + 128 * i + 64));
    }
}

/* pack(out, type, rows, ...) compiled for each type of rows. */
#define FOR_CACHED_TYPE(pack, out, rows, ...)                                                                          \
    switch ((rows)->type) {                                                                                            \
    case MN_F16: pack(out, MN_F16, rows, __VA_ARGS__); break;                                                          \
    case MN_BF16: pack(out, MN_BF16, rows, __VA_ARGS__); break;                                                        \
    case MN_Q8_0: pack(out, MN_Q8_0, rows, __VA_ARGS__); break;                                                        \
    case MN_Q4_0: pack(out, MN_Q4_0, rows, __VA_ARGS__); break;                                                        \
    default: pack(out, MN_F32, rows, __VA_ARGS__); break;                                                              \
    }

static inline __mmask32 dims_mask(int dim, int i) {
    int n = dim - 32 * i;
    return n >= 32 ? ~(__mmask32)0 : ((__mmask32)1 << n) - 1;
}

/* One block of 16 keys and 32 dims; pad stores only the pairs that exist. */
MN_INLINE void pack_k_block(char *out, mn_dtype type, const char *rows, size_t row_bytes, int n_keys, int k_dim,
                            int k_pad, int i) {
    __m512i x[16];
    __mmask32 mask = dims_mask(k_dim, i);
    for (int j = 0; j < 16; j++)
        x[j] = j < n_keys ? load_bf16(type, rows + (size_t)j * row_bytes, i, mask) : _mm512_setzero_si512();
    transpose(x);
    int n_pairs = k_pad - 32 * i >= 32 ? 16 : 8;
    for (int p = 0; p < n_pairs; p++) _mm512_store_si512(out + (size_t)(16 * i + p) * MN_TILE_KEYS * 4, x[p]);
}

MN_INLINE void pack_k_type(char *out, mn_dtype type, const mn_cached_rows *k, int k_dim, int k_pad) {
    const char *rows = k->rows;
    for (int j = 0; j < MN_TILE_KEYS; j += 16, rows += 16 * k->row_bytes, out += 64) {
        fetch_ahead(k, j, 16);
        for (int i = 0; 32 * i < k_dim; i++) {
            if (j + 16 <= k->n_keys)
                pack_k_block(out, type, rows, k->row_bytes, 16, k_dim, k_pad, i);
            else
                pack_k_block(out, type, rows, k->row_bytes, k->n_keys - j, k_dim, k_pad, i);
        }
    }
}

/* Dims [32 i, 32 i + 32) of keys a and b interleaved to pairs. */
MN_INLINE void pack_v_pair(char *out, __m512i a, __m512i b, int n_pairs) {
    const __m512i first = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39, 7, 38, 6,
                                           37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
    _mm512_store_si512(out, _mm512_permutex2var_epi16(a, first, b));
    if (n_pairs <= 16) return;
    _mm512_store_si512(out + 64, _mm512_permutex2var_epi16(a, _mm512_add_epi16(first, _mm512_set1_epi16(16)), b));
}

#endif
