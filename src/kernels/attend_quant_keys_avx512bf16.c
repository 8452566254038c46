/* Scores from q8_0 and q4_0 keys as they are cached. A query has a scale d for each block; with the key's own scale e a
 * block gives d e times the integer sum of attend_quant_avx512.h. */
#include "kernels/attend_quant_avx512.h"

/* 64 dims of a query. Of an odd last block the other half is zeros. */
typedef struct query_pair {
    int8_t high[64], low[64];
    float d[2];
    int32_t offset_sum[2]; /* offset * sum (256 h + l) */
} __attribute__((aligned(64))) query_pair;

_Static_assert(sizeof(query_pair) <= 64 * sizeof(float), "mn_direct_q_bytes holds a pair");

static inline const query_pair *skip_bytes(const query_pair *q, size_t bytes) {
    return (const void *)((const char *)q + bytes);
}

static void pack_block(query_pair *pair, int b, __m512 x0, __m512 x1, int offset) {
    float top = reduce_size(larger_size(larger_size(_mm512_setzero_si512(), x0), x1));
    __m512 inverse = _mm512_set1_ps(scale_to_bytes(top));
    __m512i q[2] = {_mm512_cvtps_epi32(_mm512_mul_ps(x0, inverse)), _mm512_cvtps_epi32(_mm512_mul_ps(x1, inverse))};
    for (int i = 0; i < 2; i++) {
        __m512i high = _mm512_srai_epi32(_mm512_add_epi32(q[i], _mm512_set1_epi32(MN_QUANT_HALF)), 8);
        _mm_store_si128((__m128i *)(void *)(pair->high + 32 * b + 16 * i), _mm512_cvtepi32_epi8(high));
        _mm_store_si128((__m128i *)(void *)(pair->low + 32 * b + 16 * i), _mm512_cvtepi32_epi8(q[i]));
    }
    pair->d[b] = top / MN_QUANT_TOP;
    /* a NaN's integers mean nothing, and may overflow */
    pair->offset_sum[b] = (int32_t)((uint32_t)offset * (uint32_t)_mm512_reduce_add_epi32(_mm512_add_epi32(q[0], q[1])));
}

static void pack_query(void *packed, const float *q, int k_dim, int offset) {
    query_pair *pair = packed;
    for (int i = 0; i < k_dim; i += 64, pair++) {
        *pair = (query_pair){.d = {0}};
        for (int b = 0; b < 2 && i + 32 * b < k_dim; b++) {
            const float *x = q + i + 32 * b;
            bool both = k_dim - i - 32 * b > 16;
            pack_block(pair, b, _mm512_loadu_ps(x), both ? _mm512_loadu_ps(x + 16) : _mm512_setzero_ps(), offset);
        }
    }
}

void mn_attend_pack_q_q8_0(void *packed, const float *q, int k_dim) {
    pack_query(packed, q, k_dim, block_offset(MN_Q8_0));
}

void mn_attend_pack_q_q4_0(void *packed, const float *q, int k_dim) {
    pack_query(packed, q, k_dim, block_offset(MN_Q4_0));
}

/* 16 bytes of each of 16 keys, transposed: x[i] holds bytes 4 i .. 4 i + 3 of every key. Loading brings the keys to
 * their 128-bit lanes. */
MN_INLINE void load_turned(__m512i x[4], const char *bytes, size_t row_bytes) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++, bytes += row_bytes) {
        const __m128i_u *at = (const void *)bytes;
        x[i] = _mm512_castsi128_si512(_mm_loadu_si128(at));
        at = (const void *)(bytes + 4 * row_bytes);
        x[i] = _mm512_mask_broadcast_i32x4(x[i], 0x00f0, _mm_loadu_si128(at));
        at = (const void *)(bytes + 8 * row_bytes);
        x[i] = _mm512_mask_broadcast_i32x4(x[i], 0x0f00, _mm_loadu_si128(at));
        at = (const void *)(bytes + 12 * row_bytes);
        x[i] = _mm512_mask_broadcast_i32x4(x[i], 0xf000, _mm_loadu_si128(at));
    }
    __m512i a = _mm512_unpacklo_epi32(x[0], x[1]), b = _mm512_unpackhi_epi32(x[0], x[1]);
    __m512i c = _mm512_unpacklo_epi32(x[2], x[3]), d = _mm512_unpackhi_epi32(x[2], x[3]);
    x[0] = _mm512_unpacklo_epi64(a, c);
    x[1] = _mm512_unpackhi_epi64(a, c);
    x[2] = _mm512_unpacklo_epi64(b, d);
    x[3] = _mm512_unpackhi_epi64(b, d);
}

/* The bytes of one or two blocks of 16 keys; keys[i]: dims 4 i .. 4 i + 3 of each. Nibbles are transposed before they
 * become bytes, which halves the work; bytes of a pair are transposed together. */
MN_INLINE void load_keys(lanes keys[16], mn_dtype type, const char *blocks, size_t row_bytes, int n_blocks) {
    if (type == MN_Q8_0) {
#pragma GCC unroll 16
        for (int j = 0; j < 16; j++, blocks += row_bytes) keys[j] = (lanes)load_blocks(type, blocks, n_blocks);
        transpose((__m512i *)keys);
        return;
    }
#pragma GCC unroll 2
    for (int b = 0; b < n_blocks; b++, blocks += block_bytes(type)) {
        const __m512i nibble = _mm512_set1_epi8(15);
        __m512i x[4];
        load_turned(x, blocks + 2, row_bytes);
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            keys[8 * b + i] = (lanes)_mm512_and_si512(x[i], nibble);
            keys[8 * b + 4 + i] = (lanes)_mm512_and_si512(_mm512_srli_epi16(x[i], 4), nibble);
        }
    }
}

/* Products of block b of a query with 16 keys. */
MN_INLINE lanes dot_block(const query_pair *q, int b, const lanes *keys) {
    lanes high = {0}, low = {0};
#pragma GCC unroll 8
    for (int i = 8 * b; i < 8 * b + 8; i++) {
        int32_t four[2];
        memcpy(&four[0], q->high + 4 * i, 4);
        memcpy(&four[1], q->low + 4 * i, 4);
        high = add_dot(high, (__m512i)keys[i], _mm512_set1_epi32(four[0]));
        low = add_dot(low, (__m512i)keys[i], _mm512_set1_epi32(four[1]));
    }
    return (high << 8) + low - q->offset_sum[b];
}

/* Scores of 16 keys over blocks 2 i and 2 i + 1, added to s when i > 0. Of a tile that ends early the remaining rows
 * are read, and their scores mean nothing. */
MN_INLINE void score_keys(float *s, mn_dtype type, const query_pair *q, size_t q_bytes, const mn_cached_rows *k,
                          int first, int i, int n_blocks, float factor, int n_rows) {
    lanes keys[16];
    __m512 scales[2];
    fetch_blocks(k, type, first, 16, 2 * i, n_blocks);
#pragma GCC unroll 2
    for (int b = 0; b < n_blocks; b++)
        scales[b] = _mm512_mul_ps(load_scales(type, k, 2 * i + b, first), _mm512_set1_ps(factor));
    load_keys(keys, type, k->rows + (size_t)first * k->row_bytes + 2 * (size_t)i * block_bytes(type), k->row_bytes,
              n_blocks);
    for (int r = 0; r < n_rows; r++, q = skip_bytes(q, q_bytes), s += MN_TILE_KEYS) {
        __m512 sum = i == 0 ? _mm512_setzero_ps() : _mm512_load_ps(s + first);
#pragma GCC unroll 2
        for (int b = 0; b < n_blocks; b++) {
            __m512 scale = _mm512_mul_ps(scales[b], _mm512_set1_ps(q->d[b]));
            sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps((__m512i)dot_block(q, b, keys)), scale, sum);
        }
        _mm512_store_ps(s + first, sum);
    }
}

MN_INLINE void score_pair(float *s, mn_dtype type, const query_pair *q, size_t q_bytes, const mn_cached_rows *k, int i,
                          int n_blocks, float factor, int n_rows) {
    for (int first = 0; first < k->n_keys; first += 16)
        score_keys(s, type, q, q_bytes, k, first, i, n_blocks, factor, n_rows);
}

MN_INLINE void score_rows(float *s, mn_dtype type, const query_pair *q, const mn_cached_rows *k, float factor,
                          int n_rows, int k_dim) {
    size_t q_bytes = mn_direct_q_bytes(k_dim);
    touch_ahead(k);
    pull_tile(k);
    for (int i = 0; 64 * i < k_dim; i++, q++) {
        if (k_dim - 64 * i > 32)
            score_pair(s, type, q, q_bytes, k, i, 2, factor, n_rows);
        else
            score_pair(s, type, q, q_bytes, k, i, 1, factor, n_rows);
    }
}

void mn_attend_scores_q8_0(float *s, const void *q, const mn_cached_rows *k, float factor, int n_rows, int k_dim) {
    score_rows(s, MN_Q8_0, q, k, factor, n_rows, k_dim);
}

void mn_attend_scores_q4_0(float *s, const void *q, const mn_cached_rows *k, float factor, int n_rows, int k_dim) {
    score_rows(s, MN_Q4_0, q, k, factor, n_rows, k_dim);
}
