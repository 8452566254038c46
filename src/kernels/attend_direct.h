/* Decode directly from the KV cache, written once over the vector of attend_f32.h: a cached element is converted once
 * for the few query rows that see it, and nothing is packed. A level's file includes attend_f32.h, defines
 *   load_elements(type, row, i)   elements [i, i + MN_LANES) of a KV entry
 *   sum_each(sums)                lane j: the sum of the lanes of sums[j], MN_LANES of them
 * then includes this. Rows are taken BLOCK_ROWS at a time; what a row receives does not depend on the others.
 */
#ifndef MN_KERNELS_ATTEND_DIRECT_H
#define MN_KERNELS_ATTEND_DIRECT_H

#include "kernels/attend_ahead.h"
#include "kernels/attend_f32.h"

enum { BLOCK_ROWS = 4, BLOCK_SUMS = 12 }; /* what 16 registers hold beside operands */

MN_INLINE size_t q_row_floats(int k_dim) { return mn_direct_q_bytes(k_dim) / sizeof(float); }

/* sums[r][j] += q_r . k_j, lane by lane, for n_rows queries and n_keys keys. */
MN_INLINE void dot_keys(mn_vf sums[BLOCK_ROWS][MN_LANES], int first, mn_dtype type, const float *q, const char *keys,
                        size_t row_bytes, int n_rows, int n_keys, int k_dim) {
    mn_vf products[BLOCK_ROWS][BLOCK_SUMS];
#pragma GCC unroll 8
    for (int r = 0; r < n_rows; r++)
#pragma GCC unroll 8
        for (int j = 0; j < n_keys; j++) products[r][j] = splat(0);
    for (int i = 0; i < k_dim; i += MN_LANES)
#pragma GCC unroll 8
        for (int j = 0; j < n_keys; j++) {
            mn_vf x = load_elements(type, keys + (size_t)j * row_bytes, i);
#pragma GCC unroll 8
            for (int r = 0; r < n_rows; r++)
                products[r][j] = mn_vf_fma(x, load(q + (size_t)r * q_row_floats(k_dim) + i), products[r][j]);
        }
#pragma GCC unroll 8
    for (int r = 0; r < n_rows; r++)
#pragma GCC unroll 8
        for (int j = 0; j < n_keys; j++) sums[r][first + j] = products[r][j];
}

/* Keys [j, j + n_keys) of a vector's worth of keys from `first` on. */
MN_INLINE void dot_some(mn_vf sums[BLOCK_ROWS][MN_LANES], mn_dtype type, const float *q, const mn_cached_rows *k,
                        int first, int j, int n_rows, int n_keys, int k_dim) {
    size_t at = (size_t)(first + j) * k->row_bytes;
    mn_fetch_ahead(k, at, (size_t)n_keys * k->row_bytes);
    dot_keys(sums, j, type, q, k->rows + at, k->row_bytes, n_rows, n_keys, k_dim);
}

/* As many keys at a time as registers hold sums for. Of a tile that ends early the remaining rows are read, and their
 * scores mean nothing. */
MN_INLINE void score_rows(float *s, mn_dtype type, const float *q, const mn_cached_rows *k, float factor, int n_rows,
                          int k_dim) {
    const int n_keys = n_rows == 1 ? MN_LANES : n_rows == 4 ? 3 : 4;
    mn_vf sums[BLOCK_ROWS][MN_LANES];
    for (int first = 0; first < k->n_keys; first += MN_LANES) {
        int j = 0;
        for (; j + n_keys <= MN_LANES; j += n_keys) dot_some(sums, type, q, k, first, j, n_rows, n_keys, k_dim);
        if (MN_LANES % n_keys) dot_some(sums, type, q, k, first, j, n_rows, MN_LANES % n_keys, k_dim);
        for (int r = 0; r < n_rows; r++) store(s + r * MN_TILE_KEYS + first, splat(factor) * sum_each(sums[r]));
    }
}

MN_INLINE void score_type(float *s, mn_dtype type, const float *q, const mn_cached_rows *k, float factor, int n_rows,
                          int k_dim) {
    switch (n_rows) {
    case 1: score_rows(s, type, q, k, factor, 1, k_dim); break;
    case 2: score_rows(s, type, q, k, factor, 2, k_dim); break;
    case 3: score_rows(s, type, q, k, factor, 3, k_dim); break;
    default: score_rows(s, type, q, k, factor, 4, k_dim); break;
    }
}

static void direct_scores(float *s, const void *packed, const mn_cached_rows *k, float factor, int n_rows, int k_dim) {
    const float *q = packed;
    for (int r = 0; r < n_rows;
         r += BLOCK_ROWS, s += BLOCK_ROWS * MN_TILE_KEYS, q += BLOCK_ROWS * q_row_floats(k_dim)) {
        int n = n_rows - r < BLOCK_ROWS ? n_rows - r : BLOCK_ROWS;
        switch (k->type) {
        case MN_F16: score_type(s, MN_F16, q, k, factor, n, k_dim); break;
        case MN_BF16: score_type(s, MN_BF16, q, k, factor, n, k_dim); break;
        default: score_type(s, MN_F32, q, k, factor, n, k_dim); break;
        }
    }
}

/* The values of a tile: parts of it that may lie apart. */
typedef struct tile_values {
    const mn_cached_rows *parts;
    int n_parts;
} tile_values;

/* o[r, i ...] += sum_j p[r, j] v[j, i ...] over n_vectors vectors */
MN_INLINE void add_values(float *o, mn_dtype type, const float *p, const tile_values *values, int i, int n_rows,
                          int n_vectors, int v_dim) {
    mn_vf sums[BLOCK_ROWS][BLOCK_SUMS];
#pragma GCC unroll 8
    for (int r = 0; r < n_rows; r++)
#pragma GCC unroll 8
        for (int w = 0; w < n_vectors; w++) sums[r][w] = splat(0);
    for (const mn_cached_rows *v = values->parts; v < values->parts + values->n_parts; p += v++->n_keys) {
        const char *row = v->rows;
        size_t share = v->row_bytes * (size_t)(n_vectors * MN_LANES) / (size_t)v_dim;
        size_t ahead = v->row_bytes * (size_t)(i * v->n_keys) / (size_t)v_dim;
        for (int j = 0; j < v->n_keys; j++, row += v->row_bytes, ahead += share) {
            mn_fetch_ahead(v, ahead, share);
#pragma GCC unroll 8
            for (int w = 0; w < n_vectors; w++) {
                mn_vf x = load_elements(type, row, i + w * MN_LANES);
#pragma GCC unroll 8
                for (int r = 0; r < n_rows; r++) sums[r][w] = mn_vf_fma(splat(p[r * MN_TILE_KEYS + j]), x, sums[r][w]);
            }
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < n_rows; r++)
#pragma GCC unroll 8
        for (int w = 0; w < n_vectors; w++) {
            float *cell = o + r * v_dim + i + w * MN_LANES;
            store(cell, load(cell) + sums[r][w]);
        }
}

MN_INLINE void add_rows(float *o, mn_dtype type, const float *p, const tile_values *v, int n_rows, int v_dim) {
    const int n_vectors = n_rows == 1 ? 8 : n_rows == 4 ? 2 : 4;
    int i = 0;
    for (; i + n_vectors * MN_LANES <= v_dim; i += n_vectors * MN_LANES)
        add_values(o, type, p, v, i, n_rows, n_vectors, v_dim);
    for (; i + 2 * MN_LANES <= v_dim; i += 2 * MN_LANES) add_values(o, type, p, v, i, n_rows, 2, v_dim);
}

MN_INLINE void add_type(float *o, mn_dtype type, const float *p, const tile_values *v, int n_rows, int v_dim) {
    switch (n_rows) {
    case 1: add_rows(o, type, p, v, 1, v_dim); break;
    case 2: add_rows(o, type, p, v, 2, v_dim); break;
    case 3: add_rows(o, type, p, v, 3, v_dim); break;
    default: add_rows(o, type, p, v, 4, v_dim); break;
    }
}

static void direct_absorb_parts(mn_softmax_rows rows, float *s, const mn_cached_rows *parts, int n_parts, int n_rows,
                                int v_dim) {
    const tile_values v = {parts, n_parts};
    weigh_f32(rows, s, n_rows, v_dim);
    for (int r = 0; r < n_rows; r += BLOCK_ROWS) {
        int n = n_rows - r < BLOCK_ROWS ? n_rows - r : BLOCK_ROWS;
        float *o = rows.o + r * v_dim;
        const float *p = s + r * MN_TILE_KEYS;
        switch (parts->type) {
        case MN_F16: add_type(o, MN_F16, p, &v, n, v_dim); break;
        case MN_BF16: add_type(o, MN_BF16, p, &v, n, v_dim); break;
        default: add_type(o, MN_F32, p, &v, n, v_dim); break;
        }
    }
}

static void direct_absorb(mn_softmax_rows rows, float *s, const mn_cached_rows *v, int n_rows, int v_dim) {
    direct_absorb_parts(rows, s, v, 1, n_rows, v_dim);
}

static void use_direct(mn_attend_kernels *table, int max_rows) {
    const mn_direct_ops direct = {max_rows, pack_q_f32, direct_scores, direct_absorb, direct_absorb_parts};
    table->direct[MN_F32] = table->direct[MN_F16] = table->direct[MN_BF16] = direct;
}

#endif
