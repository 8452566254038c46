/* Windowed layers beside layers that see all: they drop the KV entries that no later token can see. A few places on the
 * way keep what a window before them saw, so that a session can go back there. Which ones depends on how many tokens
 * are held alone, and one that was dropped never comes back. A sequence with a recurrent state goes back only to where
 * somebody keeps a copy of it, and is told these places. */
#include "model/sequence.h"

#include "base/checked.h"

enum { FIRST_INTERVAL = 512 };

static int64_t pages_of(int64_t n_tokens) { return (n_tokens + MN_PAGE_TOKENS - 1) / MN_PAGE_TOKENS; }

int64_t mn_sequence_windows(const mn_config *c, const mn_attn_spec *attn, int64_t n_ctx, bool *flags) {
    int64_t widest = 0, n_cached = mn_attn_n_kv_layers(attn, c), n_windowed = 0;
    if (attn->patterns || attn->infini.shape.segment || mn_attn_kept_keys(attn, c).last) return 0;
    for (int64_t i = 0; i < n_cached; i++) flags[i] = true;
    for (int layer = 0; layer < c->n_layers; layer++) {
        int64_t sight = mn_config_sight(c, layer);
        if (!mn_config_attends(c, layer)) continue;
        if (sight == 0 || sight > n_ctx / 2)
            flags[mn_attn_kv_layer(attn, c, layer)] = false;
        else
            widest = MN_MAX(widest, sight);
    }
    for (int64_t i = 0; i < n_cached; i++) n_windowed += flags[i];
    return n_windowed > 0 && (n_windowed < n_cached || mn_config_compresses(c)) ? widest : 0;
}

/* Tokens between the nearest places that stay. */
static int64_t first_interval(int64_t window) {
    int64_t interval = FIRST_INTERVAL;
    while (interval < window) interval *= 2;
    return interval;
}

/* Whether the window before token `at` stays when n tokens are held. */
static bool stays(int64_t window, int64_t at, int64_t n) {
    int64_t interval = first_interval(window);
    while (4 * interval < n - at) interval *= 2;
    return at % interval == 0;
}

/* Whether a place that stays needs the page. */
static bool is_needed(const mn_sequence *t, int64_t page) {
    int64_t window = t->window, n = t->n_tokens, step = first_interval(window), first = page * MN_PAGE_TOKENS + 1;
    int64_t last = (page + 1) * MN_PAGE_TOKENS + window - 2;
    for (int i = 0; i < t->n_places; i++)
        if (t->places[i] >= first && t->places[i] <= last) return true;
    if (t->state_bytes) return false;
    for (int64_t at = (first + step - 1) / step * step; at <= last && at < n; at += step)
        if (stays(window, at, n)) return true;
    return false;
}

/* A distance has at most 4 intervals of the first kind and 2 of each larger one. */
static int64_t count_places(int64_t window, int64_t n_ctx) {
    int64_t interval = first_interval(window), places = 5;
    for (; 4 * interval < n_ctx; interval *= 2) places += 3;
    return places;
}

/* One place more than are told: what it needs is dropped a page after it was given up. */
int64_t mn_sequence_window_pages(int64_t window, int64_t n_ctx, int64_t n_batch, int64_t n_places) {
    int64_t places = n_places < 0 ? count_places(window, n_ctx) : n_places + 1, page = MN_PAGE_TOKENS;
    int64_t tail = pages_of(page - 1 + window - 1 + MN_SPARE_TOKENS + page + n_batch);
    return MN_MIN(pages_of(n_ctx), tail + places * pages_of(window - 1 + page - 1));
}

void mn_sequence_drop_windows(mn_sequence *t) {
    int64_t end = MN_MAX(t->n_tokens + 1 - t->window - MN_SPARE_TOKENS, 0) / MN_PAGE_TOKENS;
    if (end == t->dropped_to) return;
    for (int64_t page = 0; page < end; page++)
        if (!is_needed(t, page)) mn_kvcache_empty_windows(t->cache, page);
    t->dropped_to = end;
}

static bool holds_window(const mn_sequence *t, int64_t n) {
    for (int64_t page = MN_MAX(n + 1 - t->window, 0) / MN_PAGE_TOKENS; page * MN_PAGE_TOKENS < n; page++)
        if (mn_kvcache_windows_are_empty(t->cache, page)) return false;
    return true;
}

int64_t mn_sequence_windows_held(const mn_sequence *t, int64_t n) {
    while (n > 0 && !holds_window(t, n)) n = (n - 1) / MN_PAGE_TOKENS * MN_PAGE_TOKENS;
    return n;
}
