/* Attention's inner loops: tiles of scores and of weighted values. Which keys a query sees, and how work is split over
 * threads, is decided in attention/.
 *
 * A key tile is MN_TILE_KEYS consecutive keys, packed once and then used by every query row that sees it. Scores are in
 * units of log2: the factor scale * log2(e) is folded into the packed queries, and weights are powers of two.
 */
#ifndef MN_KERNELS_ATTEND_H
#define MN_KERNELS_ATTEND_H

#include "tensor/dtype.h"

#include <stdint.h>

enum {
    MN_TILE_KEYS = 64,       /* keys of a tile */
    MN_TILE_ROWS = 6,        /* query rows that one call takes at most: what the registers hold */
    MN_ATTEND_MAX_DIM = 1024 /* longest key or value row */
};

/* Rows are padded with zeros to whole vectors of 16: dims named *_pad below. */
static inline int mn_attend_pad(int dim) { return (dim + 15) & ~15; }

/* The running softmax of some query rows (Milakov and Gimelshein 2018; FlashAttention-2, arXiv:2307.08691, alg. 1).
 * The row's output so far is o / l. m may lag behind the true maximum by MN_RESCALE_THRESHOLD (FlashAttention-4's
 * conditional rescale): l and o use the same m, so their ratio is not touched. Start: m = -inf, l = 0, o = 0. */
typedef struct mn_softmax_rows {
    float *m, *l; /* [n_rows] */
    float *o;     /* [n_rows, v_pad] */
} mn_softmax_rows;

/* A weight may exceed 1 by 2^8 before its row is rescaled. */
#define MN_RESCALE_THRESHOLD 8.0f

/* One arithmetic over tiles. Operands ("packed") are opaque to the caller: per row of q k_pad, per key tile k_pad *
 * MN_TILE_KEYS, per value tile v_pad * MN_TILE_KEYS elements of operand_bytes, 64-byte aligned. What a row receives does
 * not depend on which rows share its call. */
typedef struct mn_attend_ops {
    int operand_bytes;
    /* One query row times factor. */
    void (*pack_q)(void *packed, const float *q, float factor, int k_dim);
    /* n_keys <= MN_TILE_KEYS rows, row_bytes apart, of f32, f16, bf16, q8_0 or q4_0; absent keys become zeros. */
    void (*pack_k)(void *packed, mn_dtype type, const void *rows, size_t row_bytes, int n_keys, int k_dim);
    void (*pack_v)(void *packed, mn_dtype type, const void *rows, size_t row_bytes, int n_keys, int v_dim);
    /* s[r, j] = q_r . k_j, s [n_rows, MN_TILE_KEYS], n_rows <= MN_TILE_ROWS */
    void (*scores)(float *s, const void *q, const void *k, int n_rows, int k_pad);
    /* Adds a tile to the running softmax: p = 2^(s - m), l += sum p, o += p v. Overwrites s. Scores of -inf weigh 0. */
    void (*absorb)(mn_softmax_rows rows, float *s, const void *v, int n_rows, int v_pad);
    /* s_i = cap tanh(s_i) for one row of a tile */
    void (*softcap)(float *s, float cap);
    /* s_j += first + step * j for one row of a tile (ALiBi, arXiv:2108.12409) */
    void (*add_slope)(float *s, float first, float step);
} mn_attend_ops;

/* Against a softmax in double precision, error of a row's output relative to its norm, while |scores| <= 16:
 * f32: 1e-6. fast: the same, or 2e-3 where the level multiplies in bf16 (sums and softmax stay f32). */
typedef struct mn_attend_kernels {
    mn_attend_ops f32, fast;
} mn_attend_kernels;

void mn_attend_init_generic(mn_attend_kernels *table);
void mn_attend_init_avx2(mn_attend_kernels *table);
void mn_attend_init_avx512(mn_attend_kernels *table);
void mn_attend_init_avx512bf16(mn_attend_kernels *table);
void mn_attend_init_neon(mn_attend_kernels *table);

#endif
