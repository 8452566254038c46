/* Decode from lists: one token whose block lists name all that it sees walks them, entry after entry, with no look at
 * what lies between.
 */
#ifndef MN_ATTENTION_LISTED_H
#define MN_ATTENTION_LISTED_H

#include "attention/tile.h"

/* Whether the rows of a call can walk their lists: one token, read as it is cached, with neither masks nor biases. */
bool mn_walks_lists(const mn_attend *a, mn_arithmetic by);
/* Whether, moreover, each query head walks a list of its own, chosen by content. Its ranges are then of so many listed
 * keys, and its tiles full: of a list of all blocks, those that no list gives. */
bool mn_walks_by_head(const mn_attend *a, mn_arithmetic by);
/* Keys of the longest list of such a call. */
int64_t mn_listed_keys(const mn_attend *a);

/* Absorbs the listed keys of the tile's rows, which share a list: those at positions [begin, end); or the begin-th to
 * the end-th of the list, both multiples of MN_TILE_KEYS or of a block. */
void mn_absorb_listed(const mn_row_tile *tile, mn_softmax_rows rows, int64_t begin, int64_t end);
void mn_absorb_listed_nth(const mn_row_tile *tile, mn_softmax_rows rows, int64_t begin, int64_t end);

#endif
