/* Attention's inner loops: tiles of scores and of weighted values. Which keys a query sees, and how work is split over
 * threads, is decided in attention/.
 *
 * A key tile is MN_TILE_KEYS consecutive keys, packed once and then used by every query row that sees it. Scores are in
 * units of log2: products are scaled by scale * log2(e), and weights are powers of two.
 */
#ifndef MN_KERNELS_ATTEND_H
#define MN_KERNELS_ATTEND_H

#include "tensor/dtype.h"

#include <stdint.h>

enum {
    MN_ROW_TILE_BYTES = 512 << 10, /* row_tile_bytes where the cache may have no more than a mebibyte */
    MN_TILE_KEYS = 64,             /* keys of a tile */
    MN_ATTEND_MAX_DIM = 1024       /* longest key or value row */
};

/* Rows are padded with zeros to whole vectors of 16, those of queries and keys to k_dims: dims named *_pad below. */
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

/* KV entries as they are stored in the cache. */
typedef struct mn_cached_rows {
    mn_dtype type;
    const char *rows; /* of the first key */
    size_t row_bytes;
    int n_keys;        /* <= MN_TILE_KEYS */
    const char *ahead; /* rows of a tile that comes soon, to be fetched meanwhile; or the same rows */
} mn_cached_rows;

/* Some key tiles and all the rows that may see a part of them, in one go. */
enum { MN_RUN_TILES = 4 };
typedef struct mn_attend_run {
    const char *q;     /* packed rows */
    const char *k, *v; /* [n_tiles] packed tiles */
    const uint64_t
        *seen[MN_RUN_TILES]; /* of a tile, [n_rows]: bit j is set where the row sees key j. NULL: all do, all of it */
    int n_tiles, n_rows, k_pad, v_pad;
    float factor; /* > 0 */
    char *room;   /* run_bytes of the arithmetic, 64-byte aligned */
} mn_attend_run;

/* One arithmetic over tiles. Operands ("packed") are opaque to the caller: per row of q k_pad, per key tile k_pad *
 * MN_TILE_KEYS, per value tile v_pad * MN_TILE_KEYS elements of operand_bytes, 64-byte aligned. What a row receives
 * does not depend on which rows share its call. */
typedef struct mn_attend_ops {
    int operand_bytes;
    int k_dims;    /* query and key rows are padded with zeros to a multiple of so many dims, 16 or 32: k_pad */
    int tile_rows; /* query rows that one call takes at most: what the registers hold */
    /* Queries and outputs of the rows that share packed keys and values: they stay in the second-level cache. */
    size_t row_tile_bytes;
    /* Before and after any of the calls below on a thread, where the processor has state to set up. NULL: nothing to
     * do. */
    void (*enter)(void);
    void (*leave)(void);
    void (*pack_q)(void *packed, const float *q, int k_dim);
    /* Rows of f32, f16, bf16, q8_0 or q4_0; absent keys become zeros. */
    void (*pack_k)(void *packed, const mn_cached_rows *k, int k_dim);
    void (*pack_v)(void *packed, const mn_cached_rows *v, int v_dim);
    /* s[r, j] = factor * q_r . k_j, s [tile_rows, MN_TILE_KEYS], n_rows <= tile_rows. Rows of q and s up to tile_rows
     * are read and written. */
    void (*scores)(float *s, const void *q, const void *k, float factor, int n_rows, int k_pad);
    /* Adds a tile to the running softmax: p = 2^(s - m), l += sum p, o += p v. Overwrites s. Scores of -inf weigh 0. */
    void (*absorb)(mn_softmax_rows rows, float *s, const void *v, int n_rows, int v_pad);
    /* Both for a run, where masks are all that must be done to scores. Which tiles share a run changes no bit; scores
     * and absorb may round otherwise. NULL: there is nothing to win. */
    void (*attend)(mn_softmax_rows rows, const mn_attend_run *run);
    size_t run_bytes;
    /* total += part for n_rows rows, by log-sum-exp: both are brought to the larger maximum. */
    void (*merge)(mn_softmax_rows total, mn_softmax_rows part, int64_t n_rows, int v_pad);
    /* Scores of one row of a tile whose bit is not set become -INFINITY. */
    void (*mask)(float *s, uint64_t seen);
    /* s_i = cap tanh(s_i) for one row of a tile */
    void (*softcap)(float *s, float cap);
    /* s_j += slope * (offset + j) for one row of a tile (ALiBi, arXiv:2108.12409) */
    void (*add_slope)(float *s, float slope, float offset);
} mn_attend_ops;

/* The same from rows of one type as they are cached, for so few queries that packing would cost more than it saves.
 * dims: multiples of 16. */
typedef struct mn_direct_ops {
    int max_rows; /* above so many query rows packing pays; 0: it always does (this type, this level) */
    /* Into mn_direct_q_bytes(k_dim) bytes, 64-byte aligned. */
    void (*pack_q)(void *packed, const float *q, int k_dim);
    void (*scores)(float *s, const void *q, const mn_cached_rows *k, float factor, int n_rows, int k_dim);
    void (*absorb)(mn_softmax_rows rows, float *s, const mn_cached_rows *v, int n_rows, int v_dim);
    /* To the bit the same where the tile lies in parts, keys of s in their order. NULL: it must be put together. */
    void (*absorb_parts)(mn_softmax_rows rows, float *s, const mn_cached_rows *parts, int n_parts, int n_rows,
                         int v_dim);
} mn_direct_ops;

static inline size_t mn_direct_q_bytes(int k_dim) { return (size_t)((k_dim + 63) & ~63) * sizeof(float); }

/* A tile of query rows and a key tile on the way back (FlashAttention-2, arXiv:2307.08691, alg. 2). P is remade from
 * the forward's log-sum-exp:
 *
 *   P = 2^(x - lse)                                    x = factor q.k, soft-cap, bias
 *   dS = P (dP - delta)                                dP = d_out . v, delta = d_out . out; of the soft-cap's operand
 *                                                      where there is one
 *   d_q += dS k,  d_k += dS^T q,  d_v += P^T d_out     the caller scales d_q and d_k by the scale of the scores */
enum { MN_BACKWARD_ROWS = 64 };
typedef struct mn_attend_back {
    const char *rows, *keys; /* packed */
    int n_rows;              /* <= MN_BACKWARD_ROWS */
    int k_pad, v_pad;
    float factor, cap;           /* cap: of x; 0 = none */
    const float *lse, *delta;    /* [n_rows]; lse -INFINITY for a row that saw nothing */
    const float *slope, *offset; /* [n_rows]: x_j += slope (offset + j), or NULL */
    const uint64_t *seen;        /* [n_rows]: bit j is set where the row sees key j. NULL: all see all */
    float *d_q, *d_k, *d_v;      /* [n_rows, k_pad], [MN_TILE_KEYS, k_pad], [MN_TILE_KEYS, v_pad] */
    char *room;                  /* room_bytes, 64-byte aligned, as all of these are */
} mn_attend_back;

typedef struct mn_attend_back_ops {
    /* Bytes of MN_BACKWARD_ROWS packed rows, and of a packed key tile with its values; multiples of 64. */
    size_t (*rows_bytes)(int k_pad, int v_pad);
    size_t (*keys_bytes)(int k_pad, int v_pad);
    size_t room_bytes;
    /* q[r] [k_dim] and d_out[r] [v_dim], n_rows of them. */
    void (*pack_rows)(void *packed, const float *const *q, const float *const *d_out, int n_rows, int k_dim, int v_dim);
    /* Absent keys become zeros. */
    void (*pack_keys)(void *packed, const mn_cached_rows *k, const mn_cached_rows *v, int k_dim, int v_dim);
    void (*tile)(const mn_attend_back *tile);
} mn_attend_back_ops;

/* Error against a softmax in double precision, relative to the norm, while |scores| <= 16 (beyond, float's rounding of
 * the scores themselves shows): f32 and direct 1e-6 in every row, but 1e-4 where q8_0 or q4_0 rows are dotted as bytes
 * (queries and weights are rounded to 16 bits then). fast: as f32, or where the level multiplies in bf16
 * 2e-3 over all rows and 4e-3 in the worst, for queries, keys and values that are bf16 already; rounding others costs
 * up to 1e-2 in the worst row. Sums and softmax stay f32. */
typedef struct mn_attend_kernels {
    mn_attend_ops f32, fast;
    mn_attend_back_ops back_f32, back_fast;
    mn_direct_ops direct[MN_DTYPE_COUNT]; /* keys and values each by their own type */
} mn_attend_kernels;

void mn_attend_init_generic(mn_attend_kernels *table);
void mn_attend_back_init_generic(mn_attend_kernels *table);
void mn_attend_init_avx2(mn_attend_kernels *table);
void mn_attend_back_init_avx2(mn_attend_kernels *table);
void mn_attend_init_avx512(mn_attend_kernels *table);
void mn_attend_back_init_avx512(mn_attend_kernels *table);
void mn_attend_back_init_avx512bf16(mn_attend_kernels *table);
void mn_attend_init_avx512bf16(mn_attend_kernels *table);
void mn_attend_init_amx(mn_attend_kernels *table);
void mn_attend_init_neon(mn_attend_kernels *table);
void mn_attend_back_init_neon(mn_attend_kernels *table);

#endif
