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
    size_t offset;                   /* of its page in a slab */
    size_t k_page_bytes, page_bytes; /* of the keys, which come first; of keys and values */
    size_t k_row_bytes, v_row_bytes; /* of one entry of one head */
} mn_kv_place;

struct mn_kvcache {
    mn_kv_shape shape;
    mn_kv_place *places;    /* [n_layers] */
    size_t most_page_bytes; /* of any layer */
    size_t used_bytes;      /* of a slab */
    size_t slab_bytes;      /* rounded up to a multiple of the system's page */
    int64_t n_pages;
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

/* The slab of a page in RAM. */
static inline char *mn_kvcache_slab(const mn_kvcache *cache, int64_t page) {
    return cache->base + (size_t)page * cache->slab_bytes;
}

/* Returns the memory of pages [first_page, end_page) to the system; they read as zeros then. */
void mn_kvcache_give_back(mn_kvcache *cache, int64_t first_page, int64_t end_page);

#endif
