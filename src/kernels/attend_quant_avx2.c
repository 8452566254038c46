/* Decode from q8_0 and q4_0 rows as they are cached, in AVX2.
 *
 * Keys are dotted by vpmaddwd: a query is rounded to 16 bits, so that a block's sum is an integer and exact; eight
 * lanes of it are scaled by the block's scale and added up over the row in f32. Values are converted, and a weight
 * takes in the scale of its key's block first: o += (p e) x.
 */
#include "kernels/attend_ahead.h"
#include "kernels/attend_avx2.h"
#include "tensor/blocks.h"

enum { BLOCK_ROWS = 4 };

#define TOP 32512.0f /* four products with 127 are below 2^24: floats hold their sums */

MN_INLINE size_t block_bytes(mn_dtype type) { return type == MN_Q8_0 ? sizeof(mn_q8_0) : sizeof(mn_q4_0); }

/* A query: a scale, then words of whole blocks. */
typedef struct query {
    float scale;
    int16_t words[];
} query;

MN_INLINE const query *skip_queries(const query *q, int n, int k_dim) {
    return (const void *)((const char *)q + (size_t)n * mn_direct_q_bytes(k_dim));
}

/* The largest size of an element; a NaN is larger than all. */
static float find_top(const float *x, int n) {
    uint32_t top = 0;
    for (int i = 0; i < n; i++) {
        uint32_t size = mn_f32_bits(x[i]) & INT32_MAX;
        top = size > top ? size : top;
    }
    return mn_f32_from_bits(top);
}

/* The words of a NaN mean nothing, but the scale keeps it. */
static void pack_query(void *packed, const float *x, int k_dim) {
    query *q = packed;
    float top = find_top(x, k_dim);
    mn_vf inverse = splat(top > 1e-30f ? TOP / top : 0);
    q->scale = top / TOP;
    memset(q->words, 0, (size_t)(k_dim + 31) / 32 * 32 * sizeof *q->words);
    for (int i = 0; i < k_dim; i += 16) {
        __m256i low = _mm256_cvtps_epi32(load_any(x + i) * inverse),
                high = _mm256_cvtps_epi32(load_any(x + i + 8) * inverse);
        __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xd8);
        _mm256_storeu_si256((__m256i_u *)(q->words + i), words);
    }
}

/* The scales of a tile's keys, block by block; those of absent keys are zeros. */
typedef struct key_scales {
    float of[MN_ATTEND_MAX_DIM / MN_BLOCK][MN_TILE_KEYS] __attribute__((aligned(32)));
} key_scales;

/* Copied one by one, by integer units that have nothing else to do, so that vectors of keys can be converted at once.
 */
MN_INLINE void load_scales(key_scales *scales, mn_dtype type, const mn_cached_rows *rows, int n_blocks) {
    mn_half halves[MN_ATTEND_MAX_DIM / MN_BLOCK][MN_TILE_KEYS] __attribute__((aligned(32)));
    for (int b = 0; b < n_blocks; b++) {
        if (rows->n_keys < MN_TILE_KEYS) memset(halves[b], 0, sizeof halves[b]);
        const char *block = rows->rows + (size_t)b * block_bytes(type);
#pragma GCC unroll 8
        for (int j = 0; j < rows->n_keys; j++, block += rows->row_bytes)
            memcpy(&halves[b][j], block, sizeof halves[b][j]);
    }
    for (int b = 0; b < n_blocks; b++)
        for (int j = 0; j < MN_TILE_KEYS; j += 8)
            store(scales->of[b] + j, _mm256_cvtph_ps(_mm_load_si128((const __m128i *)(const void *)(halves[b] + j))));
}

/* 32 elements as words. */
MN_INLINE void load_words(__m256i words[2], mn_dtype type, const char *block) {
    __m128i bytes = _mm_loadu_si128((const __m128i_u *)(block + 2));
    if (type == MN_Q8_0) {
        words[0] = _mm256_cvtepi8_epi16(bytes);
        words[1] = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i_u *)(block + 18)));
    } else {
        const __m256i eight = _mm256_set1_epi16(8);
        __m256i both = _mm256_cvtepu8_epi16(bytes);
        words[0] = _mm256_sub_epi16(_mm256_and_si256(both, _mm256_set1_epi16(15)), eight);
        words[1] = _mm256_sub_epi16(_mm256_srli_epi16(both, 4), eight);
    }
}

/* sums[r][j]: lane by lane the product of query r with key j of n_keys, from key `first` of 8 on. */
MN_INLINE void dot_keys(mn_vf sums[BLOCK_ROWS][8], mn_dtype type, const query *q, const mn_cached_rows *k,
                        const key_scales *scales, int first, int n_rows, int n_keys, int k_dim) {
    const char *keys = k->rows + (size_t)first * k->row_bytes;
    size_t ahead = (size_t)first * k->row_bytes;
    mn_vf products[BLOCK_ROWS][8];
#pragma GCC unroll 8
    for (int r = 0; r < n_rows; r++)
#pragma GCC unroll 8
        for (int j = 0; j < n_keys; j++) products[r][j] = splat(0);
    for (int b = 0; 32 * b < k_dim; b++, keys += block_bytes(type), ahead += n_keys * block_bytes(type)) {
        mn_fetch_ahead(k, ahead, n_keys * block_bytes(type));
#pragma GCC unroll 8
        for (int j = 0; j < n_keys; j++) {
            __m256i x[2];
            load_words(x, type, keys + (size_t)j * k->row_bytes);
            mn_vf scale = splat(scales->of[b][first + j]);
#pragma GCC unroll 8
            for (int r = 0; r < n_rows; r++) {
                const __m256i_u *words = (const __m256i_u *)(skip_queries(q, r, k_dim)->words + 32 * b);
                __m256i sum = _mm256_add_epi32(_mm256_madd_epi16(x[0], words[0]), _mm256_madd_epi16(x[1], words[1]));
                products[r][j] = mn_vf_fma(_mm256_cvtepi32_ps(sum), scale, products[r][j]);
            }
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < n_rows; r++)
#pragma GCC unroll 8
        for (int j = 0; j < n_keys; j++) sums[r][first % 8 + j] = products[r][j];
}

/* Of a tile that ends early the remaining rows are read, and their scores mean nothing. */
MN_INLINE void score_rows(float *s, mn_dtype type, const query *q, const mn_cached_rows *k, const key_scales *scales,
                          float factor, int n_rows, int k_dim) {
    const int n_keys = n_rows == 1 ? 8 : n_rows == 2 ? 4 : 2;
    mn_vf sums[BLOCK_ROWS][8];
    for (int first = 0; first < k->n_keys; first += 8) {
        for (int j = 0; j < 8; j += n_keys) dot_keys(sums, type, q, k, scales, first + j, n_rows, n_keys, k_dim);
        for (int r = 0; r < n_rows; r++)
            store(s + r * MN_TILE_KEYS + first, splat(factor * skip_queries(q, r, k_dim)->scale) * sum_each(sums[r]));
    }
}

MN_INLINE void score_type(float *s, mn_dtype type, const query *q, const mn_cached_rows *k, float factor, int n_rows,
                          int k_dim) {
    key_scales scales;
    load_scales(&scales, type, k, (k_dim + 31) / 32);
    for (int r = 0; r < n_rows; r += BLOCK_ROWS, s += BLOCK_ROWS * MN_TILE_KEYS, q = skip_queries(q, BLOCK_ROWS, k_dim))
        switch (n_rows - r) {
        case 1: score_rows(s, type, q, k, &scales, factor, 1, k_dim); break;
        case 2: score_rows(s, type, q, k, &scales, factor, 2, k_dim); break;
        case 3: score_rows(s, type, q, k, &scales, factor, 3, k_dim); break;
        default: score_rows(s, type, q, k, &scales, factor, 4, k_dim); break;
        }
}

static void scores_q8_0(float *s, const void *q, const mn_cached_rows *k, float factor, int n_rows, int k_dim) {
    score_type(s, MN_Q8_0, q, k, factor, n_rows, k_dim);
}

static void scores_q4_0(float *s, const void *q, const mn_cached_rows *k, float factor, int n_rows, int k_dim) {
    score_type(s, MN_Q4_0, q, k, factor, n_rows, k_dim);
}

/* Elements [8 w, 8 w + 8) of a block, unscaled; of q4_0 in the order 0 1 2 3 8 9 10 11 (w even), 4 5 6 7 12 13 14 15 of
 * 16. An integer in the low bits of 2^23 is a float, without a conversion. */
MN_INLINE mn_vf load_elements(mn_dtype type, const char *block, int w) {
    if (type == MN_Q8_0)
        return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i_u *)(block + 2 + 8 * w))));
    __m256i both = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i_u *)(block + 2)));
    __m256i words = w < 2 ? _mm256_and_si256(both, _mm256_set1_epi16(15)) : _mm256_srli_epi16(both, 4);
    const __m256i exponent = _mm256_set1_epi16(0x4b00);
    __m256i bits = w % 2 ? _mm256_unpackhi_epi16(words, exponent) : _mm256_unpacklo_epi16(words, exponent);
    return (mn_vf)bits - splat(0x1p23f + 8);
}

/* To the order of dims. */
MN_INLINE void order_dims(mn_dtype type, mn_vf sums[2]) {
    if (type == MN_Q8_0) return;
    mn_vf low = sums[0], high = sums[1];
    sums[0] = _mm256_permute2f128_ps(low, high, 0x20);
    sums[1] = _mm256_permute2f128_ps(low, high, 0x31);
}

/* Weights of a tile's keys times the scales of one of their blocks. */
typedef struct block_weights {
    float of[BLOCK_ROWS][MN_TILE_KEYS] __attribute__((aligned(32)));
} block_weights;

/* o[r, 8 w ...] += sum_j weights[r, j] block_j[8 w ...] over n_vectors vectors; values: this block of every key */
MN_INLINE void add_vectors(float *o, mn_dtype type, const block_weights *weights, const mn_cached_rows *v,
                           const char *block, int w, int n_rows, int n_vectors, int v_dim) {
    mn_vf sums[BLOCK_ROWS][4];
#pragma GCC unroll 4
    for (int r = 0; r < n_rows; r++)
#pragma GCC unroll 4
        for (int i = 0; i < n_vectors; i++) sums[r][i] = splat(0);
    size_t share = block_bytes(type) * (size_t)n_vectors / 4;
    size_t ahead = (size_t)(block - v->rows) * MN_TILE_KEYS + (size_t)w / 2 * MN_TILE_KEYS * share;
    for (int j = 0; j < v->n_keys; j++, block += v->row_bytes, ahead += share) {
        mn_fetch_ahead(v, ahead, share);
#pragma GCC unroll 4
        for (int i = 0; i < n_vectors; i++) {
            mn_vf x = load_elements(type, block, w + i);
#pragma GCC unroll 4
            for (int r = 0; r < n_rows; r++) sums[r][i] = mn_vf_fma(splat(weights->of[r][j]), x, sums[r][i]);
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < n_rows; r++)
#pragma GCC unroll 4
        for (int i = 0; i < n_vectors; i += 2) {
            order_dims(type, sums[r] + i);
            float *cell = o + r * v_dim + 8 * (w + i);
            store(cell, load(cell) + sums[r][i]);
            store(cell + 8, load(cell + 8) + sums[r][i + 1]);
        }
}

/* Adds block b of all keys to n_rows rows. */
MN_INLINE void add_block(float *o, mn_dtype type, const float *p, const mn_cached_rows *v, const key_scales *scales,
                         int b, int n_rows, int v_dim) {
    block_weights weights;
    for (int j = 0; j < MN_TILE_KEYS; j += 8) {
        mn_vf keys = load(scales->of[b] + j);
        for (int r = 0; r < n_rows; r++) store(weights.of[r] + j, keys * load(p + r * MN_TILE_KEYS + j));
    }
    const char *block = v->rows + (size_t)b * block_bytes(type);
    o += 32 * b;
    if (n_rows < 4 && v_dim - 32 * b >= 32) {
        add_vectors(o, type, &weights, v, block, 0, n_rows, 4, v_dim);
        return;
    }
    add_vectors(o, type, &weights, v, block, 0, n_rows, 2, v_dim);
    if (v_dim - 32 * b >= 32) add_vectors(o, type, &weights, v, block, 2, n_rows, 2, v_dim);
}

MN_INLINE void add_rows(float *o, mn_dtype type, const float *p, const mn_cached_rows *v, const key_scales *scales,
                        int n_rows, int v_dim) {
    for (int b = 0; 32 * b < v_dim; b++) add_block(o, type, p, v, scales, b, n_rows, v_dim);
}

MN_INLINE void absorb_type(mn_softmax_rows rows, float *s, mn_dtype type, const mn_cached_rows *v, int n_rows,
                           int v_dim) {
    key_scales scales;
    load_scales(&scales, type, v, (v_dim + 31) / 32);
    weigh_f32(rows, s, n_rows, v_dim);
    float *o = rows.o;
    for (int r = 0; r < n_rows; r += BLOCK_ROWS, o += BLOCK_ROWS * v_dim, s += BLOCK_ROWS * MN_TILE_KEYS)
        switch (n_rows - r) {
        case 1: add_rows(o, type, s, v, &scales, 1, v_dim); break;
        case 2: add_rows(o, type, s, v, &scales, 2, v_dim); break;
        case 3: add_rows(o, type, s, v, &scales, 3, v_dim); break;
        default: add_rows(o, type, s, v, &scales, 4, v_dim); break;
        }
}

static void absorb_q8_0(mn_softmax_rows rows, float *s, const mn_cached_rows *v, int n_rows, int v_dim) {
    absorb_type(rows, s, MN_Q8_0, v, n_rows, v_dim);
}

static void absorb_q4_0(mn_softmax_rows rows, float *s, const mn_cached_rows *v, int n_rows, int v_dim) {
    absorb_type(rows, s, MN_Q4_0, v, n_rows, v_dim);
}

const mn_direct_ops mn_attend_q8_0_avx2 = {MN_MAX_DIRECT_ROWS_AVX2, pack_query, scores_q8_0, absorb_q8_0};
const mn_direct_ops mn_attend_q4_0_avx2 = {MN_MAX_DIRECT_ROWS_AVX2, pack_query, scores_q4_0, absorb_q4_0};
