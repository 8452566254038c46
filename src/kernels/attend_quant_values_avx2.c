/* Weighted sums of q8_0 and q4_0 values as they are cached, in AVX2. A weight takes in the scale of the key's block
 * before it is rounded to 16 bits, so that a tile's sum is an integer times one factor per row; words of two keys
 * alternate, and vpmaddwd multiplies and adds both.
 */
#include "kernels/attend_quant_avx2.h"

/* The scales of a tile's keys, block by block; those of absent keys are zeros. */
typedef struct key_scales {
    float of[MN_ATTEND_MAX_DIM / MN_BLOCK][MN_TILE_KEYS] __attribute__((aligned(32)));
} key_scales;

static void load_scales(key_scales *scales, mn_dtype type, const mn_cached_rows *v, int n_blocks) {
    for (int j = 0; j < MN_TILE_KEYS; j += 8)
        for (int b = 0; b < n_blocks; b++) {
            const char *block = v->rows + (size_t)j * v->row_bytes + (size_t)b * block_bytes(type);
            mn_half halves[8] = {0};
            if (j + 8 <= v->n_keys) {
                store(scales->of[b] + j, eight_scales(block, v->row_bytes));
                continue;
            }
            for (int i = 0; j + i < v->n_keys; i++)
                memcpy(&halves[i], block + (size_t)i * v->row_bytes, sizeof halves[i]);
            store(scales->of[b] + j, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i_u *)halves)));
        }
}

/* Weights of a tile's keys for one of their blocks: dword t holds the words of keys 2 t and 2 t + 1. */
typedef struct block_weights {
    int32_t pairs[QUANT_ROWS][MN_TILE_KEYS / 2] __attribute__((aligned(32)));
    float unit[QUANT_ROWS];  /* what a word is a multiple of */
    int32_t sum[QUANT_ROWS]; /* of all words */
} block_weights;

MN_INLINE void round_weights(block_weights *weights, const float *p, const float *scales, int n_rows) {
    for (int r = 0; r < n_rows; r++, p += MN_TILE_KEYS) {
        __m256i size = _mm256_setzero_si256(), sum = _mm256_setzero_si256();
        mn_vf scaled[MN_TILE_KEYS / 8];
#pragma GCC unroll 8
        for (int j = 0; j < MN_TILE_KEYS; j += 8) {
            scaled[j / 8] = load(scales + j) * load(p + j);
            size = larger_size(size, scaled[j / 8]);
        }
        float top = reduce_size(size);
        mn_vf inverse = scale_to_words(top);
#pragma GCC unroll 4
        for (int j = 0; j < MN_TILE_KEYS; j += 16) {
            __m256i words = to_words(scaled[j / 8] * inverse, scaled[j / 8 + 1] * inverse);
            _mm256_store_si256((__m256i *)(void *)(weights->pairs[r] + j / 2), words);
            sum = _mm256_add_epi32(sum, _mm256_madd_epi16(words, _mm256_set1_epi16(1)));
        }
        weights->unit[r] = top / QUANT_TOP;
        weights->sum[r] = reduce_add(sum);
    }
}

/* What q4_0's elements stand above. */
MN_INLINE int32_t offset_of(mn_dtype type) { return type == MN_Q8_0 ? 0 : 8; }

/* Half h of a block of two keys, their words alternating: even[i] (and odd) holds dim 8 h + 2 i (+ 1) in the low half
 * of a vector, the dim 16 further in the high one. */
MN_INLINE void load_pair(__m256i *even, __m256i *odd, mn_dtype type, const char *a, const char *b, const int h) {
    if (type == MN_Q8_0) {
        __m256i x = _mm256_loadu_si256((const __m256i_u *)(a + offsetof(mn_q8_0, q)));
        __m256i y = _mm256_loadu_si256((const __m256i_u *)(b + offsetof(mn_q8_0, q)));
        x = h ? _mm256_unpackhi_epi16(x, y) : _mm256_unpacklo_epi16(x, y);
        *even = _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8);
        *odd = _mm256_srai_epi16(x, 8);
    } else {
        const __m256i nibble = _mm256_set1_epi16(15), high_half = _mm256_setr_epi64x(0, 0, 4, 4);
        __m256i x = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i_u *)(a + offsetof(mn_q4_0, q))));
        __m256i y = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i_u *)(b + offsetof(mn_q4_0, q))));
        x = _mm256_srlv_epi64(h ? _mm256_unpackhi_epi16(x, y) : _mm256_unpacklo_epi16(x, y), high_half);
        *even = _mm256_and_si256(x, nibble);
        *odd = _mm256_and_si256(_mm256_srli_epi16(x, 8), nibble);
    }
}

/* Sums over half h of a block into 8 outputs, and 8 that stand 16 further where the row has them. */
MN_INLINE void add_sums(float *o, __m256i even, __m256i odd, int32_t offset_sum, float unit, bool has_second) {
    even = _mm256_sub_epi32(even, _mm256_set1_epi32(offset_sum));
    odd = _mm256_sub_epi32(odd, _mm256_set1_epi32(offset_sum));
    __m256i low = _mm256_unpacklo_epi32(even, odd), high = _mm256_unpackhi_epi32(even, odd);
    mn_vf first = _mm256_cvtepi32_ps(_mm256_permute2x128_si256(low, high, 0x20));
    mn_vf second = _mm256_cvtepi32_ps(_mm256_permute2x128_si256(low, high, 0x31));
    store(o, mn_vf_fma(first, splat(unit), load(o)));
    if (has_second) store(o + 16, mn_vf_fma(second, splat(unit), load(o + 16)));
}

/* o[r] += sum_j weights[r, j] block_j, over n_halves halves of block b. Of an odd number of keys, the one that
 * follows is read, and its weight is 0. */
MN_INLINE void add_halves(float *o, mn_dtype type, const block_weights *weights, const mn_cached_rows *v, int b,
                          const int h, const int n_rows, const int n_halves, int v_dim) {
    __m256i even[QUANT_ROWS][2], odd[QUANT_ROWS][2];
    const size_t row_bytes = v->row_bytes, share = block_bytes(type) * (size_t)n_halves;
    const char *block = v->rows + (size_t)b * block_bytes(type);
    const int n_pairs = (v->n_keys + 1) / 2;
    size_t ahead = (size_t)(2 * b + h) * MN_TILE_KEYS / 2 * block_bytes(type);
#pragma GCC unroll 4
    for (int r = 0; r < n_rows; r++)
#pragma GCC unroll 2
        for (int i = 0; i < n_halves; i++) even[r][i] = odd[r][i] = _mm256_setzero_si256();
    for (int t = 0; t < n_pairs; t++, block += 2 * row_bytes, ahead += share) {
        mn_fetch_ahead(v, ahead, share);
#pragma GCC unroll 2
        for (int i = 0; i < n_halves; i++) {
            __m256i x, y;
            load_pair(&x, &y, type, block, block + row_bytes, h + i);
#pragma GCC unroll 4
            for (int r = 0; r < n_rows; r++) {
                __m256i pair = _mm256_set1_epi32(weights->pairs[r][t]);
                even[r][i] = mn_add_dwords_in_place(even[r][i], _mm256_madd_epi16(x, pair));
                odd[r][i] = mn_add_dwords_in_place(odd[r][i], _mm256_madd_epi16(y, pair));
            }
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < n_rows; r++)
#pragma GCC unroll 2
        for (int i = 0; i < n_halves; i++)
            add_sums(o + r * v_dim + MN_BLOCK * b + 8 * (h + i), even[r][i], odd[r][i],
                     offset_of(type) * weights->sum[r], weights->unit[r], MN_BLOCK * b + 16 < v_dim);
}

/* Sixteen registers hold sums of two rows for a block, of four for half of it. */
MN_INLINE void add_rows(float *o, mn_dtype type, const float *p, const mn_cached_rows *v, const key_scales *scales,
                        int n_rows, int v_dim) {
    for (int b = 0; MN_BLOCK * b < v_dim; b++) {
        block_weights weights;
        round_weights(&weights, p, scales->of[b], n_rows);
        if (n_rows <= 2) {
            add_halves(o, type, &weights, v, b, 0, n_rows, 2, v_dim);
        } else {
            add_halves(o, type, &weights, v, b, 0, n_rows, 1, v_dim);
            add_halves(o, type, &weights, v, b, 1, n_rows, 1, v_dim);
        }
    }
}

MN_INLINE void absorb(mn_softmax_rows rows, float *s, mn_dtype type, const mn_cached_rows *v, int n_rows, int v_dim) {
    key_scales scales;
    load_scales(&scales, type, v, (v_dim + MN_BLOCK - 1) / MN_BLOCK);
    weigh_f32(rows, s, n_rows, v_dim);
    float *o = rows.o;
    for (int r = 0; r < n_rows; r += QUANT_ROWS, o += QUANT_ROWS * v_dim, s += QUANT_ROWS * MN_TILE_KEYS)
        switch (n_rows - r) {
        case 1: add_rows(o, type, s, v, &scales, 1, v_dim); break;
        case 2: add_rows(o, type, s, v, &scales, 2, v_dim); break;
        case 3: add_rows(o, type, s, v, &scales, 3, v_dim); break;
        default: add_rows(o, type, s, v, &scales, 4, v_dim); break;
        }
}

void mn_attend_absorb_q8_0_avx2(mn_softmax_rows rows, float *s, const mn_cached_rows *v, int n_rows, int v_dim) {
    absorb(rows, s, MN_Q8_0, v, n_rows, v_dim);
}

void mn_attend_absorb_q4_0_avx2(mn_softmax_rows rows, float *s, const mn_cached_rows *v, int n_rows, int v_dim) {
    absorb(rows, s, MN_Q4_0, v, n_rows, v_dim);
}
