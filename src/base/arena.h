/* Bump allocator for one lifetime: everything allocated is freed, or reused, together.
 *
 * Memory comes in chunks that are kept by mn_arena_reset, so a step that allocates the same shapes as the last one
 * never reaches malloc. Every block is 64-byte aligned and uninitialised. Not thread-safe: the owner allocates,
 * then hands pointers to its workers.
 */
#ifndef MN_BASE_ARENA_H
#define MN_BASE_ARENA_H

#include <stddef.h>

typedef struct mn_arena_chunk mn_arena_chunk;

typedef struct mn_arena {
    mn_arena_chunk *first, *current;
    size_t used_bytes; /* sum of live blocks, alignment included */
    size_t most_bytes; /* the largest used_bytes so far */
    size_t held_bytes; /* what was taken from malloc */
} mn_arena;

/* A point to go back to: what was allocated after the mark is freed by mn_arena_rewind. */
typedef struct mn_arena_mark {
    mn_arena_chunk *chunk;
    size_t offset, used_bytes;
} mn_arena_mark;

#define MN_ARENA_INIT                                                                                                  \
    { 0 }

/* n_items * item_bytes bytes, or NULL when memory ends or the product overflows. Arena owns the block. */
void *mn_arena_alloc(mn_arena *arena, size_t n_items, size_t item_bytes);
/* The same, zeroed. */
void *mn_arena_zalloc(mn_arena *arena, size_t n_items, size_t item_bytes);
/* Makes sure that the next `bytes` bytes need no malloc. Returns false when memory ends. */
int mn_arena_reserve(mn_arena *arena, size_t bytes);
/* The same in one chunk, for an arena without live blocks and marks; chunks that are too small are given back. */
int mn_arena_renew(mn_arena *arena, size_t bytes);
mn_arena_mark mn_arena_get_mark(const mn_arena *arena);
void mn_arena_rewind(mn_arena *arena, mn_arena_mark mark);
void mn_arena_reset(mn_arena *arena);
void mn_arena_release(mn_arena *arena);

#endif
