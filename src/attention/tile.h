/* A tile of query rows meets ranges of keys: the part that flash.c and decode.c share.
 *
 * Keys are taken in tiles aligned to absolute positions and in ranges of MN_RANGE_KEYS, each with a softmax of its own,
 * merged in ascending order. So a row's result depends neither on the rows that share its tile, nor on the chunk of
 * the prompt it came with, nor on who computed which range; and rounding does not grow with the context.
 */
#ifndef MN_ATTENTION_TILE_H
#define MN_ATTENTION_TILE_H

#include "attention/visible.h"
#include "base/arena.h"
#include "kernels/attend.h"

/* The arithmetic of a call: direct_k and direct_v are NULL where rows are packed. */
typedef struct mn_arithmetic {
    const mn_attend_ops *ops;
    const mn_direct_ops *direct_k, *direct_v;
} mn_arithmetic;

/* exact: f32 tiles, so that a row comes out the same whatever its chunk. Few rows may be computed directly. */
mn_arithmetic mn_choose_arithmetic(const mn_attend_kernels *kernels, bool exact, const mn_attend *a, int64_t n_tokens);

/* The packed operands of some rows of one KV head's group, and room for the keys and values of a tile or a run of them.
 * A row of the tile is a (token, query head) pair, tokens slowest; where each head has lists of its own heads slowest,
 * so that rows that see the same stand together. */
typedef struct mn_row_tile {
    const mn_attend *a;
    mn_arithmetic by;
    int kv_head, first_head, group, k_pad, v_pad; /* query heads [first_head, first_head + group) */
    float factor;                                 /* of the scores */
    int64_t first_token;
    int n_tokens;
    char *q, *k, *v;
    float *s;
    uint64_t *seen; /* of the key tiles of a run */
    char *gathered; /* keys and values that are put together */
} mn_row_tile;

/* The KV entries of a key tile; pages hold whole tiles. rows is NULL when the page was dropped. What is ahead is the
 * second next tile of this KV head, or the same one at the end. */
mn_cached_rows mn_tile_rows(const mn_kv_view *kv, int kv_head, bool values, int64_t tile_begin);

/* Bytes of scratch for n_rows rows; a multiple of 64. */
size_t mn_row_tile_bytes(const mn_attend *a, mn_arithmetic by, int64_t n_rows);
/* Packs the queries of tokens [first_row, first_row + n_tokens) of a into scratch, 64-byte aligned. */
mn_row_tile mn_row_tile_init(const mn_attend *a, mn_arithmetic by, int kv_head, int64_t first_row, int n_tokens,
                             void *scratch);
/* The same for one query head of the only token of a. */
mn_row_tile mn_head_tile_init(const mn_attend *a, mn_arithmetic by, int head, void *scratch);
/* Absorbs the visible keys in [begin, end), begin a multiple of MN_TILE_KEYS, into rows (which the caller has
 * cleared: mn_softmax_clear). */
void mn_row_tile_absorb(const mn_row_tile *tile, mn_softmax_rows rows, int64_t begin, int64_t end);

/* Keys that any row of the tile may see, of those that the call looks at. */
mn_key_range mn_row_tile_range(const mn_attend *a, int64_t first_row, int64_t n_tokens);
/* Memory for a->sums, cleared, of the rows of a, whose mla is NULL; NULL when the arena has none. */
float *mn_attend_sums(mn_arena *arena, const mn_attend *a);
/* The running softmaxes of a KV head's rows in a->sums. */
mn_softmax_rows mn_attend_sums_of(const mn_attend *a, int kv_head);

/* Floats of n_rows running softmaxes, and a view of them in memory of that size, 64-byte aligned. */
size_t mn_softmax_floats(int64_t n_rows, int v_pad);
mn_softmax_rows mn_softmax_view(float *memory, int64_t n_rows, int v_pad);
void mn_softmax_clear(mn_softmax_rows rows, int64_t n_rows, int v_pad);
/* The rows from the first-th on. */
mn_softmax_rows mn_softmax_skip(mn_softmax_rows rows, int64_t first, int v_pad);
/* out = o / l for the rows of tile, a sink added to l; zeros for rows that saw nothing. */
void mn_row_tile_write(const mn_row_tile *tile, mn_softmax_rows total);

#endif
