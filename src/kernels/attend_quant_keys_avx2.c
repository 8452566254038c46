/* Scores from q8_0 and q4_0 keys as they are cached, in AVX2. A query is rounded to 16 bits under one scale; a block's
 * integer sum is multiplied with the scale of the key's block and added up over the row in f32.
 *
 * q8_0: bytes are widened to words for vpmaddwd. One or two queries multiply along a key's row, and the sums of eight
 * keys are put side by side; for more, eight keys are transposed first, so that their sums are side by side already.
 * q4_0: nibbles of eight keys are transposed and multiplied by vpmaddubsw with either byte of the query; 16 bits hold
 * the sum of 16 such products.
 */
#include "kernels/attend_quant_avx2.h"

/* Words of whole blocks. */
typedef struct word_query {
    float scale;
    int16_t words[];
} word_query;

/* 32 dims in two bytes each, 256 high + low. */
typedef struct byte_block {
    int8_t high[MN_BLOCK], low[MN_BLOCK];
    int32_t offset_sum; /* 8 sum (256 high + low) */
} byte_block;

typedef struct byte_query {
    float scale;
    byte_block blocks[];
} byte_query;

_Static_assert(sizeof(byte_block) + sizeof(float) <= MN_BLOCK * sizeof(float), "mn_direct_q_bytes holds each block");

/* Both begin with their scale. */
MN_INLINE float scale_of(const void *q) { return *(const float *)q; }

MN_INLINE const void *skip_queries(const void *q, int n, int k_dim) {
    return (const char *)q + (size_t)n * mn_direct_q_bytes(k_dim);
}

static float find_top(const float *x, int n) {
    __m256i size = _mm256_setzero_si256();
    for (int i = 0; i < n; i += 8) size = larger_size(size, load_any(x + i));
    return reduce_size(size);
}

/* Block b of a query, n = 16 or 32 dims of it. */
MN_INLINE void round_block(__m256i words[2], const float *x, int n, mn_vf inverse) {
    words[0] = to_words(load_any(x) * inverse, load_any(x + 8) * inverse);
    words[1] = n > 16 ? to_words(load_any(x + 16) * inverse, load_any(x + 24) * inverse) : _mm256_setzero_si256();
}

/* The words of a NaN mean nothing, but the scale keeps it. */
void mn_attend_pack_q_q8_0_avx2(void *packed, const float *x, int k_dim) {
    word_query *q = packed;
    float top = find_top(x, k_dim);
    q->scale = top / QUANT_TOP;
    for (int i = 0; i < k_dim; i += MN_BLOCK) {
        __m256i words[2];
        round_block(words, x + i, k_dim - i, scale_to_words(top));
        memcpy(q->words + i, words, sizeof words);
    }
}

void mn_attend_pack_q_q4_0_avx2(void *packed, const float *x, int k_dim) {
    byte_query *q = packed;
    float top = find_top(x, k_dim);
    q->scale = top / QUANT_TOP;
    for (int b = 0; MN_BLOCK * b < k_dim; b++) {
        __m256i words[2], high[2], low[2], sum = _mm256_setzero_si256();
        round_block(words, x + MN_BLOCK * b, k_dim - MN_BLOCK * b, scale_to_words(top));
        for (int i = 0; i < 2; i++) {
            high[i] = _mm256_srai_epi16(_mm256_add_epi16(words[i], _mm256_set1_epi16(128)), 8);
            low[i] = _mm256_srai_epi16(_mm256_slli_epi16(words[i], 8), 8);
            sum = _mm256_add_epi32(sum, _mm256_madd_epi16(words[i], _mm256_set1_epi16(8)));
        }
        high[0] = _mm256_permute4x64_epi64(_mm256_packs_epi16(high[0], high[1]), 0xd8);
        low[0] = _mm256_permute4x64_epi64(_mm256_packs_epi16(low[0], low[1]), 0xd8);
        memcpy(q->blocks[b].high, high, sizeof q->blocks[b].high);
        memcpy(q->blocks[b].low, low, sizeof q->blocks[b].low);
        q->blocks[b].offset_sum = reduce_add(sum);
    }
}

/* dots[r]: sums of products of query r with block b of eight keys, row_bytes apart from `block` on. */
typedef void dot_fn(__m256i dots[QUANT_ROWS], const void *q, const char *block, size_t row_bytes, int b, int n_rows,
                    int k_dim);

/* Dwords, or qwords, of a and b that stand two (four) places apart in a half are added; those of a and b alternate. */
MN_INLINE __m256i add_dwords(__m256i a, __m256i b) {
    return _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
}

MN_INLINE __m256i add_qwords(__m256i a, __m256i b) {
    return _mm256_add_epi32(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
}

/* four[r]: in either half, sums over that half of the products of query r with four keys. */
MN_INLINE void dot_four(__m256i four[QUANT_ROWS], const word_query *q, const char *block, size_t row_bytes, int b,
                        int n_rows, int k_dim) {
    __m256i two[QUANT_ROWS][2];
#pragma GCC unroll 2
    for (int pair = 0; pair < 2; pair++) {
        __m256i dots[QUANT_ROWS][2];
#pragma GCC unroll 2
        for (int j = 0; j < 2; j++) {
            const __m128i_u *bytes = (const void *)(block + (size_t)(2 * pair + j) * row_bytes + offsetof(mn_q8_0, q));
            __m256i x0 = _mm256_cvtepi8_epi16(_mm_loadu_si128(bytes));
            __m256i x1 = _mm256_cvtepi8_epi16(_mm_loadu_si128(bytes + 1));
#pragma GCC unroll 4
            for (int r = 0; r < n_rows; r++) {
                const word_query *row = skip_queries(q, r, k_dim);
                const __m256i_u *words = (const void *)(row->words + MN_BLOCK * b);
                dots[r][j] = _mm256_add_epi32(_mm256_madd_epi16(x0, words[0]), _mm256_madd_epi16(x1, words[1]));
            }
        }
#pragma GCC unroll 4
        for (int r = 0; r < n_rows; r++) two[r][pair] = add_dwords(dots[r][0], dots[r][1]);
    }
#pragma GCC unroll 4
    for (int r = 0; r < n_rows; r++) four[r] = add_qwords(two[r][0], two[r][1]);
}

MN_INLINE void dot_along_rows(__m256i dots[QUANT_ROWS], const void *q, const char *block, size_t row_bytes, int b,
                              int n_rows, int k_dim) {
    __m256i low[QUANT_ROWS], high[QUANT_ROWS];
    dot_four(low, q, block, row_bytes, b, n_rows, k_dim);
    dot_four(high, q, block + 4 * row_bytes, row_bytes, b, n_rows, k_dim);
#pragma GCC unroll 4
    for (int r = 0; r < n_rows; r++)
        dots[r] = _mm256_add_epi32(_mm256_permute2x128_si256(low[r], high[r], 0x20),
                                   _mm256_permute2x128_si256(low[r], high[r], 0x31));
}

/* 16 bytes of eight keys, transposed: x[i] holds bytes 4 i .. 4 i + 3 of every key. */
MN_INLINE void transpose_keys(__m256i x[4], const char *bytes, size_t row_bytes) {
    __m256i v[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++, bytes += row_bytes) {
        v[j] = _mm256_castsi128_si256(_mm_loadu_si128((const __m128i_u *)bytes));
        v[j] = _mm256_inserti128_si256(v[j], _mm_loadu_si128((const __m128i_u *)(bytes + 4 * row_bytes)), 1);
    }
    __m256i a = _mm256_unpacklo_epi32(v[0], v[1]), b = _mm256_unpackhi_epi32(v[0], v[1]);
    __m256i c = _mm256_unpacklo_epi32(v[2], v[3]), d = _mm256_unpackhi_epi32(v[2], v[3]);
    x[0] = _mm256_unpacklo_epi64(a, c);
    x[1] = _mm256_unpackhi_epi64(a, c);
    x[2] = _mm256_unpacklo_epi64(b, d);
    x[3] = _mm256_unpackhi_epi64(b, d);
}

MN_INLINE __m256i broadcast_dword(const void *p) {
    int32_t v;
    memcpy(&v, p, sizeof v);
    return _mm256_set1_epi32(v);
}

/* The first two, or last two, of four bytes in each dword, as words. */
MN_INLINE __m256i widen_two(__m256i x, const int last) {
    const __m256i first = _mm256_setr_epi8(-1, 0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13, -1, 0, -1, 1, -1,
                                           4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13);
    const __m256i second = _mm256_setr_epi8(-1, 2, -1, 3, -1, 6, -1, 7, -1, 10, -1, 11, -1, 14, -1, 15, -1, 2, -1, 3,
                                            -1, 6, -1, 7, -1, 10, -1, 11, -1, 14, -1, 15);
    return _mm256_srai_epi16(_mm256_shuffle_epi8(x, last ? second : first), 8);
}

MN_INLINE void dot_transposed(__m256i dots[QUANT_ROWS], const void *q, const char *block, size_t row_bytes, int b,
                              int n_rows, int k_dim) {
#pragma GCC unroll 4
    for (int r = 0; r < n_rows; r++) dots[r] = _mm256_setzero_si256();
#pragma GCC unroll 2
    for (int h = 0; h < 2; h++) {
        __m256i x[4];
        transpose_keys(x, block + offsetof(mn_q8_0, q) + 16 * h, row_bytes);
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            __m256i first = widen_two(x[i], 0), last = widen_two(x[i], 1);
#pragma GCC unroll 4
            for (int r = 0; r < n_rows; r++) {
                const word_query *row = skip_queries(q, r, k_dim);
                const int16_t *w = row->words + MN_BLOCK * b + 16 * h + 4 * i;
                dots[r] = mn_add_dwords_in_place(dots[r], _mm256_madd_epi16(first, broadcast_dword(w)));
                dots[r] = mn_add_dwords_in_place(dots[r], _mm256_madd_epi16(last, broadcast_dword(w + 2)));
            }
        }
    }
}

MN_INLINE void dot_nibbles(__m256i dots[QUANT_ROWS], const void *q, const char *block, size_t row_bytes, int b,
                           int n_rows, int k_dim) {
    const __m256i nibble = _mm256_set1_epi8(15);
    __m256i x[8];
    transpose_keys(x, block + offsetof(mn_q4_0, q), row_bytes);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        x[4 + i] = _mm256_and_si256(_mm256_srli_epi16(x[i], 4), nibble);
        x[i] = _mm256_and_si256(x[i], nibble);
    }
#pragma GCC unroll 4
    for (int r = 0; r < n_rows; r++) {
        const byte_block *w = &((const byte_query *)skip_queries(q, r, k_dim))->blocks[b];
        __m256i high = _mm256_maddubs_epi16(x[0], broadcast_dword(w->high));
        __m256i low = _mm256_maddubs_epi16(x[0], broadcast_dword(w->low));
#pragma GCC unroll 8
        for (int i = 1; i < 8; i++) {
            high = mn_add_words_in_place(high, _mm256_maddubs_epi16(x[i], broadcast_dword(w->high + 4 * i)));
            low = mn_add_words_in_place(low, _mm256_maddubs_epi16(x[i], broadcast_dword(w->low + 4 * i)));
        }
        high = _mm256_madd_epi16(high, _mm256_set1_epi16(256));
        low = _mm256_madd_epi16(low, _mm256_set1_epi16(1));
        dots[r] = _mm256_sub_epi32(_mm256_add_epi32(high, low), _mm256_set1_epi32(w->offset_sum));
    }
}

/* Of a tile that ends early the remaining rows are read, and their scores mean nothing. */
MN_INLINE void score_rows(float *s, mn_dtype type, dot_fn *dot, const void *q, const mn_cached_rows *k, float factor,
                          int n_rows, int k_dim) {
    const size_t bytes = block_bytes(type), row_bytes = k->row_bytes;
    for (int first = 0; first < k->n_keys; first += 8) {
        const char *block = k->rows + (size_t)first * row_bytes;
        size_t ahead = (size_t)first * row_bytes;
        mn_vf sums[QUANT_ROWS];
#pragma GCC unroll 4
        for (int r = 0; r < n_rows; r++) sums[r] = splat(0);
        for (int b = 0; MN_BLOCK * b < k_dim; b++, block += bytes, ahead += 8 * bytes) {
            __m256i dots[QUANT_ROWS];
            mn_fetch_ahead(k, ahead, 8 * bytes);
            mn_vf scales = eight_scales(block, row_bytes);
            dot(dots, q, block, row_bytes, b, n_rows, k_dim);
#pragma GCC unroll 4
            for (int r = 0; r < n_rows; r++) sums[r] = mn_vf_fma(_mm256_cvtepi32_ps(dots[r]), scales, sums[r]);
        }
#pragma GCC unroll 4
        for (int r = 0; r < n_rows; r++)
            store(s + r * MN_TILE_KEYS + first, splat(factor * scale_of(skip_queries(q, r, k_dim))) * sums[r]);
    }
}

void mn_attend_scores_q8_0_avx2(float *s, const void *q, const mn_cached_rows *k, float factor, int n_rows, int k_dim) {
    for (int r = 0; r < n_rows; r += QUANT_ROWS, s += QUANT_ROWS * MN_TILE_KEYS, q = skip_queries(q, QUANT_ROWS, k_dim))
        switch (n_rows - r) {
        case 1: score_rows(s, MN_Q8_0, dot_along_rows, q, k, factor, 1, k_dim); break;
        case 2: score_rows(s, MN_Q8_0, dot_along_rows, q, k, factor, 2, k_dim); break;
        case 3: score_rows(s, MN_Q8_0, dot_transposed, q, k, factor, 3, k_dim); break;
        default: score_rows(s, MN_Q8_0, dot_transposed, q, k, factor, 4, k_dim); break;
        }
}

void mn_attend_scores_q4_0_avx2(float *s, const void *q, const mn_cached_rows *k, float factor, int n_rows, int k_dim) {
    for (int r = 0; r < n_rows; r += QUANT_ROWS, s += QUANT_ROWS * MN_TILE_KEYS, q = skip_queries(q, QUANT_ROWS, k_dim))
        switch (n_rows - r) {
        case 1: score_rows(s, MN_Q4_0, dot_nibbles, q, k, factor, 1, k_dim); break;
        case 2: score_rows(s, MN_Q4_0, dot_nibbles, q, k, factor, 2, k_dim); break;
        case 3: score_rows(s, MN_Q4_0, dot_nibbles, q, k, factor, 3, k_dim); break;
        default: score_rows(s, MN_Q4_0, dot_nibbles, q, k, factor, 4, k_dim); break;
        }
}
