#include "attention/stream.h"

#include "attention/attention.h"
#include "attention/mla.h"
#include "attention/tile.h"
#include "base/checked.h"
#include "kernels/profile.h"
#include "kvcache/cache.h"

enum { RANGE_PAGES = MN_RANGE_KEYS / MN_PAGE_TOKENS };

_Static_assert(MN_STAGED_PAGES % RANGE_PAGES == 0, "waves are whole ranges of keys");

/* Pages [first_page, end_page), whole ranges, and those of them that have to be read. */
typedef struct wave {
    int64_t first_page, end_page;
    int64_t *cold; /* [staging_pages] */
    int n_cold;
    char *staging;
} wave;

typedef struct stream {
    mn_kvcache *cache;
    int layer;
    int64_t n_pages;
    uint8_t *seen;                   /* [n_pages] */
    const void **k_pages, **v_pages; /* [n_pages], NULL but for the wave under way */
    mn_attend call;
    wave waves[2];
} stream;

static bool is_cold(const stream *s, int64_t page) {
    return s->seen[page] && page >= s->cache->cold_begin && page < s->cache->cold_end;
}

/* Puts the ranges from first_page on into a wave and starts to read it. As many as the buffer holds; but pages that are
 * in RAM and come first make a wave of their own, so that there is work while the first ones are read. */
static void begin_wave(stream *s, wave *w, int64_t first_page) {
    w->first_page = w->end_page = first_page;
    w->n_cold = 0;
    while (w->end_page < s->n_pages) {
        int64_t end = MN_MIN(w->end_page + RANGE_PAGES, s->n_pages);
        int n = 0;
        for (int64_t page = w->end_page; page < end; page++) n += is_cold(s, page);
        bool first_cold = n > 0 && w->n_cold == 0 && w->end_page > first_page;
        if (first_cold || w->n_cold + n > s->cache->staging_pages) break;
        for (int64_t page = w->end_page; page < end; page++)
            if (is_cold(s, page)) w->cold[w->n_cold++] = page;
        w->end_page = end;
    }
    mn_disk_fetch(s->cache->disk, s->layer, w->cold, w->n_cold, w->staging);
}

static void show_page(stream *s, int64_t page, const char *k, const char *v) {
    s->k_pages[page] = k;
    s->v_pages[page] = v;
}

static mn_status attend_wave(const mn_compute *c, stream *s, const wave *w, mn_error *err) {
    mn_kvcache *cache = s->cache;
    const mn_kv_view *all = &s->call.kv;
    mn_attend a = s->call;
    for (int64_t page = w->first_page; page < w->end_page; page++)
        if (s->seen[page] && !is_cold(s, page)) show_page(s, page, all->k_pages[page], all->v_pages[page]);
    const mn_kv_place *place = &cache->places[s->layer];
    for (int i = 0; i < w->n_cold; i++) {
        const char *k = w->staging + (size_t)i * place->page_bytes;
        show_page(s, w->cold[i], k, cache->shape.v_in_k ? k : k + place->k_page_bytes);
    }
    a.kv.k_pages = s->k_pages;
    a.kv.v_pages = s->v_pages;
    a.first_key = w->first_page * MN_PAGE_TOKENS;
    a.end_key = w->end_page * MN_PAGE_TOKENS;
    mn_status status = mn_attention(c, &a, err);
    for (int64_t page = w->first_page; page < w->end_page; page++) show_page(s, page, NULL, NULL);
    return status;
}

static mn_status run_waves(const mn_compute *c, stream *s, mn_error *err) {
    mn_status status = MN_OK;
    begin_wave(s, &s->waves[0], 0);
    for (int i = 0; status == MN_OK; i = !i) {
        wave *w = &s->waves[i];
        mn_op_kind before = mn_profile_enter(c->profile, MN_OP_CACHE);
        status = mn_disk_wait(s->cache->disk, err);
        mn_profile_enter(c->profile, before);
        MN_TRY(status);
        if (w->first_page == w->end_page) return MN_OK;
        begin_wave(s, &s->waves[!i], w->end_page);
        status = attend_wave(c, s, w, err);
    }
    mn_disk_wait(s->cache->disk, NULL); /* nothing may write into the buffers after this call */
    return status;
}

static bool needs_disk(const stream *s) {
    for (int64_t page = s->cache->cold_begin; page < MN_MIN(s->cache->cold_end, s->n_pages); page++)
        if (is_cold(s, page)) return true;
    return false;
}

static mn_status attend_cold(const mn_compute *c, stream *s, mn_error *err) {
    MN_TRY(mn_attend_check(&s->call, err));
    s->seen = mn_arena_alloc(c->scratch, (size_t)s->n_pages, 1);
    if (!s->seen) return mn_fail(err, MN_ERR_MEMORY, "no memory for a list of %lld pages.", (long long)s->n_pages);
    mn_visible_pages(&s->call, s->seen);
    if (!needs_disk(s)) return mn_attention(c, &s->call, err);
    s->k_pages = mn_arena_zalloc(c->scratch, (size_t)s->n_pages, sizeof *s->k_pages);
    s->v_pages =
        s->cache->shape.v_in_k ? s->k_pages : mn_arena_zalloc(c->scratch, (size_t)s->n_pages, sizeof *s->v_pages);
    mn_attend made = s->call.mla ? mn_mla_made(&s->call) : s->call;
    s->call.sums = mn_attend_sums(c->scratch, &made);
    bool complete = s->k_pages && s->v_pages && s->call.sums;
    for (int i = 0; i < 2; i++) {
        wave *w = &s->waves[i];
        w->cold = mn_arena_alloc(c->scratch, (size_t)s->cache->staging_pages, sizeof *w->cold);
        w->staging = s->cache->staging + (size_t)i * (size_t)s->cache->staging_pages * s->cache->most_page_bytes;
        complete = complete && w->cold;
    }
    if (!complete)
        return mn_fail(err, MN_ERR_MEMORY, "memory has ended for attention over %lld pages.", (long long)s->n_pages);
    return run_waves(c, s, err);
}

mn_status mn_kvcache_attend(const mn_compute *c, mn_kvcache *cache, int layer, const mn_attend *a, mn_error *err) {
    if (cache->cold_begin == cache->cold_end || a->n_rows == 0) return mn_attention(c, a, err);
    int64_t n_pages = (a->kv.n_tokens + MN_PAGE_TOKENS - 1) / MN_PAGE_TOKENS;
    stream s = {.cache = cache, .layer = layer, .n_pages = n_pages, .call = *a};
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    mn_status status = attend_cold(c, &s, err);
    mn_arena_rewind(c->scratch, mark);
    return status;
}
