/* A set of byte strings, numbered in the order in which they come. */
#ifndef MN_TOKENIZER_PIECES_H
#define MN_TOKENIZER_PIECES_H

#include "base/status.h"
#include "base/strbuf.h"

#include <stdint.h>

typedef struct mn_piece_slot {
    size_t begin; /* in text */
    uint32_t bytes, hash;
    int32_t number_plus_one; /* 0: free */
} mn_piece_slot;

/* Zero it first, text as MN_STRBUF_INIT; the owner releases it. */
typedef struct mn_pieces {
    mn_strbuf text; /* all of them, back to back */
    mn_piece_slot *slots;
    size_t n_slots; /* a power of two, or 0 */
    int32_t n;
} mn_pieces;

/* The number of this string, which is added if it is new. Amortised O(bytes). */
mn_status mn_pieces_number(mn_pieces *pieces, const char *text, size_t bytes, int32_t *out, mn_error *err);
void mn_pieces_release(mn_pieces *pieces);

#endif
