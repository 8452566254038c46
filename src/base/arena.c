#include "base/arena.h"

#include "base/checked.h"
#include "base/huge.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGN_BYTES = 64, MIN_CHUNK_BYTES = 1 << 18 };

struct mn_arena_chunk {
    mn_arena_chunk *next;
    size_t capacity, offset;
    char *data;
};

static mn_arena_chunk *chunk_create(size_t capacity) {
    mn_arena_chunk *chunk = malloc(sizeof *chunk);
    if (!chunk) return NULL;
    chunk->data = mn_huge_alloc(capacity); /* rows of a step lie a page and more apart */
    if (!chunk->data) {
        free(chunk);
        return NULL;
    }
    chunk->next = NULL;
    chunk->capacity = capacity;
    chunk->offset = 0;
    return chunk;
}

/* Makes a chunk with room for `bytes` current: a kept one that is large enough, else a new one put after current. */
static int advance(mn_arena *arena, size_t bytes) {
    mn_arena_chunk *last = arena->current;
    mn_arena_chunk *next = last ? last->next : arena->first;
    if (!next || next->capacity < bytes) {
        size_t capacity = MN_MAX(bytes, MN_MAX((size_t)MIN_CHUNK_BYTES, arena->held_bytes / 2));
        if (!mn_align_size(capacity, ALIGN_BYTES, &capacity)) return 0;
        mn_arena_chunk *chunk = chunk_create(capacity);
        if (!chunk) return 0;
        chunk->next = next;
        *(last ? &last->next : &arena->first) = chunk;
        arena->held_bytes += capacity;
        next = chunk;
    }
    next->offset = 0;
    arena->current = next;
    return 1;
}

static int has_room(const mn_arena *arena, size_t bytes) {
    return arena->current && arena->current->capacity - arena->current->offset >= bytes;
}

int mn_arena_reserve(mn_arena *arena, size_t bytes) {
    return mn_align_size(bytes, ALIGN_BYTES, &bytes) && (has_room(arena, bytes) || advance(arena, bytes));
}

int mn_arena_renew(mn_arena *arena, size_t bytes) {
    mn_arena_reset(arena);
    arena->current = arena->first;
    if (arena->first) arena->first->offset = 0;
    if (has_room(arena, bytes)) return 1;
    mn_arena_release(arena);
    return mn_arena_reserve(arena, bytes);
}

void *mn_arena_alloc(mn_arena *arena, size_t n_items, size_t item_bytes) {
    size_t bytes;
    if (!mn_mul_size(n_items, item_bytes, &bytes)) return NULL;
    if (bytes == 0) bytes = 1;
    if (!mn_align_size(bytes, ALIGN_BYTES, &bytes)) return NULL;
    if (!has_room(arena, bytes) && !advance(arena, bytes)) return NULL;
    void *block = arena->current->data + arena->current->offset;
    arena->current->offset += bytes;
    arena->used_bytes += bytes;
    arena->most_bytes = MN_MAX(arena->most_bytes, arena->used_bytes);
    return block;
}

void *mn_arena_zalloc(mn_arena *arena, size_t n_items, size_t item_bytes) {
    void *block = mn_arena_alloc(arena, n_items, item_bytes);
    if (block) memset(block, 0, n_items * item_bytes);
    return block;
}

mn_arena_mark mn_arena_get_mark(const mn_arena *arena) {
    return (mn_arena_mark){arena->current, arena->current ? arena->current->offset : 0, arena->used_bytes};
}

void mn_arena_rewind(mn_arena *arena, mn_arena_mark mark) {
    arena->current = mark.chunk;
    if (mark.chunk) mark.chunk->offset = mark.offset;
    arena->used_bytes = mark.used_bytes;
}

void mn_arena_reset(mn_arena *arena) { mn_arena_rewind(arena, (mn_arena_mark){0}); }

void mn_arena_release(mn_arena *arena) {
    for (mn_arena_chunk *chunk = arena->first, *next; chunk; chunk = next) {
        next = chunk->next;
        free(chunk->data);
        free(chunk);
    }
    *arena = (mn_arena)MN_ARENA_INIT;
}
