/* Which keys a query row sees: bounds (causal, window, segment, rows filled) and block lists. */
#ifndef MN_ATTENTION_VISIBLE_H
#define MN_ATTENTION_VISIBLE_H

#include "attention/types.h"

/* Keys [begin, end). */
typedef struct mn_key_range {
    int64_t begin, end;
} mn_key_range;

/* The keys that causality, window, segment and the number of KV entries leave to a token; both ends grow with it.
 * Sinks before the range are seen as well; dilation leaves gaps in it. */
mn_key_range mn_visible_range(const mn_attend *a, int64_t token);

/* How many query heads of a KV head's group have a list of their own: its group, or 1 where they are alike. */
int mn_heads_listed(const mn_attend *a);

/* Blocks of a->blocks->blocks, ascending. */
typedef struct mn_block_span {
    const int32_t *begin, *end;
} mn_block_span;
/* The list of a query head and a token, from block `first` on. */
mn_block_span mn_listed_blocks(const mn_attend *a, int head, int64_t token, int64_t first);

/* Bit i: may the token see the keys [tile_begin + 16 i, + 16) by the block list of query head h? All set without lists.
 */
unsigned mn_visible_granules(const mn_attend *a, int h, int64_t token, int64_t tile_begin);

/* The first key tile (begin of MN_TILE_KEYS keys, a multiple of it) at or after tile_begin of which a token in
 * [first_token, last_token] may see a part by a list of KV head h; INT64_MAX when there is none. */
int64_t mn_next_visible_tile(const mn_attend *a, int h, int64_t first_token, int64_t last_token, int64_t tile_begin);

/* Bit j: query head `head` sees key tile_begin + j with the token's query, all that a call says considered. */
uint64_t mn_visible_keys(const mn_attend *a, int head, int64_t token, int64_t tile_begin);
/* The same where the granules are known: those of its list are its whole query block's. */
uint64_t mn_visible_of(const mn_attend *a, unsigned granules, int64_t token, int64_t tile_begin);

/* What tokens [first_token, last_token] see of a key tile, all query heads of KV head h considered: SOME may be said
 * where it is none or all. */
typedef enum mn_sight { MN_SEES_NONE, MN_SEES_SOME, MN_SEES_ALL } mn_sight;
mn_sight mn_look(const mn_attend *a, int h, int64_t first_token, int64_t last_token, int64_t tile_begin);

/* The same for one query head. */
mn_sight mn_look_head(const mn_attend *a, int head, int64_t first_token, int64_t last_token, int64_t tile_begin);

/* Sets bit b of bits, b < n_blocks, for every block [b * block_tokens, (b + 1) * block_tokens) of keys of which a token
 * in [first_token, last_token] may see a part by a list of KV head h; without lists, for all. block_tokens >= 16, a
 * power of two. */
void mn_visible_blocks(const mn_attend *a, int h, int64_t first_token, int64_t last_token, int block_tokens,
                       int64_t n_blocks, uint64_t *bits);

/* (query, key) pairs that a call computes, the mean over its query heads: keys in the blocks that are listed, or in the
 * range that is visible, each row's causal end considered. */
typedef struct mn_pair_count {
    double all, last_row;
} mn_pair_count;
/* Cost: O(rows, lists). */
mn_pair_count mn_visible_pairs(const mn_attend *a);

/* seen[p] = 1 for the pages of the kv.n_tokens rows of which any row of the call may see a key, 0 for the others, which
 * are then never read. */
void mn_visible_pages(const mn_attend *a, uint8_t *seen);

#endif
