/* Weighted sums of q8_0 and q4_0 values as they are cached. A weight takes in the scale of the key's block before it is
 * rounded, so that a tile's sum is an integer times one factor per row; four keys are one dword of vpdpbusd. */
#include "kernels/attend_quant_avx512.h"

enum { QUADS = MN_TILE_KEYS / 4 };

/* A pair of blocks of a tile: quads[t][i] holds of keys 4 t .. 4 t + 3 the dims 4 i + 16 lane + 0 .. 3, four bytes
 * each. */
typedef struct value_tile {
    __m512i quads[QUADS][4];
} value_tile;

MN_INLINE void interleave(value_tile *tile, mn_dtype type, const mn_cached_rows *v, int block, int n_blocks) {
    const char *blocks = v->rows + (size_t)block * block_bytes(type);
    for (int t = 0; 4 * t < v->n_keys; t++) {
        if (block == 0) fetch_ahead(v, 4 * t, 4);
        __m512i x[4];
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++, blocks += v->row_bytes) x[j] = load_blocks(type, blocks, n_blocks);
        __m512i low01 = _mm512_unpacklo_epi8(x[0], x[1]), high01 = _mm512_unpackhi_epi8(x[0], x[1]);
        __m512i low23 = _mm512_unpacklo_epi8(x[2], x[3]), high23 = _mm512_unpackhi_epi8(x[2], x[3]);
        tile->quads[t][0] = _mm512_unpacklo_epi16(low01, low23);
        tile->quads[t][1] = _mm512_unpackhi_epi16(low01, low23);
        tile->quads[t][2] = _mm512_unpacklo_epi16(high01, high23);
        tile->quads[t][3] = _mm512_unpackhi_epi16(high01, high23);
    }
}

/* One row's weights for a pair of blocks: of each 16 keys the high bytes for either block, then the low ones. */
typedef struct byte_weights {
    int8_t bytes[MN_TILE_KEYS / 16][4][16] __attribute__((aligned(64)));
    float factor;          /* of the integer sums */
    int32_t offset_sum[2]; /* offset * sum of the weights */
} byte_weights;

/* Of two vectors of dwords the second bytes, then the first ones. */
MN_INLINE __m512i split_bytes(__m512i a, __m512i b) {
    const __m512i lane =
        _mm512_set_epi8(60, 56, 52, 48, 44, 40, 36, 32, 28, 24, 20, 16, 12, 8, 4, 0, 60, 56, 52, 48, 44, 40, 36, 32, 28,
                        24, 20, 16, 12, 8, 4, 0, 60, 56, 52, 48, 44, 40, 36, 32, 28, 24, 20, 16, 12, 8, 4, 0, 60, 56,
                        52, 48, 44, 40, 36, 32, 28, 24, 20, 16, 12, 8, 4, 0);
    const __m512i from = _mm512_set_epi64(0x4040404040404040, 0x4040404040404040, 0, 0, 0x4141414141414141,
                                          0x4141414141414141, 0x0101010101010101, 0x0101010101010101);
    return _mm512_permutex2var_epi8(a, _mm512_or_si512(lane, from), b);
}

static void round_weights(byte_weights *out, const float *p, const float *scales, int offset) {
    const __m512i half = _mm512_set1_epi32(MN_QUANT_HALF);
    const __m512i low_signs = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi8(-128), 1);
    __m512 weights[2][4];
    __m512i size = _mm512_setzero_si512(), sums[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
    for (int b = 0; b < 2; b++)
        for (int g = 0; g < 4; g++) {
            weights[b][g] =
                _mm512_mul_ps(_mm512_load_ps(scales + MN_TILE_KEYS * b + 16 * g), _mm512_load_ps(p + 16 * g));
            size = larger_size(size, weights[b][g]);
        }
    float top = reduce_size(size);
    __m512 inverse = _mm512_set1_ps(scale_to_bytes(top));
    for (int g = 0; g < 4; g++) {
        __m512i x[2];
        for (int b = 0; b < 2; b++) {
            x[b] = _mm512_cvtps_epi32(_mm512_mul_ps(weights[b][g], inverse));
            sums[b] = _mm512_add_epi32(sums[b], x[b]);
            x[b] = _mm512_add_epi32(x[b], half);
        }
        _mm512_store_si512(out->bytes[g], _mm512_xor_si512(split_bytes(x[0], x[1]), low_signs));
    }
    for (int b = 0; b < 2; b++) out->offset_sum[b] = offset * _mm512_reduce_add_epi32(sums[b]);
    out->factor = top / MN_QUANT_TOP;
}

/* From dims 4 i + 16 lane to dims 16 i + 4 lane: a transpose of 128-bit lanes. */
static void order_dims(lanes sums[4]) {
    __m512i *x = (__m512i *)sums;
    __m512i a = _mm512_shuffle_i32x4(x[0], x[1], 0x44), b = _mm512_shuffle_i32x4(x[0], x[1], 0xee);
    __m512i c = _mm512_shuffle_i32x4(x[2], x[3], 0x44), d = _mm512_shuffle_i32x4(x[2], x[3], 0xee);
    x[0] = _mm512_shuffle_i32x4(a, c, 0x88);
    x[1] = _mm512_shuffle_i32x4(a, c, 0xdd);
    x[2] = _mm512_shuffle_i32x4(b, d, 0x88);
    x[3] = _mm512_shuffle_i32x4(b, d, 0xdd);
}

/* Adds a pair of blocks to one row of n_vectors * 16 <= 64 outputs. */
static void add_pair(float *o, const byte_weights *weights, const value_tile *tile, int n_keys, int n_vectors) {
    const __m512i per_block = _mm512_set_epi32(4, 4, 4, 4, 4, 4, 4, 4, 0, 0, 0, 0, 0, 0, 0, 0);
    lanes high[4], low[4];
    for (int i = 0; i < 4; i++) high[i] = low[i] = (lanes){0};
    for (int t = 0; 4 * t < n_keys; t++) {
        __m512i bytes = _mm512_load_si512(weights->bytes[t / 4]);
        __m512i at = _mm512_add_epi32(per_block, _mm512_set1_epi32(t % 4));
        __m512i h = _mm512_permutexvar_epi32(at, bytes);
        __m512i l = _mm512_permutexvar_epi32(_mm512_add_epi32(at, _mm512_set1_epi32(8)), bytes);
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            high[i] = add_dot(high[i], tile->quads[t][i], h);
            low[i] = add_dot(low[i], tile->quads[t][i], l);
        }
    }
    for (int i = 0; i < 4; i++) high[i] = (high[i] << 8) + low[i];
    order_dims(high);
    for (int i = 0; i < n_vectors; i++) {
        lanes sum = high[i] - weights->offset_sum[i / 2];
        __m512 more = _mm512_mul_ps(_mm512_cvtepi32_ps((__m512i)sum), _mm512_set1_ps(weights->factor));
        _mm512_store_ps(o + 16 * i, _mm512_add_ps(_mm512_load_ps(o + 16 * i), more));
    }
}

MN_INLINE void absorb_pair(mn_softmax_rows rows, const float *p, mn_dtype type, const mn_cached_rows *v, int i,
                           int n_blocks, int n_rows, int v_dim) {
    value_tile tile;
    float scales[2 * MN_TILE_KEYS] __attribute__((aligned(64))) = {0};
    byte_weights weights[MAX_DIRECT_ROWS_BYTES];
    for (int b = 0; b < n_blocks; b++)
        for (int first = 0; first < MN_TILE_KEYS; first += 16)
            _mm512_store_ps(scales + MN_TILE_KEYS * b + first, load_scales(type, v, 2 * i + b, first));
    interleave(&tile, type, v, 2 * i, n_blocks);
    for (int r = 0; r < n_rows; r++) round_weights(&weights[r], p + r * MN_TILE_KEYS, scales, block_offset(type));
    for (int r = 0; r < n_rows; r++)
        add_pair(rows.o + r * v_dim + 64 * i, &weights[r], &tile, v->n_keys, MN_MIN(4, (v_dim - 64 * i) / 16));
}

MN_INLINE void absorb(mn_softmax_rows rows, float *s, mn_dtype type, const mn_cached_rows *v, int n_rows, int v_dim) {
    touch_ahead(v);
    pull_tile(v);
    weigh_rows(rows, s, n_rows, v_dim);
    for (int i = 0; 64 * i < v_dim; i++) {
        if (v_dim - 64 * i > 32)
            absorb_pair(rows, s, type, v, i, 2, n_rows, v_dim);
        else
            absorb_pair(rows, s, type, v, i, 1, n_rows, v_dim);
    }
}

void mn_attend_absorb_q8_0(mn_softmax_rows rows, float *s, const mn_cached_rows *v, int n_rows, int v_dim) {
    absorb(rows, s, MN_Q8_0, v, n_rows, v_dim);
}

void mn_attend_absorb_q4_0(mn_softmax_rows rows, float *s, const mn_cached_rows *v, int n_rows, int v_dim) {
    absorb(rows, s, MN_Q4_0, v, n_rows, v_dim);
}
