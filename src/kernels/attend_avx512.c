/* Attention tiles in AVX-512 f32, and decode directly from the KV cache. */
#include "kernels/attend_avx512.h"

MN_INLINE __m512 scaled_bytes(__m128i bytes, const char *block) {
    uint16_t half;
    memcpy(&half, block, sizeof half);
    __m512 scale = _mm512_broadcastss_ps(_mm_cvtph_ps(_mm_cvtsi32_si128(half)));
    return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)), scale);
}

/* Elements [16 i, 16 i + 16) of a row. */
MN_INLINE __m512 load_elements(mn_dtype type, const char *row, int i) {
    switch (type) {
    case MN_F16: return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i_u *)(row + 32 * i)));
    case MN_BF16:
        return (__m512)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i_u *)(row + 32 * i))),
                                         16);
    case MN_Q8_0: {
        const char *block = row + 34 * (i / 2);
        return scaled_bytes(_mm_loadu_si128((const __m128i_u *)(block + 2 + i % 2 * 16)), block);
    }
    case MN_Q4_0: {
        const char *block = row + 18 * (i / 2);
        __m128i nibbles = _mm_srli_epi16(_mm_loadu_si128((const __m128i_u *)(block + 2)), i % 2 * 4);
        return scaled_bytes(_mm_sub_epi8(_mm_and_si128(nibbles, _mm_set1_epi8(15)), _mm_set1_epi8(8)), block);
    }
    default: return _mm512_loadu_ps(row + 64 * i);
    }
}

/* Bytes of 16 elements of a row. */
MN_INLINE int bytes_of_16(mn_dtype type) {
    switch (type) {
    case MN_F16:
    case MN_BF16: return 32;
    case MN_Q8_0: return 17;
    case MN_Q4_0: return 9;
    default: return 64;
    }
}

/* [sum a, sum b, sum c, sum d] within each 128-bit lane. */
MN_INLINE __m512 sum_in_lanes(__m512 a, __m512 b, __m512 c, __m512 d) {
    __m512d ab = (__m512d)_mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    __m512d cd = (__m512d)_mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    return _mm512_add_ps((__m512)_mm512_unpacklo_pd(ab, cd), (__m512)_mm512_unpackhi_pd(ab, cd));
}

/* Sums the 128-bit lanes of each: [a, b, c, d]. */
MN_INLINE __m512 sum_lanes(__m512 a, __m512 b, __m512 c, __m512 d) {
    __m512 ab = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
    __m512 cd = _mm512_add_ps(_mm512_shuffle_f32x4(c, d, 0x88), _mm512_shuffle_f32x4(c, d, 0xdd));
    return _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xdd));
}

static inline size_t q_row_floats(int k_dim) { return mn_direct_q_bytes(k_dim) / sizeof(float); }

/* Products of n_rows queries with 4 keys, summed within 128-bit lanes. Asks for as many keys ahead, a little at every
 * step: requests that come in bursts wait for each other while nothing is computed. */
MN_INLINE void score_quad(__m512 *sums_in_lanes, mn_dtype type, const float *q, const mn_cached_rows *k, int first,
                          int n_rows, int k_dim) {
    const char *keys = k->rows + (size_t)first * k->row_bytes, *ahead = k->ahead + (size_t)first * k->row_bytes;
    __m512 sums[BLOCK_ROWS][4];
#pragma GCC unroll 4
    for (int r = 0; r < n_rows; r++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) sums[r][j] = _mm512_setzero_ps();
    for (int i = 0; i < k_dim / 16; i++, ahead += 4 * bytes_of_16(type)) {
        fetch_bytes(ahead, 4 * bytes_of_16(type));
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            __m512 x = load_elements(type, keys + (size_t)j * k->row_bytes, i);
#pragma GCC unroll 4
            for (int r = 0; r < n_rows; r++)
                sums[r][j] =
                    _mm512_fmadd_ps(x, _mm512_load_ps(q + (size_t)r * q_row_floats(k_dim) + 16 * i), sums[r][j]);
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < n_rows; r++) sums_in_lanes[r] = sum_in_lanes(sums[r][0], sums[r][1], sums[r][2], sums[r][3]);
}

/* Scores of 16 keys. Of a tile that ends early the remaining rows are read, and their scores mean nothing. */
MN_INLINE void score_keys(float *s, mn_dtype type, const float *q, const mn_cached_rows *k, int first, float factor,
                          int n_rows, int k_dim) {
    __m512 quads[4][BLOCK_ROWS];
#pragma GCC unroll 4
    for (int quad = 0; quad < 4; quad++) score_quad(quads[quad], type, q, k, first + 4 * quad, n_rows, k_dim);
#pragma GCC unroll 4
    for (int r = 0; r < n_rows; r++) {
        __m512 sum = sum_lanes(quads[0][r], quads[1][r], quads[2][r], quads[3][r]);
        _mm512_store_ps(s + r * MN_TILE_KEYS + first, _mm512_mul_ps(sum, _mm512_set1_ps(factor)));
    }
}

MN_INLINE void score_rows(float *s, mn_dtype type, const float *q, const mn_cached_rows *k, float factor, int n_rows,
                          int k_dim) {
    for (int first = 0; first < k->n_keys; first += 16) switch (n_rows) {
        case 1: score_keys(s, type, q, k, first, factor, 1, k_dim); break;
        case 2: score_keys(s, type, q, k, first, factor, 2, k_dim); break;
        case 3: score_keys(s, type, q, k, first, factor, 3, k_dim); break;
        default: score_keys(s, type, q, k, first, factor, 4, k_dim); break;
        }
}

static void direct_scores(float *s, const void *packed, const mn_cached_rows *k, float factor, int n_rows, int k_dim) {
    const float *q = packed;
    size_t block_floats = BLOCK_ROWS * q_row_floats(k_dim);
    touch_ahead(k);
    pull_tile(k);
    for (int r = 0; r < n_rows; r += BLOCK_ROWS, s += BLOCK_ROWS * MN_TILE_KEYS, q += block_floats) {
        int n = n_rows - r < BLOCK_ROWS ? n_rows - r : BLOCK_ROWS;
        switch (k->type) {
        case MN_F16: score_rows(s, MN_F16, q, k, factor, n, k_dim); break;
        case MN_BF16: score_rows(s, MN_BF16, q, k, factor, n, k_dim); break;
        case MN_Q8_0: score_rows(s, MN_Q8_0, q, k, factor, n, k_dim); break;
        case MN_Q4_0: score_rows(s, MN_Q4_0, q, k, factor, n, k_dim); break;
        default: score_rows(s, MN_F32, q, k, factor, n, k_dim); break;
        }
    }
}

/* o[r, 16 i ...] += sum_j p[r, j] v[j, 16 i ...] over n_vectors vectors */
MN_INLINE void add_values(float *o, mn_dtype type, const float *p, const mn_cached_rows *v, int i, int n_rows,
                          int n_vectors, int v_dim) {
    __m512 sums[BLOCK_ROWS][4];
    for (int r = 0; r < n_rows; r++)
        for (int w = 0; w < n_vectors; w++) sums[r][w] = _mm512_setzero_ps();
    const char *row = v->rows;
    for (int j = 0; j < v->n_keys; j++, row += v->row_bytes) {
        if (i == 0) fetch_ahead(v, j, 1);
#pragma GCC unroll 4
        for (int w = 0; w < n_vectors; w++) {
            __m512 x = load_elements(type, row, i + w);
#pragma GCC unroll 4
            for (int r = 0; r < n_rows; r++)
                sums[r][w] = _mm512_fmadd_ps(_mm512_set1_ps(p[r * MN_TILE_KEYS + j]), x, sums[r][w]);
        }
    }
    for (int r = 0; r < n_rows; r++)
        for (int w = 0; w < n_vectors; w++) {
            float *cell = o + r * v_dim + 16 * (i + w);
            _mm512_store_ps(cell, _mm512_add_ps(_mm512_load_ps(cell), sums[r][w]));
        }
}

MN_INLINE void add_rows(float *o, mn_dtype type, const float *p, const mn_cached_rows *v, int n_rows, int v_dim) {
    int i = 0;
    for (; i + 4 <= v_dim / 16; i += 4) add_values(o, type, p, v, i, n_rows, 4, v_dim);
    for (; i < v_dim / 16; i++) add_values(o, type, p, v, i, n_rows, 1, v_dim);
}

MN_INLINE void add_type(float *o, mn_dtype type, const float *p, const mn_cached_rows *v, int n_rows, int v_dim) {
    switch (n_rows) {
    case 1: add_rows(o, type, p, v, 1, v_dim); break;
    case 2: add_rows(o, type, p, v, 2, v_dim); break;
    case 3: add_rows(o, type, p, v, 3, v_dim); break;
    default: add_rows(o, type, p, v, 4, v_dim); break;
    }
}

static void direct_absorb(mn_softmax_rows rows, float *s, const mn_cached_rows *v, int n_rows, int v_dim) {
    touch_ahead(v);
    pull_tile(v);
    weigh_rows(rows, s, n_rows, v_dim);
    for (int r = 0; r < n_rows; r += BLOCK_ROWS) {
        int n = n_rows - r < BLOCK_ROWS ? n_rows - r : BLOCK_ROWS;
        float *o = rows.o + r * v_dim;
        const float *p = s + r * MN_TILE_KEYS;
        switch (v->type) {
        case MN_F16: add_type(o, MN_F16, p, v, n, v_dim); break;
        case MN_BF16: add_type(o, MN_BF16, p, v, n, v_dim); break;
        case MN_Q8_0: add_type(o, MN_Q8_0, p, v, n, v_dim); break;
        case MN_Q4_0: add_type(o, MN_Q4_0, p, v, n, v_dim); break;
        default: add_type(o, MN_F32, p, v, n, v_dim); break;
        }
    }
}

void mn_attend_init_avx512(mn_attend_kernels *table) {
    use_f32(table);
    const mn_direct_ops direct = {MAX_DIRECT_ROWS, pack_q_f32, direct_scores, direct_absorb, NULL};
    table->direct[MN_F32] = table->direct[MN_F16] = table->direct[MN_BF16] = direct;
    table->direct[MN_Q8_0] = table->direct[MN_Q4_0] = direct;
}
