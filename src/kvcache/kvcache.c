#include "kvcache/cache.h"

#include "base/checked.h"
#include "base/human.h"
#include "kernels/kernels.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MAX_ROW_ELEMS = 1 << 14 };

/* Elements of a key or value in memory: quantised ones are whole blocks. */
static int64_t padded_elems(mn_dtype type, int64_t n) {
    int64_t block = mn_dtype_get(type)->block_elems;
    return (n + block - 1) / block * block;
}

static size_t row_bytes(mn_dtype type, int64_t n) { return mn_dtype_row_bytes(type, padded_elems(type, n)); }

mn_kv_shape mn_kv_shape_alike(int n_layers, mn_kv_layer layer, bool v_in_k, mn_dtype k_type, mn_dtype v_type) {
    mn_kv_shape shape = {.n_layers = n_layers, .v_in_k = v_in_k, .k_type = k_type, .v_type = v_type};
    for (int i = 0; i < n_layers; i++) shape.layers[i] = layer;
    return shape;
}

/* A layer's place behind `offset` bytes of others. Nothing overflows: a token of 1024 heads of 16384 values is
 * 64 MiB in f32. */
static mn_kv_place place_of(const mn_kv_shape *s, int layer, size_t offset) {
    const mn_kv_layer *l = &s->layers[layer];
    mn_kv_place p = {.offset = offset, .k_row_bytes = row_bytes(s->k_type, l->k_dim)};
    p.v_row_bytes = s->v_in_k ? p.k_row_bytes : row_bytes(s->v_type, l->v_dim);
    p.k_page_bytes = p.page_bytes = p.k_row_bytes * l->n_kv_heads * MN_PAGE_TOKENS;
    if (!s->v_in_k) p.page_bytes += p.v_row_bytes * l->n_kv_heads * MN_PAGE_TOKENS;
    return p;
}

size_t mn_kv_page_bytes(const mn_kv_shape *s, int layer) { return place_of(s, layer, 0).page_bytes; }

size_t mn_kv_part_bytes(const mn_kv_shape *s, const bool *windowed, bool of_windows) {
    size_t total = 0, os_page = (size_t)sysconf(_SC_PAGESIZE);
    for (int layer = 0; layer < s->n_layers; layer++)
        if (windowed[layer] == of_windows && !mn_add_size(total, mn_kv_page_bytes(s, layer), &total)) return SIZE_MAX;
    return mn_align_size(total, os_page, &total) ? total : SIZE_MAX;
}

size_t mn_kv_slab_bytes(const mn_kv_shape *s) {
    size_t total = 0, os_page = (size_t)sysconf(_SC_PAGESIZE);
    for (int layer = 0; layer < s->n_layers; layer++)
        if (!mn_add_size(total, mn_kv_page_bytes(s, layer), &total)) return 0;
    return mn_align_size(total, os_page, &total) ? total : 0;
}

static int64_t pages_of(int64_t n_tokens) { return (n_tokens + MN_PAGE_TOKENS - 1) / MN_PAGE_TOKENS; }

size_t mn_kv_list_bytes(const mn_kv_shape *s, int64_t max_tokens) {
    size_t bytes;
    return mn_mul_size((size_t)pages_of(max_tokens), 2 * (size_t)s->n_layers * sizeof(void *), &bytes) ? bytes : 0;
}

static mn_status check_type(mn_dtype type, mn_error *err) {
    if (type == MN_F32 || type == MN_F16 || type == MN_BF16 || type == MN_Q8_0 || type == MN_Q4_0) return MN_OK;
    const mn_dtype_info *info = mn_dtype_get(type);
    return mn_fail(err, MN_ERR_UNSUPPORTED, "KV entries cannot be %s; use f32, f16, bf16, q8_0 or q4_0.",
                   info ? info->name : "of this type");
}

static const void **lists_of(const mn_kvcache *cache, int layer) {
    return cache->page_lists + (int64_t)layer * 2 * cache->n_pages;
}

static void fill_page_lists(mn_kvcache *cache) {
    for (int layer = 0; layer < cache->shape.n_layers; layer++)
        for (int64_t p = 0; p < cache->n_pages; p++) {
            const mn_kv_place *place = &cache->places[layer];
            char *k = (place->windowed ? mn_kvcache_window_part(cache, p) : mn_kvcache_slab(cache, p)) + place->offset;
            lists_of(cache, layer)[p] = k;
            lists_of(cache, layer)[cache->n_pages + p] = cache->shape.v_in_k ? k : k + place->k_page_bytes;
        }
}

/* Windowed layers lie together, apart from the others; slabs are saved with all layers in order. */
static mn_status place_layers(mn_kvcache *cache, const bool *windowed, mn_error *err) {
    const mn_kv_shape *s = &cache->shape;
    size_t bytes[2] = {0, 0}, os_page = (size_t)sysconf(_SC_PAGESIZE);
    free(cache->places);
    cache->places = calloc((size_t)s->n_layers, sizeof *cache->places);
    if (!cache->places) return mn_fail(err, MN_ERR_MEMORY, "no memory for %d layers.", s->n_layers);
    cache->used_bytes = 0;
    for (int layer = 0; layer < s->n_layers; layer++) {
        bool in_window = windowed && windowed[layer];
        mn_kv_place *place = &cache->places[layer];
        *place = place_of(s, layer, bytes[in_window]);
        place->windowed = in_window;
        place->slab_offset = cache->used_bytes;
        bytes[in_window] += place->page_bytes;
        cache->used_bytes += place->page_bytes;
        cache->most_page_bytes = MN_MAX(cache->most_page_bytes, place->page_bytes);
    }
    if (!mn_align_size(bytes[0], os_page, &cache->slab_bytes) ||
        !mn_align_size(bytes[1], os_page, &cache->window_bytes) || mn_kv_slab_bytes(s) == 0)
        cache->slab_bytes = 0;
    return MN_OK;
}

static bool map_bytes(const mn_kvcache *cache, size_t *out) {
    size_t page;
    return cache->slab_bytes + cache->window_bytes > 0 && mn_kv_slab_bytes(&cache->shape) > 0 &&
           mn_add_size(cache->slab_bytes, cache->window_bytes, &page) && mn_mul_size(page, (size_t)cache->n_pages, out);
}

static mn_status reserve(mn_kvcache *cache, mn_error *err) {
    mn_human reserved;
    int64_t max_tokens = cache->max_tokens;
    if (cache->base) munmap(cache->base, cache->map_bytes);
    cache->base = NULL;
    if (!map_bytes(cache, &cache->map_bytes))
        return mn_fail_with(err, MN_ERR_LIMIT, MN_REMEDIES({MN_REMEDY_SMALLER_WINDOW, 0}),
                            "%lld tokens of KV cache overflow the address space; use a smaller window.",
                            (long long)max_tokens);
    void *base =
        mmap(NULL, cache->map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return mn_fail_with(
            err, MN_ERR_MEMORY, MN_REMEDIES({MN_REMEDY_SMALLER_WINDOW, 0}, {MN_REMEDY_Q8_CACHE, 0}),
            "cannot reserve %s for %lld tokens of KV cache; use a smaller window, or keys and values in q8_0.",
            mn_human_bytes(reserved, cache->map_bytes), (long long)max_tokens);
    cache->base = base;
    /* Decoding streams through all entries: large pages spare most of the address translation. Not through those of
     * windows, whose gaps would be filled again. */
    if (cache->slab_bytes >= (size_t)1 << 20) madvise(base, cache->slab_bytes * (size_t)cache->n_pages, MADV_HUGEPAGE);
    return MN_OK;
}

/* Once places and lists are there. */
static mn_status start_lists(mn_kvcache *cache, mn_error *err) {
    free(cache->emptied);
    cache->emptied = NULL;
    fill_page_lists(cache);
    if (cache->window_bytes == 0) return MN_OK;
    cache->emptied = calloc((size_t)cache->n_pages, sizeof *cache->emptied);
    return cache->emptied ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "no memory for a list of pages.");
}

static mn_status make_lists(mn_kvcache *cache, mn_error *err) {
    size_t list_bytes = mn_kv_list_bytes(&cache->shape, cache->max_tokens);
    if (list_bytes == 0 || !(cache->page_lists = malloc(list_bytes)))
        return mn_fail(err, MN_ERR_MEMORY, "no memory for the list of %lld cache pages.", (long long)cache->n_pages);
    cache->summaries = calloc((size_t)cache->shape.n_layers, sizeof *cache->summaries);
    if (!cache->summaries) return mn_fail(err, MN_ERR_MEMORY, "no memory for %d layers.", cache->shape.n_layers);
    for (int layer = 0; layer < cache->shape.n_layers; layer++) cache->summaries[layer].max_tokens = cache->max_tokens;
    return start_lists(cache, err);
}

mn_status mn_kvcache_arrange(mn_kvcache *cache, const bool *windowed, mn_error *err) {
    MN_TRY(place_layers(cache, windowed, err));
    MN_TRY(reserve(cache, err));
    return start_lists(cache, err);
}

/* Of all layers: entries from `token` on are no longer what they were. */
static void truncate_summaries(mn_kvcache *cache, int64_t token) {
    for (int layer = 0; layer < cache->shape.n_layers; layer++)
        mn_key_summary_truncate(&cache->summaries[layer], token);
}

mn_status mn_kvcache_create(const mn_kv_shape *shape, int64_t max_tokens, mn_kvcache **out, mn_error *err) {
    return mn_kvcache_create_windowed(shape, NULL, max_tokens, out, err);
}

mn_status mn_kvcache_create_windowed(const mn_kv_shape *shape, const bool *windowed, int64_t max_tokens,
                                     mn_kvcache **out, mn_error *err) {
    MN_TRY(check_type(shape->k_type, err));
    MN_TRY(check_type(shape->v_type, err));
    if (max_tokens < 1 || max_tokens > INT64_C(1) << 40)
        return mn_fail(err, MN_ERR_ARGUMENT, "a window of %lld tokens is outside 1 to 2^40.", (long long)max_tokens);
    mn_kvcache *cache = calloc(1, sizeof *cache);
    if (!cache) return mn_fail(err, MN_ERR_MEMORY, "no memory for a cache.");
    cache->shape = *shape;
    cache->n_pages = pages_of(max_tokens);
    cache->max_tokens = max_tokens;
    mn_status status = place_layers(cache, windowed, err);
    if (status == MN_OK) status = reserve(cache, err);
    if (status == MN_OK) status = make_lists(cache, err);
    if (status != MN_OK) {
        mn_kvcache_destroy(cache);
        return status;
    }
    *out = cache;
    return MN_OK;
}

void mn_kvcache_destroy(mn_kvcache *cache) {
    if (!cache) return;
    mn_disk_close(cache->disk);
    free(cache->staging);
    if (cache->base) munmap(cache->base, cache->map_bytes);
    for (int layer = 0; cache->summaries && layer < cache->shape.n_layers; layer++)
        mn_key_summary_release(&cache->summaries[layer]);
    free(cache->summaries);
    free(cache->emptied);
    free(cache->places);
    free(cache->page_lists);
    free(cache);
}

typedef struct append_job {
    const mn_kvcache *cache;
    const mn_kernels *kernels;
    int layer;
    int64_t first_token;
    const float *k, *v;
    int64_t k_stride, v_stride;
} append_job;

static void store_row(const mn_kernels *kernels, mn_dtype type, const float *src, int dim, char *dst) {
    int64_t padded = padded_elems(type, dim);
    if (padded == dim) {
        kernels->vec.from_f32(type, src, dst, dim);
        return;
    }
    float row[MAX_ROW_ELEMS];
    memcpy(row, src, (size_t)dim * sizeof *row);
    memset(row + dim, 0, (size_t)(padded - dim) * sizeof *row);
    kernels->vec.from_f32(type, row, dst, padded);
}

static void append_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const append_job *job = arg;
    const mn_kvcache *cache = job->cache;
    const mn_kv_shape *s = &cache->shape;
    const mn_kv_layer *l = &s->layers[job->layer];
    const mn_kv_place *place = &cache->places[job->layer];
    for (int64_t r = begin; r < end; r++) {
        int64_t token = job->first_token + r, page = token / MN_PAGE_TOKENS, slot = token % MN_PAGE_TOKENS;
        char *k_page = (char *)lists_of(cache, job->layer)[page];
        char *v_page = (char *)lists_of(cache, job->layer)[cache->n_pages + page];
        for (int h = 0; h < l->n_kv_heads; h++) {
            size_t row = (size_t)h * MN_PAGE_TOKENS + (size_t)slot;
            store_row(job->kernels, s->k_type, job->k + r * job->k_stride + (int64_t)h * l->k_dim, l->k_dim,
                      k_page + row * place->k_row_bytes);
            if (!s->v_in_k)
                store_row(job->kernels, s->v_type, job->v + r * job->v_stride + (int64_t)h * l->v_dim, l->v_dim,
                          v_page + row * place->v_row_bytes);
        }
    }
}

void mn_kvcache_append(mn_kvcache *cache, const mn_compute *c, int layer, int64_t first_token, int64_t n_rows,
                       const float *k, int64_t k_stride, const float *v, int64_t v_stride) {
    append_job job = {cache, c->kernels, layer, first_token, k, v, k_stride, v_stride};
    mn_pool_run(c->pool, n_rows, 16, append_rows, &job);
    mn_key_summary_truncate(&cache->summaries[layer], first_token);
    if (cache->first_page == cache->end_page) cache->first_page = first_token / MN_PAGE_TOKENS;
    cache->end_page = MN_MAX(cache->end_page, (first_token + n_rows + MN_PAGE_TOKENS - 1) / MN_PAGE_TOKENS);
}

mn_kv_view mn_kvcache_view(const mn_kvcache *cache, int layer, int64_t n_tokens) {
    const mn_kv_shape *s = &cache->shape;
    const mn_kv_layer *l = &s->layers[layer];
    const void **lists = lists_of(cache, layer);
    return (mn_kv_view){.k_pages = lists,
                        .v_pages = lists + cache->n_pages,
                        .k_type = s->k_type,
                        .v_type = s->v_in_k ? s->k_type : s->v_type,
                        .k_row_bytes = cache->places[layer].k_row_bytes,
                        .v_row_bytes = cache->places[layer].v_row_bytes,
                        .n_kv_heads = l->n_kv_heads,
                        .k_dim = l->k_dim,
                        .v_dim = l->v_dim,
                        .n_tokens = n_tokens,
                        .summary = &cache->summaries[layer]};
}

typedef struct gather_job {
    const mn_kvcache *cache;
    int layer;
    const int32_t *kept;
    int64_t n;
} gather_job;

static void move_row(const void **pages, int head, int64_t to, int64_t from, size_t row_bytes) {
    size_t first = (size_t)head * MN_PAGE_TOKENS;
    char *to_page = (char *)pages[to / MN_PAGE_TOKENS], *from_page = (char *)pages[from / MN_PAGE_TOKENS];
    memmove(to_page + (first + (size_t)(to % MN_PAGE_TOKENS)) * row_bytes,
            from_page + (first + (size_t)(from % MN_PAGE_TOKENS)) * row_bytes, row_bytes);
}

/* Rows only move towards the front, so that none is overwritten before it has moved. */
static void gather_heads(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const gather_job *job = arg;
    const mn_kvcache *cache = job->cache;
    const mn_kv_place *place = &cache->places[job->layer];
    const void **k_pages = lists_of(cache, job->layer), **v_pages = k_pages + cache->n_pages;
    for (int64_t h = begin; h < end; h++)
        for (int64_t i = 0; i < job->n; i++) {
            int64_t from = job->kept[h * job->n + i];
            move_row(k_pages, (int)h, i, from, place->k_row_bytes);
            if (!cache->shape.v_in_k) move_row(v_pages, (int)h, i, from, place->v_row_bytes);
        }
}

void mn_kvcache_gather(mn_kvcache *cache, const mn_compute *c, int layer, const int32_t *kept, int64_t n) {
    gather_job job = {cache, layer, kept, n};
    mn_pool_run(c->pool, cache->shape.layers[layer].n_kv_heads, 1, gather_heads, &job);
    mn_key_summary_truncate(&cache->summaries[layer], 0);
}

void mn_kvcache_give_back(mn_kvcache *cache, int64_t first_page, int64_t end_page) {
    size_t n = (size_t)MN_MAX(end_page - first_page, 0);
    if (n == 0) return;
    madvise(mn_kvcache_slab(cache, first_page), n * cache->slab_bytes, MADV_DONTNEED);
    if (!cache->emptied) return;
    madvise(mn_kvcache_window_part(cache, first_page), n * cache->window_bytes, MADV_DONTNEED);
    memset(cache->emptied + first_page, 0, n);
}

void mn_kvcache_empty_windows(mn_kvcache *cache, int64_t page) {
    if (!cache->emptied || cache->emptied[page]) return;
    madvise(mn_kvcache_window_part(cache, page), cache->window_bytes, MADV_DONTNEED);
    cache->emptied[page] = 1;
}

bool mn_kvcache_windows_are_empty(const mn_kvcache *cache, int64_t page) {
    return cache->emptied && cache->emptied[page];
}

void mn_kvcache_drop_before(mn_kvcache *cache, int64_t token) {
    int64_t page = MN_MIN(token / MN_PAGE_TOKENS, cache->end_page);
    mn_kvcache_give_back(cache, cache->first_page, page);
    cache->first_page = MN_MAX(cache->first_page, page);
    cache->cold_begin = MN_MAX(cache->cold_begin, cache->first_page);
    cache->cold_end = MN_MAX(cache->cold_end, cache->cold_begin);
}

void mn_kvcache_drop_between(mn_kvcache *cache, int64_t begin, int64_t end) {
    int64_t from = (begin + MN_PAGE_TOKENS - 1) / MN_PAGE_TOKENS, to = MN_MIN(end / MN_PAGE_TOKENS, cache->end_page);
    if (from == 0) {
        mn_kvcache_drop_before(cache, end);
        return;
    }
    if (cache->gap_begin == cache->gap_end) cache->gap_begin = cache->gap_end = from;
    if (to <= cache->gap_end) return;
    mn_kvcache_give_back(cache, cache->gap_end, to);
    cache->gap_end = to;
}

void mn_kvcache_drop_after(mn_kvcache *cache, int64_t token) {
    int64_t page = MN_MIN((token + MN_PAGE_TOKENS - 1) / MN_PAGE_TOKENS, cache->end_page);
    mn_kvcache_give_back(cache, MN_MAX(page, cache->first_page), cache->end_page);
    cache->end_page = page;
    cache->first_page = MN_MIN(cache->first_page, page);
    cache->gap_begin = MN_MIN(cache->gap_begin, page);
    cache->gap_end = MN_MIN(cache->gap_end, page);
    truncate_summaries(cache, token);
    cache->cold_end = MN_MIN(cache->cold_end, page);
    cache->cold_begin = MN_MIN(cache->cold_begin, cache->cold_end);
}

void mn_kvcache_pages(const mn_kvcache *cache, int64_t *first_page, int64_t *end_page) {
    *first_page = cache->first_page;
    *end_page = cache->end_page;
}

void mn_kvcache_gap(const mn_kvcache *cache, int64_t *begin_page, int64_t *end_page) {
    *begin_page = cache->gap_begin;
    *end_page = cache->gap_end;
}

void mn_kvcache_skip_to(mn_kvcache *cache, int64_t page) {
    cache->gap_begin = cache->end_page;
    cache->gap_end = cache->end_page = page;
}

void mn_kvcache_start_at(mn_kvcache *cache, int64_t page) {
    mn_kvcache_drop_after(cache, 0);
    cache->first_page = page;
    cache->end_page = page;
}

const mn_kv_shape *mn_kvcache_shape(const mn_kvcache *cache) { return &cache->shape; }

/* A cache with windowed layers drops nothing else between its first and its last page. */
static size_t window_bytes_held(const mn_kvcache *cache) {
    size_t n = 0;
    for (int64_t page = cache->first_page; cache->emptied && page < cache->end_page; page++) n += !cache->emptied[page];
    return n * cache->window_bytes;
}

size_t mn_kvcache_bytes(const mn_kvcache *cache) {
    int64_t resident = cache->end_page - cache->first_page - (cache->gap_end - cache->gap_begin) -
                       (cache->cold_end - cache->cold_begin);
    size_t bytes = (size_t)resident * cache->slab_bytes + window_bytes_held(cache) +
                   2 * (size_t)cache->staging_pages * cache->most_page_bytes;
    for (int layer = 0; layer < cache->shape.n_layers; layer++) {
        const mn_key_summary *s = &cache->summaries[layer];
        if (s->n_tokens > 0)
            bytes += mn_key_summary_bytes(s->kind, s->type, s->block_tokens, s->n_kv_heads, s->k_dim, s->n_tokens);
    }
    return bytes;
}

const mn_technique mn_kvcache_about = {
    .name = "KV entries in f16, bf16, q8_0 or q4_0",
    .flag = "-ctk TYPE -ctv TYPE",
    .file = "src/kvcache/kvcache.c",
    .test = "tests/session/session_test.c",
};
