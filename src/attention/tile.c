#include "attention/tile.h"

#include "attention/listed.h"
#include "base/checked.h"

#include <math.h>
#include <string.h>

enum {
    AHEAD_KEYS = 2 * MN_TILE_KEYS, /* tiles of 64 dims are 8 KiB: as far as lone rows of weights look */
    GRANULE = 16,                  /* keys of the smallest block */
    READ_PAST_BYTES = 64           /* that a kernel may read behind the last row */
};

static const float LOG2_E = 1.44269504f;

static size_t align64(size_t bytes) { return (bytes + 63) & ~(size_t)63; }

mn_arithmetic mn_choose_arithmetic(const mn_attend_kernels *kernels, bool exact, const mn_attend *a, int64_t n_tokens) {
    mn_arithmetic by = {.ops = exact ? &kernels->f32 : &kernels->fast};
    const mn_kv_view *kv = &a->kv;
    const mn_direct_ops *k = &kernels->direct[kv->k_type], *v = &kernels->direct[kv->v_type];
    int64_t n_rows = n_tokens * (a->n_heads / kv->n_kv_heads);
    if (exact || n_rows > k->max_rows || n_rows > v->max_rows || kv->k_dim % 16 || kv->v_dim % 16) return by;
    by.direct_k = k;
    by.direct_v = v;
    return by;
}

static int padded_k(const mn_attend *a, mn_arithmetic by) {
    int dims = by.direct_k ? 16 : by.ops->k_dims;
    return (a->kv.k_dim + dims - 1) / dims * dims;
}

static size_t q_row_bytes(const mn_attend *a, mn_arithmetic by) {
    if (by.direct_k) return mn_direct_q_bytes(a->kv.k_dim);
    return (size_t)padded_k(a, by) * (size_t)by.ops->operand_bytes;
}

static size_t scores_bytes(mn_arithmetic by, int64_t n_rows) {
    return (size_t)(by.direct_k ? n_rows : by.ops->tile_rows) * MN_TILE_KEYS * sizeof(float);
}

static bool has_bias(const mn_attend *a) { return a->slopes || a->softcap > 0; }

/* All packed queries. Operations on packed rows may read up to a whole tile of them. */
static size_t queries_bytes(const mn_attend *a, mn_arithmetic by, int64_t n_rows) {
    int64_t rows = by.direct_k ? n_rows : (n_rows + by.ops->tile_rows - 1) / by.ops->tile_rows * by.ops->tile_rows;
    return align64((size_t)rows * q_row_bytes(a, by));
}

/* Key tiles at a time. */
static int run_tiles(mn_arithmetic by) { return by.direct_k ? 0 : by.ops->attend ? MN_RUN_TILES : 1; }

/* A key tile, or a value tile, packed. */
static size_t packed_bytes(mn_arithmetic by, int pad) {
    return MN_TILE_KEYS * (size_t)pad * (size_t)by.ops->operand_bytes;
}

/* What a run takes besides packed tiles: who sees what, and the level's own room. */
static size_t run_bytes(mn_arithmetic by, int64_t n_rows) {
    if (by.direct_k || !by.ops->attend) return 0;
    return align64(MN_RUN_TILES * (size_t)n_rows * sizeof(uint64_t)) + by.ops->run_bytes;
}

/* Whether the keys of blocks smaller than a tile are put together before they are attended to. */
static bool gathers(const mn_attend *a, mn_arithmetic by) {
    return by.direct_k && a->blocks && a->blocks->block_tokens < MN_TILE_KEYS && !has_bias(a);
}

/* KV entries that are put together. */
static size_t gathered_bytes(size_t row_bytes) { return align64(MN_TILE_KEYS * row_bytes) + READ_PAST_BYTES; }

/* What gathering takes: entries, and who sees what. */
static size_t gather_bytes(const mn_attend *a, mn_arithmetic by, int64_t n_rows) {
    if (!gathers(a, by)) return 0;
    return gathered_bytes(a->kv.k_row_bytes) + gathered_bytes(a->kv.v_row_bytes) +
           align64(2 * (size_t)n_rows * sizeof(uint64_t));
}

size_t mn_row_tile_bytes(const mn_attend *a, mn_arithmetic by, int64_t n_rows) {
    size_t tile = packed_bytes(by, padded_k(a, by)) + packed_bytes(by, mn_attend_pad(a->kv.v_dim));
    return queries_bytes(a, by, n_rows) + (size_t)run_tiles(by) * tile + scores_bytes(by, n_rows) +
           run_bytes(by, n_rows) + gather_bytes(a, by, n_rows);
}

static bool heads_first(const mn_row_tile *tile) { return mn_heads_listed(tile->a) > 1; }

static int64_t token_of(const mn_row_tile *tile, int row) {
    return tile->first_token + (heads_first(tile) ? row % tile->n_tokens : row / tile->group);
}

static int head_of(const mn_row_tile *tile, int row) {
    return tile->first_head + (heads_first(tile) ? row / tile->n_tokens : row % tile->group);
}

static void pack_queries(const mn_row_tile *tile) {
    const mn_attend *a = tile->a;
    char *packed = tile->q;
    for (int row = 0; row < tile->n_tokens * tile->group; row++, packed += q_row_bytes(a, tile->by)) {
        const float *q =
            a->q + (token_of(tile, row) - a->first_token) * a->q_stride + (int64_t)head_of(tile, row) * a->kv.k_dim;
        (tile->by.direct_k ? tile->by.direct_k->pack_q : tile->by.ops->pack_q)(packed, q, a->kv.k_dim);
    }
}

static mn_row_tile init(const mn_attend *a, mn_arithmetic by, int first_head, int n_heads, int64_t first_row,
                        int n_tokens, void *scratch) {
    mn_row_tile tile = {.a = a,
                        .by = by,
                        .kv_head = first_head / (a->n_heads / a->kv.n_kv_heads),
                        .first_head = first_head,
                        .group = n_heads,
                        .k_pad = padded_k(a, by),
                        .v_pad = mn_attend_pad(a->kv.v_dim),
                        .factor = a->softcap > 0 ? a->scale / a->softcap : a->scale * LOG2_E,
                        .first_token = a->first_token + first_row,
                        .n_tokens = n_tokens,
                        .q = scratch};
    tile.k = tile.q + queries_bytes(a, by, (int64_t)n_tokens * tile.group);
    tile.v = tile.k + (size_t)run_tiles(by) * packed_bytes(by, tile.k_pad);
    tile.s = (float *)(void *)(tile.v + (size_t)run_tiles(by) * packed_bytes(by, tile.v_pad));
    tile.seen = (uint64_t *)(void *)((char *)tile.s + scores_bytes(by, (int64_t)n_tokens * tile.group));
    tile.gathered = (char *)tile.seen + run_bytes(by, (int64_t)n_tokens * tile.group);
    pack_queries(&tile);
    return tile;
}

mn_row_tile mn_row_tile_init(const mn_attend *a, mn_arithmetic by, int kv_head, int64_t first_row, int n_tokens,
                             void *scratch) {
    int group = a->n_heads / a->kv.n_kv_heads;
    return init(a, by, kv_head * group, group, first_row, n_tokens, scratch);
}

mn_row_tile mn_head_tile_init(const mn_attend *a, mn_arithmetic by, int head, void *scratch) {
    return init(a, by, head, 1, 0, 1, scratch);
}

/* The tile to ask for while one is in use: AHEAD_KEYS further, behind the last key the next head's first ones, which
 * are likely next. */
static const char *tile_ahead(const mn_kv_view *kv, const void *const *pages, size_t row_bytes, int kv_head,
                              int64_t tile_begin) {
    int64_t key = tile_begin + AHEAD_KEYS;
    int head = kv_head;
    if (key >= kv->n_tokens) {
        bool is_last = kv_head + 1 == kv->n_kv_heads;
        key = is_last ? tile_begin : (key - kv->n_tokens) / MN_TILE_KEYS * MN_TILE_KEYS;
        head += is_last ? 0 : 1;
    }
    const char *page = pages[key / MN_PAGE_TOKENS];
    if (!page) page = pages[tile_begin / MN_PAGE_TOKENS];
    return page + ((size_t)head * MN_PAGE_TOKENS + (size_t)(key % MN_PAGE_TOKENS)) * row_bytes;
}

mn_cached_rows mn_tile_rows(const mn_kv_view *kv, int kv_head, bool values, int64_t tile_begin) {
    const void *const *pages = values ? kv->v_pages : kv->k_pages;
    mn_cached_rows found = {.type = values ? kv->v_type : kv->k_type,
                            .n_keys = (int)MN_MIN((int64_t)MN_TILE_KEYS, kv->n_tokens - tile_begin),
                            .row_bytes = values ? kv->v_row_bytes : kv->k_row_bytes};
    const char *page = pages[tile_begin / MN_PAGE_TOKENS];
    if (!page) return found;
    size_t row = (size_t)kv_head * MN_PAGE_TOKENS + (size_t)(tile_begin % MN_PAGE_TOKENS);
    found.rows = page + row * found.row_bytes;
    found.ahead = tile_ahead(kv, pages, found.row_bytes, kv_head, tile_begin);
    return found;
}

static mn_cached_rows find_rows(const mn_row_tile *tile, bool values, int64_t tile_begin) {
    return mn_tile_rows(&tile->a->kv, tile->kv_head, values, tile_begin);
}

/* What the tile's tokens [first, last] see of a key tile. */
static mn_sight look(const mn_row_tile *tile, int64_t first, int64_t last, int64_t tile_begin) {
    return mn_look(tile->a, tile->kv_head, tile->first_token + first, tile->first_token + last, tile_begin);
}

/* What is not a plain product: soft-cap, ALiBi and masks, row by row. Rows that have the same list are looked up once,
 * and so is what the heads of a token see. */
static void edit_scores(const mn_row_tile *tile, int first_row, int n_rows, int64_t tile_begin, mn_sight seen) {
    const mn_attend *a = tile->a;
    int query_tokens = a->blocks ? mn_query_block_tokens(a->blocks) : 1, n_heads = mn_heads_listed(a), last_head = -1;
    int64_t last_block = -1, last_token = -1;
    unsigned granules = 0;
    uint64_t visible = 0;
    for (int r = 0; r < n_rows; r++) {
        float *s = tile->s + r * MN_TILE_KEYS;
        int64_t token = token_of(tile, first_row + r), block = a->blocks ? token / query_tokens : 0;
        int head = head_of(tile, first_row + r);
        if (a->softcap > 0) tile->by.ops->softcap(s, a->softcap * LOG2_E);
        if (a->slopes) {
            float slope = a->slopes[head] * LOG2_E;
            tile->by.ops->add_slope(s, slope, (float)(tile_begin - token));
        }
        if (seen != MN_SEES_SOME) continue;
        bool same_list = block == last_block && (n_heads == 1 || head == last_head);
        if (!same_list) granules = mn_visible_granules(a, head, token, tile_begin);
        if (!same_list || token != last_token) visible = mn_visible_of(a, granules, token, tile_begin);
        last_block = block;
        last_token = token;
        last_head = head;
        tile->by.ops->mask(s, visible);
    }
}

static bool must_edit(const mn_row_tile *tile, mn_sight seen) { return seen == MN_SEES_SOME || has_bias(tile->a); }

/* Rows from `row` on that one operation takes. */
static int rows_together(const mn_row_tile *tile, int row) {
    int n = MN_MIN(tile->by.ops->tile_rows, tile->n_tokens * tile->group - row);
    return heads_first(tile) ? MN_MIN(n, tile->n_tokens - row % tile->n_tokens) : n;
}

static mn_sight look_rows(const mn_row_tile *tile, int row, int n, int64_t tile_begin) {
    int64_t first = token_of(tile, row), last = token_of(tile, row + n - 1);
    if (heads_first(tile)) return mn_look_head(tile->a, head_of(tile, row), first, last, tile_begin);
    return mn_look(tile->a, tile->kv_head, first, last, tile_begin);
}

/* Rows from `row` on that have the same list: those of a query block. */
static int rows_alike(const mn_row_tile *tile, int row) {
    int n_rows = tile->n_tokens * tile->group, query_tokens = mn_query_block_tokens(tile->a->blocks);
    int n_tokens = query_tokens - (int)(token_of(tile, row) % query_tokens);
    if (heads_first(tile)) return MN_MIN(n_tokens, tile->n_tokens - row % tile->n_tokens);
    return MN_MIN(n_tokens * tile->group - row % tile->group, n_rows - row);
}

/* Rows [row, row + n_rows) and the packed key tile of which they may see a part. */
static void absorb_rows(const mn_row_tile *tile, mn_softmax_rows rows, int row, int n_rows, int64_t tile_begin,
                        mn_sight sight) {
    const mn_attend_ops *ops = tile->by.ops;
    for (int end = row + n_rows, n; row < end; row += n) {
        n = MN_MIN(rows_together(tile, row), end - row);
        mn_sight seen = sight == MN_SEES_SOME ? look_rows(tile, row, n, tile_begin) : sight;
        if (seen == MN_SEES_NONE) continue;
        ops->scores(tile->s, tile->q + (size_t)row * q_row_bytes(tile->a, tile->by), tile->k, tile->factor, n,
                    tile->k_pad);
        if (must_edit(tile, seen)) edit_scores(tile, row, n, tile_begin, seen);
        ops->absorb(mn_softmax_skip(rows, row, tile->v_pad), tile->s, tile->v, n, tile->v_pad);
    }
}

/* tile_sight: what the row tile as a whole sees of the key tile; k, v: the tile's KV entries. Rows that have the same
 * list are looked at together. */
static void absorb_packed(const mn_row_tile *tile, mn_softmax_rows rows, const mn_cached_rows *k,
                          const mn_cached_rows *v, int64_t tile_begin, mn_sight tile_sight) {
    int n_rows = tile->n_tokens * tile->group;
    bool listed = tile->a->blocks && tile_sight == MN_SEES_SOME;
    tile->by.ops->pack_k(tile->k, k, tile->a->kv.k_dim);
    tile->by.ops->pack_v(tile->v, v, tile->a->kv.v_dim);
    for (int row = 0, n; row < n_rows; row += n) {
        n = listed ? MN_MAX(rows_alike(tile, row), rows_together(tile, row)) : n_rows;
        mn_sight seen = listed ? look_rows(tile, row, n, tile_begin) : tile_sight;
        if (seen != MN_SEES_NONE) absorb_rows(tile, rows, row, n, tile_begin, seen);
    }
}

static void absorb_direct(const mn_row_tile *tile, mn_softmax_rows rows, const mn_cached_rows *k,
                          const mn_cached_rows *v, int64_t tile_begin, mn_sight seen) {
    int n_rows = tile->n_tokens * tile->group;
    tile->by.direct_k->scores(tile->s, tile->q, k, tile->factor, n_rows, tile->k_pad);
    if (must_edit(tile, seen)) edit_scores(tile, 0, n_rows, tile_begin, seen);
    tile->by.direct_v->absorb(rows, tile->s, v, n_rows, tile->v_pad);
}

/* Key tiles that wait to be attended to together. */
static mn_attend_run start_run(const mn_row_tile *tile) {
    return (mn_attend_run){.q = tile->q,
                           .k = tile->k,
                           .v = tile->v,
                           .n_rows = tile->n_tokens * tile->group,
                           .k_pad = tile->k_pad,
                           .v_pad = tile->v_pad,
                           .factor = tile->factor,
                           .room = (char *)tile->seen + run_bytes(tile->by, tile->n_tokens * tile->group) -
                                   tile->by.ops->run_bytes};
}

static void end_run(const mn_row_tile *tile, mn_softmax_rows rows, mn_attend_run *run) {
    if (run->n_tiles > 0) tile->by.ops->attend(rows, run);
    run->n_tiles = 0;
}

static void add_to_run(const mn_row_tile *tile, mn_softmax_rows rows, mn_attend_run *run, const mn_cached_rows *k,
                       const mn_cached_rows *v, int64_t tile_begin, mn_sight tile_sight) {
    int t = run->n_tiles++;
    tile->by.ops->pack_k(tile->k + (size_t)t * packed_bytes(tile->by, tile->k_pad), k, tile->a->kv.k_dim);
    tile->by.ops->pack_v(tile->v + (size_t)t * packed_bytes(tile->by, tile->v_pad), v, tile->a->kv.v_dim);
    uint64_t *seen = tile->seen + (size_t)t * (size_t)run->n_rows;
    for (int row = 0; tile_sight == MN_SEES_SOME && row < run->n_rows; row++)
        seen[row] = mn_visible_keys(tile->a, head_of(tile, row), token_of(tile, row), tile_begin);
    run->seen[t] = tile_sight == MN_SEES_SOME ? seen : NULL;
    if (run->n_tiles == MN_RUN_TILES) end_run(tile, rows, run);
}

/* Keys that wait until they fill a tile. */
typedef struct gather {
    char *k, *v;
    uint64_t *seen, *bits; /* [n_rows]: of what waits, and of what comes */
    int n_keys;
} gather;

static gather start_gather(const mn_row_tile *tile) {
    gather g = {.k = tile->gathered};
    g.v = g.k + gathered_bytes(tile->a->kv.k_row_bytes);
    g.seen = (uint64_t *)(void *)(g.v + gathered_bytes(tile->a->kv.v_row_bytes));
    g.bits = g.seen + tile->n_tokens * tile->group;
    return g;
}

static void end_gather(const mn_row_tile *tile, mn_softmax_rows rows, gather *g) {
    const mn_kv_view *kv = &tile->a->kv;
    mn_cached_rows k = {kv->k_type, g->k, kv->k_row_bytes, g->n_keys, g->k},
                   v = {kv->v_type, g->v, kv->v_row_bytes, g->n_keys, g->v};
    int n_rows = tile->n_tokens * tile->group;
    if (g->n_keys == 0) return;
    tile->by.direct_k->scores(tile->s, tile->q, &k, tile->factor, n_rows, tile->k_pad);
    for (int row = 0; row < n_rows; row++)
        if (~g->seen[row]) tile->by.ops->mask(tile->s + row * MN_TILE_KEYS, g->seen[row]);
    tile->by.direct_v->absorb(rows, tile->s, &v, n_rows, tile->v_pad);
    g->n_keys = 0;
}

/* n_keys keys from `first` of a tile on join those that wait; bit j of g->bits[row]: the row sees key first + j. */
static void gather_keys(const mn_row_tile *tile, mn_softmax_rows rows, gather *g, const mn_cached_rows *k,
                        const mn_cached_rows *v, int first, int n_keys) {
    size_t at = (size_t)first, to = (size_t)g->n_keys;
    memcpy(g->k + to * k->row_bytes, k->rows + at * k->row_bytes, (size_t)n_keys * k->row_bytes);
    memcpy(g->v + to * v->row_bytes, v->rows + at * v->row_bytes, (size_t)n_keys * v->row_bytes);
    for (int row = 0; row < tile->n_tokens * tile->group; row++)
        g->seen[row] = (g->n_keys ? g->seen[row] : 0) | g->bits[row] << to;
    g->n_keys += n_keys;
    if (g->n_keys == MN_TILE_KEYS) end_gather(tile, rows, g);
}

/* What a row sees, in granules. */
static void gather_visible(const mn_row_tile *tile, mn_softmax_rows rows, gather *g, int64_t begin, int64_t end) {
    int64_t last_token = tile->first_token + tile->n_tokens - 1;
    int n_rows = tile->n_tokens * tile->group;
    uint64_t granule = (1u << GRANULE) - 1;
    while ((begin = mn_next_visible_tile(tile->a, tile->kv_head, tile->first_token, last_token, begin)) < end) {
        mn_cached_rows k = find_rows(tile, false, begin), v = find_rows(tile, true, begin);
        for (int i = 0; k.rows && v.rows && i * GRANULE < k.n_keys; i++) {
            uint64_t any = 0;
            for (int row = 0; row < n_rows; row++) {
                uint64_t seen = mn_visible_keys(tile->a, head_of(tile, row), token_of(tile, row), begin);
                any |= g->bits[row] = seen >> i * GRANULE & granule;
            }
            if (any) gather_keys(tile, rows, g, &k, &v, i * GRANULE, MN_MIN(GRANULE, k.n_keys - i * GRANULE));
        }
        begin += MN_TILE_KEYS;
    }
}

/* Tiles of those keys alone that some row sees, in their order: what nobody lists is not even read. Where all is
 * listed, these are the tiles that absorb_tiles takes. */
static void absorb_gathered(const mn_row_tile *tile, mn_softmax_rows rows, int64_t begin, int64_t end) {
    gather g = start_gather(tile);
    gather_visible(tile, rows, &g, begin, end);
    end_gather(tile, rows, &g);
}

static void absorb_tiles(const mn_row_tile *tile, mn_softmax_rows rows, int64_t begin, int64_t end) {
    int64_t last_token = tile->first_token + tile->n_tokens - 1;
    bool runs = !tile->by.direct_k && tile->by.ops->attend && !has_bias(tile->a) && tile->factor > 0;
    mn_attend_run run = {0};
    if (runs) run = start_run(tile);
    while ((begin = mn_next_visible_tile(tile->a, tile->kv_head, tile->first_token, last_token, begin)) < end) {
        mn_sight seen = look(tile, 0, tile->n_tokens - 1, begin);
        mn_cached_rows k = find_rows(tile, false, begin), v = find_rows(tile, true, begin);
        if (seen != MN_SEES_NONE && k.rows && v.rows) {
            if (runs)
                add_to_run(tile, rows, &run, &k, &v, begin, seen);
            else
                (tile->by.direct_k ? absorb_direct : absorb_packed)(tile, rows, &k, &v, begin, seen);
        }
        begin += MN_TILE_KEYS;
    }
    if (runs) end_run(tile, rows, &run);
}

void mn_row_tile_absorb(const mn_row_tile *tile, mn_softmax_rows rows, int64_t begin, int64_t end) {
    if (!tile->by.direct_k && tile->by.ops->enter) tile->by.ops->enter();
    if (mn_walks_lists(tile->a, tile->by))
        mn_absorb_listed(tile, rows, begin, end);
    else
        (gathers(tile->a, tile->by) ? absorb_gathered : absorb_tiles)(tile, rows, begin, end);
    if (!tile->by.direct_k && tile->by.ops->leave) tile->by.ops->leave();
}

mn_key_range mn_row_tile_range(const mn_attend *a, int64_t first_row, int64_t n_tokens) {
    mn_key_range low = mn_visible_range(a, a->first_token + first_row);
    mn_key_range high = mn_visible_range(a, a->first_token + first_row + n_tokens - 1);
    mn_key_range keys = {a->n_sinks > 0 ? 0 : low.begin, high.end};
    if (a->end_key > 0) keys.end = MN_MIN(keys.end, a->end_key);
    keys.begin = MN_MAX(keys.begin, a->first_key);
    return keys;
}

size_t mn_softmax_floats(int64_t n_rows, int v_pad) {
    return align64((size_t)n_rows * sizeof(float)) / sizeof(float) * 2 + (size_t)n_rows * (size_t)v_pad;
}

mn_softmax_rows mn_softmax_view(float *memory, int64_t n_rows, int v_pad) {
    float *o = memory, *m = o + (size_t)n_rows * (size_t)v_pad;
    return (mn_softmax_rows){m, m + align64((size_t)n_rows * sizeof(float)) / sizeof(float), o};
}

mn_softmax_rows mn_softmax_skip(mn_softmax_rows rows, int64_t first, int v_pad) {
    return (mn_softmax_rows){rows.m + first, rows.l + first, rows.o + (size_t)first * (size_t)v_pad};
}

/* Floats of one KV head's rows; heads begin on whole cache lines. */
static size_t head_sums_floats(const mn_attend *a) {
    int64_t n_rows = a->n_rows * (a->n_heads / a->kv.n_kv_heads);
    return align64(mn_softmax_floats(n_rows, mn_attend_pad(a->kv.v_dim)) * sizeof(float)) / sizeof(float);
}

mn_softmax_rows mn_attend_sums_of(const mn_attend *a, int kv_head) {
    return mn_softmax_view(a->sums + (size_t)kv_head * head_sums_floats(a), a->n_rows * (a->n_heads / a->kv.n_kv_heads),
                           mn_attend_pad(a->kv.v_dim));
}

float *mn_attend_sums(mn_arena *arena, const mn_attend *a) {
    mn_attend filled = *a;
    filled.sums = mn_arena_alloc(arena, (size_t)a->kv.n_kv_heads, head_sums_floats(a) * sizeof(float));
    for (int h = 0; filled.sums && h < a->kv.n_kv_heads; h++)
        mn_softmax_clear(mn_attend_sums_of(&filled, h), a->n_rows * (a->n_heads / a->kv.n_kv_heads),
                         mn_attend_pad(a->kv.v_dim));
    return filled.sums;
}

void mn_softmax_clear(mn_softmax_rows rows, int64_t n_rows, int v_pad) {
    for (int64_t r = 0; r < n_rows; r++) {
        rows.m[r] = -INFINITY;
        rows.l[r] = 0;
    }
    memset(rows.o, 0, (size_t)n_rows * (size_t)v_pad * sizeof(float));
}

/* A row's softmax as it is written: out = o * factor, and its LSE. */
typedef struct ending {
    float factor, lse;
} ending;

/* With a sink of score s: l' = l 2^(m - top) + 2^(s - top), top = max(m, s). */
static ending end_row(float m, float l, const float *sink) {
    if (!sink) return (ending){l == 0 ? 0 : 1 / l, l == 0 ? -INFINITY : m + log2f(l)};
    double score = (double)*sink * M_LOG2E, top = l == 0 ? score : MN_MAX((double)m, score);
    double keep = l == 0 ? 0 : exp2((double)m - top), sum = (double)l * keep + exp2(score - top);
    return (ending){(float)(keep / sum), (float)(top + log2(sum))};
}

void mn_row_tile_write(const mn_row_tile *tile, mn_softmax_rows total) {
    const mn_attend *a = tile->a;
    for (int r = 0; r < tile->n_tokens * tile->group; r++) {
        int64_t row = token_of(tile, r) - a->first_token, head = head_of(tile, r);
        float *out = a->out + row * a->out_stride + head * a->kv.v_dim;
        const float *o = total.o + (size_t)r * (size_t)tile->v_pad;
        ending end = end_row(total.m[r], total.l[r], a->sinks ? a->sinks + head : NULL);
        if (a->lse) a->lse[row * a->n_heads + head] = end.lse;
        for (int i = 0; i < a->kv.v_dim; i++) out[i] = o[i] * end.factor;
    }
}
