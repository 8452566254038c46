/* The backward of attention tiles multiplied by vdpbf16ps: P and dS are rounded to bf16 as the forward's weights are,
 * and everything is summed in f32.
 *
 * Packed rows: q [64][k_pad] and d_out [64][v_pad], then both as pairs of rows, [32][k_pad] and [32][v_pad]. Packed
 * keys: k [k_pad / 2][64] and v [v_pad / 2][64] by pairs of dims, k by pairs of keys [32][k_pad].
 */
#include "kernels/attend_dot_avx512bf16.h"

#include "kernels/attend_back_f32.h"

enum { PAIR_ROWS = MN_BACKWARD_ROWS / 2, PAIR_KEYS = MN_TILE_KEYS / 2 };

typedef struct packed_rows {
    uint32_t *q, *d_out, *q_pairs, *d_out_pairs;
} packed_rows;

static packed_rows rows_view(const char *packed, int k_pad, int v_pad) {
    packed_rows p = {.q = (uint32_t *)(uintptr_t)packed};
    p.d_out = p.q + MN_BACKWARD_ROWS * k_pad / 2;
    p.q_pairs = p.d_out + MN_BACKWARD_ROWS * v_pad / 2;
    p.d_out_pairs = p.q_pairs + PAIR_ROWS * k_pad;
    return p;
}

static size_t rows_bytes(int k_pad, int v_pad) { return (size_t)MN_BACKWARD_ROWS * (size_t)(k_pad + v_pad) * 4; }

static size_t keys_bytes(int k_pad, int v_pad) { return (size_t)MN_TILE_KEYS * (size_t)(2 * k_pad + v_pad) * 2; }

/* Rows r and r + 1 (NULL: none) as they are and as pairs. */
MN_INLINE void pack_two(uint32_t *rows, uint32_t *pairs, const float *a, const float *b, int dim) {
    int pad = mn_attend_pad(dim);
    for (int i = 0; 32 * i < pad; i++) {
        __mmask32 mask = dims_mask(dim, i), there = dims_mask(pad, i);
        __m512i x = load_bf16(MN_F32, (const char *)a, i, mask), y = _mm512_setzero_si512();
        if (b) y = load_bf16(MN_F32, (const char *)b, i, mask);
        _mm512_mask_storeu_epi16(rows + 16 * i, there, x);
        if (b) _mm512_mask_storeu_epi16(rows + pad / 2 + 16 * i, there, y);
        pack_v_pair((char *)(pairs + 32 * i), x, y, pad - 32 * i);
    }
}

static void pack_rows(void *packed, const float *const *q, const float *const *d_out, int n_rows, int k_dim,
                      int v_dim) {
    int k_pad = mn_attend_pad(k_dim), v_pad = mn_attend_pad(v_dim);
    packed_rows p = rows_view(packed, k_pad, v_pad);
    for (int r = 0; r < n_rows; r += 2) {
        bool two = r + 1 < n_rows;
        pack_two(p.q + r * k_pad / 2, p.q_pairs + r / 2 * k_pad, q[r], two ? q[r + 1] : NULL, k_dim);
        pack_two(p.d_out + r * v_pad / 2, p.d_out_pairs + r / 2 * v_pad, d_out[r], two ? d_out[r + 1] : NULL, v_dim);
    }
}

static void pack_keys(void *packed, const mn_cached_rows *k, const mn_cached_rows *v, int k_dim, int v_dim) {
    int k_pad = mn_attend_pad(k_dim), v_pad = mn_attend_pad(v_dim);
    char *keys = packed, *values = keys + (size_t)PAIR_KEYS * 4 * (size_t)k_pad;
    char *by_keys = values + (size_t)PAIR_KEYS * 4 * (size_t)v_pad;
    FOR_CACHED_TYPE(pack_k_type, keys, k, k_dim, k_pad)
    FOR_CACHED_TYPE(pack_k_type, values, v, v_dim, v_pad)
    FOR_CACHED_TYPE(pack_v_type, by_keys, k, k_dim)
}

/* P and dS of a tile, rounded. */
typedef struct weights {
    float s[TILE_ROWS][MN_TILE_KEYS], ds[TILE_ROWS][MN_TILE_KEYS]; /* of the rows under way */
    uint32_t p_pairs[PAIR_ROWS][MN_TILE_KEYS], ds_pairs[PAIR_ROWS][MN_TILE_KEYS];
    uint32_t ds_rows[MN_BACKWARD_ROWS][PAIR_KEYS];
} weights;

MN_INLINE __m512i round_keys(const float *row, int first) {
    return round_pair(_mm512_load_ps(row + first), _mm512_load_ps(row + first + 16));
}

/* Rows r and r + 1 of those under way, which are rows `row` and row + 1 of the tile. */
MN_INLINE void round_two(weights *w, int r, int row, bool two) {
    for (int i = 0; i < MN_TILE_KEYS; i += 32) {
        __m512i none = _mm512_setzero_si512();
        __m512i p = round_keys(w->s[r], i), ds = round_keys(w->ds[r], i);
        __m512i next_ds = two ? round_keys(w->ds[r + 1], i) : none;
        pack_v_pair((char *)&w->p_pairs[row / 2][i], p, two ? round_keys(w->s[r + 1], i) : none, 32);
        pack_v_pair((char *)&w->ds_pairs[row / 2][i], ds, next_ds, 32);
        _mm512_store_si512(&w->ds_rows[row][i / 2], ds);
        if (two) _mm512_store_si512(&w->ds_rows[row + 1][i / 2], next_ds);
    }
}

/* out [64, width] += w^T rows, w by pairs of rows [n_pairs][64], rows by pairs [n_pairs][width] */
static void sum_pairs(float *out, const uint32_t *w, const uint32_t *rows, int n_pairs, int width) {
    for (int j = 0; j < MN_TILE_KEYS; j += TILE_ROWS)
        dot(out + j * width, w + j, 1, MN_TILE_KEYS, rows, n_pairs, width,
            MN_TILE_KEYS - j < TILE_ROWS ? MN_TILE_KEYS - j : TILE_ROWS, 1, true);
}

static void tile(const mn_attend_back *t) {
    packed_rows rows = rows_view(t->rows, t->k_pad, t->v_pad);
    const uint32_t *k = (const uint32_t *)(const void *)t->keys, *v = k + PAIR_KEYS * t->k_pad;
    const uint32_t *k_pairs = v + PAIR_KEYS * t->v_pad;
    weights *w = (weights *)(void *)t->room;
    for (int r = 0; r < t->n_rows; r += TILE_ROWS) {
        int n = t->n_rows - r < TILE_ROWS ? t->n_rows - r : TILE_ROWS;
        dot(w->s[0], rows.q + r * t->k_pad / 2, t->k_pad / 2, 1, k, t->k_pad / 2, MN_TILE_KEYS, n, 1, false);
        dot(w->ds[0], rows.d_out + r * t->v_pad / 2, t->v_pad / 2, 1, v, t->v_pad / 2, MN_TILE_KEYS, n, 1, false);
        weigh_back_rows(t, w->s[0], w->ds[0], r, n);
        for (int i = 0; i < n; i += 2) round_two(w, i, r + i, i + 1 < n);
    }
    for (int r = 0; r < t->n_rows; r += TILE_ROWS)
        dot(t->d_q + r * t->k_pad, w->ds_rows[r], PAIR_KEYS, 1, k_pairs, PAIR_KEYS, t->k_pad,
            t->n_rows - r < TILE_ROWS ? t->n_rows - r : TILE_ROWS, 1, true);
    int n_pairs = (t->n_rows + 1) / 2;
    sum_pairs(t->d_v, w->p_pairs[0], rows.d_out_pairs, n_pairs, t->v_pad);
    sum_pairs(t->d_k, w->ds_pairs[0], rows.q_pairs, n_pairs, t->k_pad);
}

void mn_attend_back_init_avx512bf16(mn_attend_kernels *table) {
    table->back_fast = (mn_attend_back_ops){.rows_bytes = rows_bytes,
                                            .keys_bytes = keys_bytes,
                                            .room_bytes = (sizeof(weights) + 63) & ~(size_t)63,
                                            .pack_rows = pack_rows,
                                            .pack_keys = pack_keys,
                                            .tile = tile};
}
