/* Attention tiles multiplied by vdpbf16ps: pairs of bf16 products summed in f32; softmax in f32.
 *
 * Packed: q [k_pad], k [k_pad / 2][MN_TILE_KEYS] pairs of dims, v [MN_TILE_KEYS / 2][v_pad] pairs of keys.
 */
#include "kernels/attend_bf16.h"
#include "kernels/attend_quant_avx512.h"

static void pack_q_bf16(void *packed, const float *q, int k_dim) {
    char *out = packed;
    for (int i = 0; i < k_dim; i += 16, out += 32) {
        __mmask16 mask = k_dim - i >= 16 ? 0xffff : (__mmask16)((1 << (k_dim - i)) - 1);
        _mm256_store_si256((__m256i *)(void *)out, (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, q + i)));
    }
}

MN_INLINE void pack_v_type(char *out, mn_dtype type, const mn_cached_rows *v, int v_dim) {
    const char *rows = v->rows;
    int v_pad = mn_attend_pad(v_dim);
    for (int j = 0; j < MN_TILE_KEYS; j += 2, rows += 2 * v->row_bytes)
        for (int i = 0; 32 * i < v_pad; i++, out += v_pad - 32 * (i - 1) >= 32 ? 128 : 64) {
            __mmask32 mask = dims_mask(v_dim, i);
            __m512i a = j < v->n_keys ? load_bf16(type, rows, i, mask) : _mm512_setzero_si512();
            __m512i b = j + 1 < v->n_keys ? load_bf16(type, rows + v->row_bytes, i, mask) : _mm512_setzero_si512();
            pack_v_pair(out, a, b, v_pad - 32 * i);
        }
}

static void pack_k_bf16(void *packed, const mn_cached_rows *k, int k_dim) {
    FOR_CACHED_TYPE(pack_k_type, packed, k, k_dim, mn_attend_pad(k_dim))
}

static void pack_v_bf16(void *packed, const mn_cached_rows *v,
                        int v_dim){FOR_CACHED_TYPE(pack_v_type, packed, v, v_dim)}

/* out[r, panel] = factor * (sum over pairs of a[r, pair] . b[pair, panel]), or += the sum; a's rows are a_stride pairs
 * apart. */
MN_INLINE void dot_panel(float *out, int out_stride, const uint32_t *a, int a_stride, const uint32_t *b, int b_stride,
                         int n_pairs, int n_rows, int n_vectors, float factor, bool add) {
    __m512 sums[TILE_ROWS][MN_PANEL_VECTORS];
    for (int r = 0; r < n_rows; r++)
        for (int w = 0; w < n_vectors; w++) sums[r][w] = _mm512_setzero_ps();
    for (int i = 0; i < n_pairs; i++) {
        __m512bh columns[MN_PANEL_VECTORS];
        for (int w = 0; w < n_vectors; w++)
            columns[w] = (__m512bh)_mm512_load_si512(b + (size_t)i * (size_t)b_stride + w * 16);
        for (int r = 0; r < n_rows; r++) {
            __m512bh x = (__m512bh)_mm512_set1_epi32((int)a[r * a_stride + i]);
            for (int w = 0; w < n_vectors; w++) sums[r][w] = _mm512_dpbf16_ps(sums[r][w], x, columns[w]);
        }
    }
    for (int r = 0; r < n_rows; r++)
        for (int w = 0; w < n_vectors; w++) {
            float *cell = out + r * out_stride + w * 16;
            _mm512_store_ps(cell, add ? _mm512_add_ps(_mm512_load_ps(cell), sums[r][w])
                                      : _mm512_mul_ps(sums[r][w], _mm512_set1_ps(factor)));
        }
}

MN_INLINE void dot_rows(float *out, const uint32_t *a, int a_stride, const uint32_t *b, int n_pairs, int width,
                        int n_rows, float factor, bool add) {
    int j = 0;
    for (; j + 64 <= width; j += 64)
        dot_panel(out + j, width, a, a_stride, b + j, width, n_pairs, n_rows, 4, factor, add);
    for (; j < width; j += 16) dot_panel(out + j, width, a, a_stride, b + j, width, n_pairs, n_rows, 1, factor, add);
}

MN_INLINE void dot(float *out, const uint32_t *a, int a_stride, const uint32_t *b, int n_pairs, int width, int n_rows,
                   float factor, bool add) {
    switch (n_rows) {
    case 1: dot_rows(out, a, a_stride, b, n_pairs, width, 1, factor, add); break;
    case 2: dot_rows(out, a, a_stride, b, n_pairs, width, 2, factor, add); break;
    case 3: dot_rows(out, a, a_stride, b, n_pairs, width, 3, factor, add); break;
    case 4: dot_rows(out, a, a_stride, b, n_pairs, width, 4, factor, add); break;
    case 5: dot_rows(out, a, a_stride, b, n_pairs, width, 5, factor, add); break;
    default: dot_rows(out, a, a_stride, b, n_pairs, width, 6, factor, add); break;
    }
}

static void scores_bf16(float *s, const void *q, const void *k, float factor, int n_rows, int k_pad) {
    dot(s, q, k_pad / 2, k, k_pad / 2, MN_TILE_KEYS, n_rows, factor, false);
}

/* Turns a row of scores into weights, rounded to bf16. */
MN_INLINE void weigh_row(uint32_t *weights, float *m, float *l, float *o, const float *s, int v_pad) {
    __m512 x[4];
    for (int i = 0; i < 4; i++) x[i] = _mm512_load_ps(s + 16 * i);
    __m512 top = _mm512_max_ps(_mm512_max_ps(x[0], x[1]), _mm512_max_ps(x[2], x[3]));
    if (_mm512_cmp_ps_mask(top, _mm512_set1_ps(*m + MN_RESCALE_THRESHOLD), _CMP_GT_OQ))
        raise_max(m, l, o, _mm512_reduce_max_ps(top), v_pad);
    __m512 shift = _mm512_set1_ps(*m == -INFINITY ? 0 : *m);
    for (int i = 0; i < 4; i++) {
        x[i] = exp2_cubic(_mm512_sub_ps(x[i], shift));
        _mm256_store_si256((__m256i *)(void *)(weights + 8 * i), (__m256i)_mm512_cvtneps_pbh(x[i]));
    }
    *l += _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(x[0], x[1]), _mm512_add_ps(x[2], x[3])));
}

static void absorb_bf16(mn_softmax_rows rows, float *s, const void *v, int n_rows, int v_pad) {
    uint32_t weights[TILE_ROWS][MN_TILE_KEYS / 2] __attribute__((aligned(64)));
    for (int r = 0; r < n_rows; r++)
        weigh_row(weights[r], &rows.m[r], &rows.l[r], rows.o + (size_t)r * (size_t)v_pad, s + r * MN_TILE_KEYS, v_pad);
    dot(rows.o, weights[0], MN_TILE_KEYS / 2, v, MN_TILE_KEYS / 2, v_pad, n_rows, 1, true);
}

void mn_attend_init_avx512bf16(mn_attend_kernels *table) {
    table->fast = (mn_attend_ops){.operand_bytes = 2,
                                  .k_dims = 16,
                                  .tile_rows = TILE_ROWS,
                                  .row_tile_bytes = MN_ROW_TILE_BYTES,
                                  .pack_q = pack_q_bf16,
                                  .pack_k = pack_k_bf16,
                                  .pack_v = pack_v_bf16,
                                  .scores = scores_bf16,
                                  .absorb = absorb_bf16,
                                  .merge = merge_f32,
                                  .softcap = softcap_f32,
                                  .add_slope = add_slope_f32};
    table->direct[MN_F32].max_rows = table->direct[MN_F16].max_rows = table->direct[MN_BF16].max_rows =
        MAX_DIRECT_ROWS_BF16;
    table->direct[MN_Q8_0] =
        (mn_direct_ops){MAX_DIRECT_ROWS_BYTES, mn_attend_pack_q_q8_0, mn_attend_scores_q8_0, mn_attend_absorb_q8_0};
    table->direct[MN_Q4_0] =
        (mn_direct_ops){MAX_DIRECT_ROWS_BYTES, mn_attend_pack_q_q4_0, mn_attend_scores_q4_0, mn_attend_absorb_q4_0};
}
