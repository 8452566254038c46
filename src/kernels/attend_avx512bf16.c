/* Attention tiles multiplied by vdpbf16ps: pairs of bf16 products summed in f32; softmax in f32.
 *
 * Packed: q [k_pad], k [k_pad / 2][MN_TILE_KEYS] pairs of dims, v [MN_TILE_KEYS / 2][v_pad] pairs of keys.
 */
#include "kernels/attend_dot_avx512bf16.h"
#include "kernels/attend_quant_avx512.h"

static void pack_q_bf16(void *packed, const float *q, int k_dim) {
    char *out = packed;
    for (int i = 0; i < k_dim; i += 16, out += 32) {
        __mmask16 mask = k_dim - i >= 16 ? 0xffff : (__mmask16)((1 << (k_dim - i)) - 1);
        _mm256_store_si256((__m256i *)(void *)out, (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, q + i)));
    }
}

static void pack_k_bf16(void *packed, const mn_cached_rows *k, int k_dim) {
    FOR_CACHED_TYPE(pack_k_type, packed, k, k_dim, mn_attend_pad(k_dim))
}

static void pack_v_bf16(void *packed, const mn_cached_rows *v, int v_dim) {
    FOR_CACHED_TYPE(pack_v_type, packed, v, v_dim)
}

static void scores_bf16(float *s, const void *q, const void *k, float factor, int n_rows, int k_pad) {
    dot(s, q, k_pad / 2, 1, k, k_pad / 2, MN_TILE_KEYS, n_rows, factor, false);
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
    dot(rows.o, weights[0], MN_TILE_KEYS / 2, 1, v, MN_TILE_KEYS / 2, v_pad, n_rows, 1, true);
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
                                  .mask = mask_f32,
                                  .softcap = softcap_f32,
                                  .add_slope = add_slope_f32};
    table->direct[MN_F32].max_rows = table->direct[MN_F16].max_rows = table->direct[MN_BF16].max_rows =
        MAX_DIRECT_ROWS_BF16;
    table->direct[MN_Q8_0] = (mn_direct_ops){MAX_DIRECT_ROWS_BYTES, mn_attend_pack_q_q8_0, mn_attend_scores_q8_0,
                                             mn_attend_absorb_q8_0, NULL};
    table->direct[MN_Q4_0] = (mn_direct_ops){MAX_DIRECT_ROWS_BYTES, mn_attend_pack_q_q4_0, mn_attend_scores_q4_0,
                                             mn_attend_absorb_q4_0, NULL};
}
