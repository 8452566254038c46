/* Inside a cache: what the files of this room share. */
#ifndef MN_KVCACHE_CACHE_H
#define MN_KVCACHE_CACHE_H

#include "kvcache/disk.h"
#include "kvcache/key_summary.h"
#include "kvcache/kvcache.h"

/* Cold pages are read in multiples of so many: the ranges of keys that attention takes. */
enum { MN_STAGED_PAGES = 8 };

/* Where a layer's entries lie. */
typedef struct mn_kv_place {
    bool windowed;                   /* in the pages of windowed layers, which are given back by themselves */
    size_t offset;                   /* of its page in a slab, of all layers or of the windowed ones */
    size_t slab_offset;              /* of its page in a slab as it is saved */
    size_t k_page_bytes, page_bytes; /* of the keys, which come first; of keys and values */
    size_t k_row_bytes, v_row_bytes; /* of one entry of one head */
} mn_kv_place;

struct mn_kvcache {
    mn_kv_shape shape;
    mn_kv_place *places;    /* [n_layers] */
    size_t most_page_bytes; /* of any layer */
    size_t used_bytes;      /* of a slab */
    size_t slab_bytes;      /* rounded up to a multiple of the system's page */
    size_t window_bytes;    /* of the windowed layers' part of a page, rounded likewise; 0: there are none */
    int64_t n_pages, max_tokens;
    uint8_t *emptied; /* [n_pages]: whether the windowed part was given back; NULL: there are no windowed layers */
    int64_t first_page, end_page; /* written and not dropped */
    int64_t gap_begin, gap_end;   /* but for these, dropped between */
    char *base;
    size_t map_bytes;
    const void **page_lists;   /* per layer: n_pages key pages, then n_pages value pages */
    mn_key_summary *summaries; /* [n_layers], empty until a pattern wants one */
    /* With a file (disk.h): pages [cold_begin, cold_end) are there and nowhere else. */
    mn_disk *disk; /* NULL: all in RAM */
    int64_t cold_begin, cold_end;
    int64_t keep_pages, tail_pages; /* the oldest and the newest: what the RAM given holds */
    int staging_pages;              /* of the layer with the largest, in each of two buffers */
    char *staging;
};

/* The slab of a page in RAM, without the windowed layers, whose parts lie behind all slabs. */
static inline char *mn_kvcache_slab(const mn_kvcache *cache, int64_t page) {
    return cache->base + (size_t)page * cache->slab_bytes;
}
static inline char *mn_kvcache_window_part(const mn_kvcache *cache, int64_t page) {
    return cache->base + (size_t)cache->n_pages * cache->slab_bytes + (size_t)page * cache->window_bytes;
}

/* Lays out an empty cache anew. windowed [n_layers], or NULL: all layers together. */
mn_status mn_kvcache_arrange(mn_kvcache *cache, const bool *windowed, mn_error *err);

/* Returns the memory of pages [first_page, end_page) to the system; they read as zeros then. */
void mn_kvcache_give_back(mn_kvcache *cache, int64_t first_page, int64_t end_page);

#endif
