/* The backward of a tile in f32, written once over the vector of attend_f32.h, which stands before this in a level's
 * file. Packed rows: q [64][k_pad], d_out [64][v_pad]. Packed keys: k by dims [k_pad][64], v by dims [v_pad][64], k by
 * keys [64][k_pad].
 */
#ifndef MN_KERNELS_ATTEND_BACK_F32_H
#define MN_KERNELS_ATTEND_BACK_F32_H

#include "kernels/attend_f32.h"

static size_t back_rows_bytes(int k_pad, int v_pad) {
    return (size_t)MN_BACKWARD_ROWS * (size_t)(k_pad + v_pad) * sizeof(float);
}

static size_t back_keys_bytes(int k_pad, int v_pad) {
    return (size_t)MN_TILE_KEYS * (size_t)(2 * k_pad + v_pad) * sizeof(float);
}

static void back_pack_rows(void *packed, const float *const *q, const float *const *d_out, int n_rows, int k_dim,
                           int v_dim) {
    int k_pad = mn_attend_pad(k_dim), v_pad = mn_attend_pad(v_dim);
    float *queries = packed, *gradients = queries + MN_BACKWARD_ROWS * k_pad;
    for (int r = 0; r < n_rows; r++) {
        pack_q_f32(queries + r * k_pad, q[r], k_dim);
        pack_q_f32(gradients + r * v_pad, d_out[r], v_dim);
    }
}

static void back_pack_keys(void *packed, const mn_cached_rows *k, const mn_cached_rows *v, int k_dim, int v_dim) {
    int k_pad = mn_attend_pad(k_dim), v_pad = mn_attend_pad(v_dim);
    float *keys = packed, *values = keys + k_pad * MN_TILE_KEYS;
    pack_k_f32(keys, k, k_dim);
    pack_k_f32(values, v, v_dim);
    pack_v_f32(values + v_pad * MN_TILE_KEYS, k, k_dim);
}

/* Lanes j of [first, first + MN_LANES) of which bit j is set. */
MN_INLINE mn_vi seen_lanes(uint64_t seen, int first) {
    mn_vi bit;
    for (int i = 0; i < MN_LANES; i++) bit[i] = 1 << i;
    return (((int32_t)(seen >> first) - (mn_vi){0}) & bit) == bit;
}

/* A row of products q.k and d_out.v becomes P and dS. */
MN_INLINE void weigh_back(const mn_attend_back *t, float *s, float *ds, int row, const bool biased, const bool masked) {
    mn_vf lse = splat(t->lse[row] == -INFINITY ? 0 : t->lse[row]), delta = splat(t->delta[row]);
    float lanes[MN_LANES] __attribute__((aligned(64)));
    for (int i = 0; i < MN_LANES; i++) lanes[i] = (float)i;
    for (int j = 0; j < MN_TILE_KEYS; j += MN_LANES) {
        mn_vf x = splat(t->factor) * load(s + j), slope_of_cap = splat(1);
        if (biased && t->cap > 0) {
            mn_vf capped = tanh_f32(x);
            x = splat(t->cap) * capped;
            slope_of_cap = splat(1) - capped * capped;
        }
        if (biased && t->slope) x = mn_vf_fma(load(lanes) + splat(t->offset[row] + (float)j), splat(t->slope[row]), x);
        mn_vf p = mn_vf_exp2(x - lse);
        if (masked) p = choose(seen_lanes(t->seen[row], j), p, splat(0));
        store(s + j, p);
        mn_vf d = p * (load(ds + j) - delta);
        if (biased) d *= slope_of_cap;
        store(ds + j, d);
    }
}

static void weigh_back_rows(const mn_attend_back *t, float *s, float *ds, int first, int n_rows) {
    bool biased = t->cap > 0 || t->slope;
    for (int r = first; r < first + n_rows; r++, s += MN_TILE_KEYS, ds += MN_TILE_KEYS) {
        if (t->seen && biased)
            weigh_back(t, s, ds, r, true, true);
        else if (t->seen)
            weigh_back(t, s, ds, r, false, true);
        else
            weigh_back(t, s, ds, r, biased, false);
    }
}

/* s [n_rows, 64] = rows [n_rows, pad] by_dims [pad, 64]; long rows are summed 64 dims at a time. */
static void back_products(float *s, const float *rows, const float *by_dims, int n_rows, int pad) {
    memset(s, 0, (size_t)n_rows * MN_TILE_KEYS * sizeof *s);
    for (int i = 0; i < pad; i += 64)
        multiply(s, rows + i, pad, by_dims + i * MN_TILE_KEYS, pad - i < 64 ? pad - i : 64, MN_TILE_KEYS, n_rows);
}

/* out [64, width] += w^T rows, w [n_rows, 64], rows [n_rows, width] */
static void back_sum_rows(float *out, const float *w, const float *rows, int n_rows, int width) {
    for (int j = 0; j < MN_TILE_KEYS; j += TILE_ROWS)
        multiply_any(out + j * width, w + j, 1, MN_TILE_KEYS, rows, n_rows, width,
                     MN_TILE_KEYS - j < TILE_ROWS ? MN_TILE_KEYS - j : TILE_ROWS);
}

static void back_tile(const mn_attend_back *t) {
    const float *q = (const float *)(const void *)t->rows, *d_out = q + MN_BACKWARD_ROWS * t->k_pad;
    const float *k_by_dims = (const float *)(const void *)t->keys, *v_by_dims = k_by_dims + t->k_pad * MN_TILE_KEYS;
    const float *k = v_by_dims + t->v_pad * MN_TILE_KEYS;
    float *s = (float *)(void *)t->room, *ds = s + MN_BACKWARD_ROWS * MN_TILE_KEYS;
    for (int r = 0; r < t->n_rows; r += TILE_ROWS) {
        int n = t->n_rows - r < TILE_ROWS ? t->n_rows - r : TILE_ROWS;
        back_products(s + r * MN_TILE_KEYS, q + r * t->k_pad, k_by_dims, n, t->k_pad);
        back_products(ds + r * MN_TILE_KEYS, d_out + r * t->v_pad, v_by_dims, n, t->v_pad);
        weigh_back_rows(t, s + r * MN_TILE_KEYS, ds + r * MN_TILE_KEYS, r, n);
    }
    for (int r = 0; r < t->n_rows; r += TILE_ROWS)
        multiply(t->d_q + r * t->k_pad, ds + r * MN_TILE_KEYS, MN_TILE_KEYS, k, MN_TILE_KEYS, t->k_pad,
                 t->n_rows - r < TILE_ROWS ? t->n_rows - r : TILE_ROWS);
    back_sum_rows(t->d_v, s, d_out, t->n_rows, t->v_pad);
    back_sum_rows(t->d_k, ds, q, t->n_rows, t->k_pad);
}

__attribute__((unused)) static const mn_attend_back_ops back_ops_f32 = {
    .rows_bytes = back_rows_bytes,
    .keys_bytes = back_keys_bytes,
    .room_bytes = (size_t)2 * MN_BACKWARD_ROWS * MN_TILE_KEYS * sizeof(float),
    .pack_rows = back_pack_rows,
    .pack_keys = back_pack_keys,
    .tile = back_tile,
};

#endif
