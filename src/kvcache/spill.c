/* Which pages stay in RAM. Decoding looks at every page for every token, so the page used longest ago is the one needed
 * next: a fixed share that stays is read less often than any share that moves. */
#include "base/checked.h"
#include "base/human.h"
#include "kvcache/cache.h"

#include <stdlib.h>
#include <string.h>

/* Bytes of one wave (stream.c): long enough for a disk to read at full speed, short enough that little of a layer's
 * first wave is waited for. No more than a share of the RAM given. */
enum { WAVE_BYTES = 4 << 20, WAVE_SHARE = 8 };

static int choose_staging_pages(const mn_kvcache *cache, size_t ram_bytes) {
    size_t pages = MN_MIN((size_t)WAVE_BYTES, ram_bytes / WAVE_SHARE) / MN_MAX(cache->most_page_bytes, 1);
    return MN_MAX((int)pages / MN_STAGED_PAGES * MN_STAGED_PAGES, MN_STAGED_PAGES);
}

mn_status mn_kvcache_spill(mn_kvcache *cache, const char *dir, size_t ram_bytes, int64_t step_tokens, mn_error *err) {
    int staging_pages = choose_staging_pages(cache, ram_bytes);
    size_t staging_bytes = 2 * (size_t)staging_pages * cache->most_page_bytes;
    int64_t tail_pages = (step_tokens + MN_PAGE_TOKENS - 1) / MN_PAGE_TOKENS + 1;
    mn_human given, needed;
    if (cache->emptied) MN_TRY(mn_kvcache_arrange(cache, NULL, err)); /* what is read from the file is whole slabs */
    size_t least = (size_t)tail_pages * cache->slab_bytes + staging_bytes;
    if (ram_bytes < least)
        return mn_fail_with(
            err, MN_ERR_LIMIT, MN_REMEDIES({MN_REMEDY_KV_RAM, (double)least}, {MN_REMEDY_SMALLER_BATCH, 0}),
            "%s of memory for KV entries are too few: steps of %lld tokens need %s. Give more, or use a smaller batch.",
            mn_human_bytes(given, ram_bytes), (long long)step_tokens, mn_human_bytes(needed, least));
    cache->staging = malloc(staging_bytes);
    if (!cache->staging)
        return mn_fail(err, MN_ERR_MEMORY, "no memory for %zu bytes to read cached pages into.", staging_bytes);
    size_t page_bytes[MN_KV_MAX_LAYERS];
    for (int layer = 0; layer < cache->shape.n_layers; layer++) page_bytes[layer] = cache->places[layer].page_bytes;
    MN_TRY(mn_disk_open(dir, cache->shape.n_layers, page_bytes, &cache->disk, err));
    cache->staging_pages = staging_pages;
    cache->tail_pages = tail_pages;
    cache->keep_pages = (int64_t)MN_MIN((ram_bytes - least) / cache->slab_bytes, (size_t)cache->n_pages);
    return MN_OK;
}

static bool is_cold(const mn_kvcache *cache, int64_t page) {
    return page >= cache->cold_begin && page < cache->cold_end;
}

/* The first page to go is the one behind those that are kept. */
static mn_status evict_page(mn_kvcache *cache, mn_error *err) {
    bool first = cache->cold_begin == cache->cold_end;
    int64_t page = first ? cache->first_page + cache->keep_pages : cache->cold_end;
    MN_TRY(mn_disk_write(cache->disk, page, mn_kvcache_slab(cache, page), err));
    mn_kvcache_give_back(cache, page, page + 1);
    if (first) cache->cold_begin = page;
    cache->cold_end = page + 1;
    return MN_OK;
}

/* A page that is half forgotten will be written to again. */
static mn_status warm_up(mn_kvcache *cache, int64_t page, mn_error *err) {
    MN_TRY(mn_disk_read(cache->disk, page, mn_kvcache_slab(cache, page), err));
    cache->cold_end = page;
    cache->cold_begin = MN_MIN(cache->cold_begin, page);
    return MN_OK;
}

bool mn_kvcache_has_cold(const mn_kvcache *cache) { return cache->cold_begin < cache->cold_end; }

mn_status mn_kvcache_prepare(mn_kvcache *cache, int64_t first_token, int64_t n_rows, mn_error *err) {
    int64_t first_page = first_token / MN_PAGE_TOKENS;
    int64_t end_page = (first_token + n_rows + MN_PAGE_TOKENS - 1) / MN_PAGE_TOKENS;
    if (!cache->disk) return MN_OK;
    mn_kvcache_drop_after(cache, first_token);
    if (is_cold(cache, first_page)) MN_TRY(warm_up(cache, first_page, err));
    if (end_page - first_page > cache->tail_pages)
        return mn_fail_with(
            err, MN_ERR_LIMIT, MN_REMEDIES({MN_REMEDY_SMALLER_BATCH, 0}),
            "a step of %lld tokens is longer than the memory for KV entries was divided for; use a smaller batch.",
            (long long)n_rows);
    int64_t oldest = cache->first_page == cache->end_page ? first_page : cache->first_page;
    while (end_page - oldest - (cache->cold_end - cache->cold_begin) > cache->keep_pages + cache->tail_pages)
        MN_TRY(evict_page(cache, err));
    return MN_OK;
}

/* A layer's part of a page in RAM. */
static char *part_of(const mn_kvcache *cache, int layer, int64_t page) {
    const mn_kv_place *p = &cache->places[layer];
    return (p->windowed ? mn_kvcache_window_part(cache, page) : mn_kvcache_slab(cache, page)) + p->offset;
}

mn_status mn_kvcache_read_slab(const mn_kvcache *cache, int64_t page, void *slab, mn_error *err) {
    memset((char *)slab + cache->used_bytes, 0, mn_kv_slab_bytes(&cache->shape) - cache->used_bytes);
    for (int layer = 0; layer < cache->shape.n_layers && !is_cold(cache, page); layer++) {
        const mn_kv_place *p = &cache->places[layer];
        if (p->windowed && cache->emptied[page])
            memset((char *)slab + p->slab_offset, 0, p->page_bytes);
        else
            memcpy((char *)slab + p->slab_offset, part_of(cache, layer, page), p->page_bytes);
    }
    if (!is_cold(cache, page)) return MN_OK;
    return mn_disk_read(cache->disk, page, slab, err);
}

static bool is_zero(const char *bytes, size_t n) {
    return n == 0 || (bytes[0] == 0 && !memcmp(bytes, bytes + 1, n - 1));
}

/* Whether a slab holds nothing in windowed layers: they had given it back when it was saved. */
static bool lacks_windows(const mn_kvcache *cache, const char *slab) {
    for (int layer = 0; layer < cache->shape.n_layers; layer++) {
        const mn_kv_place *p = &cache->places[layer];
        if (p->windowed && !is_zero(slab + p->slab_offset, p->page_bytes)) return false;
    }
    return cache->emptied != NULL;
}

mn_status mn_kvcache_add_slab(mn_kvcache *cache, const void *slab, mn_error *err) {
    int64_t page = cache->end_page;
    MN_TRY(mn_kvcache_prepare(cache, page * MN_PAGE_TOKENS, MN_PAGE_TOKENS, err));
    bool lacks = lacks_windows(cache, slab);
    for (int layer = 0; layer < cache->shape.n_layers; layer++) {
        const mn_kv_place *p = &cache->places[layer];
        if (!p->windowed || !lacks)
            memcpy(part_of(cache, layer, page), (const char *)slab + p->slab_offset, p->page_bytes);
    }
    cache->end_page = page + 1;
    if (lacks) mn_kvcache_empty_windows(cache, page);
    return MN_OK;
}

mn_kv_traffic mn_kvcache_traffic(const mn_kvcache *cache) {
    if (!cache->disk) return (mn_kv_traffic){0};
    mn_disk_traffic t = mn_disk_get_traffic(cache->disk);
    return (mn_kv_traffic){(uint64_t)(cache->cold_end - cache->cold_begin) * cache->used_bytes, t.read_bytes,
                           t.written_bytes, t.read_seconds};
}
