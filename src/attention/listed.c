#include "attention/listed.h"

#include "base/checked.h"

#include <math.h>
#include <string.h>

enum {
    AHEAD_KEYS = 2 * MN_TILE_KEYS
}; /* from where keys are asked for: they lie apart, and no processor guesses where */

bool mn_walks_lists(const mn_attend *a, mn_arithmetic by) {
    bool masked = a->window || a->segment || a->n_sinks || a->dilation > 1 || a->chosen || a->key_begin;
    return by.direct_k && a->blocks && a->n_rows == 1 && !masked && !a->slopes && a->softcap == 0 &&
           (a->blocks->by_content || mn_heads_listed(a) == 1);
}

bool mn_walks_by_head(const mn_attend *a, mn_arithmetic by) {
    return mn_walks_lists(a, by) && a->blocks->by_content && a->blocks->n_lists == a->n_heads;
}

int64_t mn_listed_keys(const mn_attend *a) {
    int64_t most = 0;
    for (int h = 0; h < a->n_heads; h++) {
        mn_block_span list = mn_listed_blocks(a, h, a->first_token, 0);
        most = MN_MAX(most, list.end - list.begin);
    }
    return most * a->blocks->block_tokens;
}

/* A list in pieces: its blocks, or the key tiles of larger ones; a power of two of a block. */
typedef struct walk {
    const mn_row_tile *tile;
    const int32_t *blocks;
    int64_t n_pieces, n_tokens; /* n_tokens: keys that the token may see */
    int64_t block_tokens;
    int piece_tokens, piece_shift; /* 2^piece_shift pieces are a block */
} walk;

static walk walk_of(const mn_row_tile *tile) {
    const mn_attend *a = tile->a;
    mn_block_span list = mn_listed_blocks(a, tile->first_head, tile->first_token, 0);
    walk w = {.tile = tile, .blocks = list.begin, .block_tokens = a->blocks->block_tokens};
    w.piece_tokens = (int)MN_MIN((int64_t)MN_TILE_KEYS, w.block_tokens);
    while ((int64_t)w.piece_tokens << w.piece_shift < w.block_tokens) w.piece_shift++;
    w.n_pieces = (list.end - list.begin) << w.piece_shift;
    w.n_tokens = MN_MIN(a->kv.n_tokens, tile->first_token + 1);
    return w;
}

static int64_t key_of(const walk *w, int64_t piece) {
    int64_t within = piece & ((INT64_C(1) << w->piece_shift) - 1);
    return w->blocks[piece >> w->piece_shift] * w->block_tokens + within * w->piece_tokens;
}

/* KV entries that follow each other; n_keys 0 where they were dropped or are not there yet. */
typedef struct entries {
    const char *k, *v;
    int n_keys;
} entries;

static entries entries_of(const walk *w, int64_t piece) {
    const mn_kv_view *kv = &w->tile->a->kv;
    uint64_t key = (uint64_t)key_of(w, piece), page = key / MN_PAGE_TOKENS;
    if ((int64_t)key >= w->n_tokens || !kv->k_pages[page] || !kv->v_pages[page]) return (entries){NULL, NULL, 0};
    size_t row = (size_t)w->tile->kv_head * MN_PAGE_TOKENS + key % MN_PAGE_TOKENS;
    return (entries){(const char *)kv->k_pages[page] + row * kv->k_row_bytes,
                     (const char *)kv->v_pages[page] + row * kv->v_row_bytes,
                     (int)MN_MIN((int64_t)w->piece_tokens, w->n_tokens - (int64_t)key)};
}

static void fetch(const char *rows, size_t bytes) {
    for (size_t at = 0; at < bytes; at += 64) __builtin_prefetch(rows + at, 0, 2);
}

/* The first pieces of a range: nobody has asked for them. */
static void fetch_first(const walk *w, int64_t begin, int64_t end) {
    const mn_kv_view *kv = &w->tile->a->kv;
    for (int64_t piece = begin; piece < MN_MIN(end, begin + AHEAD_KEYS / w->piece_tokens); piece++) {
        entries x = entries_of(w, piece);
        fetch(x.k, (size_t)x.n_keys * kv->k_row_bytes);
        fetch(x.v, (size_t)x.n_keys * kv->v_row_bytes);
    }
}

enum { MAX_PARTS = MN_TILE_KEYS / 16 };

/* Values that lie apart move together, for kernels that want them so. */
static mn_cached_rows join(char *to, const mn_cached_rows *parts, int n_parts) {
    mn_cached_rows all = parts[0];
    if (n_parts == 1) return all;
    all.n_keys = 0;
    for (const mn_cached_rows *v = parts; v < parts + n_parts; all.n_keys += v++->n_keys) {
        fetch(v->ahead, (size_t)v->n_keys * v->row_bytes);
        memcpy(to + (size_t)all.n_keys * v->row_bytes, v->rows, (size_t)v->n_keys * v->row_bytes);
    }
    all.rows = all.ahead = to;
    return all;
}

static void absorb_values(const mn_row_tile *tile, mn_softmax_rows rows, const mn_cached_rows *parts, int n_parts) {
    const mn_direct_ops *ops = tile->by.direct_v;
    if (ops->absorb_parts) {
        ops->absorb_parts(rows, tile->s, parts, n_parts, tile->group, tile->v_pad);
    } else {
        mn_cached_rows all = join(tile->gathered, parts, n_parts);
        ops->absorb(rows, tile->s, &all, tile->group, tile->v_pad);
    }
}

/* One tile of the pieces [begin, end). */
static void absorb_tile(const walk *w, mn_softmax_rows rows, int64_t begin, int64_t end) {
    const mn_row_tile *tile = w->tile;
    const mn_kv_view *kv = &tile->a->kv;
    mn_cached_rows parts[MAX_PARTS];
    int n_parts = 0, n_keys = 0;
    for (int64_t piece = begin; piece < end; piece++) {
        entries x = entries_of(w, piece),
                ahead = entries_of(w, MN_MIN(piece + AHEAD_KEYS / w->piece_tokens, w->n_pieces - 1));
        if (x.n_keys == 0) continue;
        if (ahead.n_keys == 0) ahead = x;
        mn_cached_rows k = {kv->k_type, x.k, kv->k_row_bytes, x.n_keys, ahead.k};
        tile->by.direct_k->scores(tile->s + n_keys, tile->q, &k, tile->factor, tile->group, tile->k_pad);
        parts[n_parts++] = (mn_cached_rows){kv->v_type, x.v, kv->v_row_bytes, x.n_keys, ahead.v};
        n_keys += x.n_keys;
    }
    for (int row = 0; row < tile->group; row++)
        for (int j = n_keys; j < MN_TILE_KEYS; j++) tile->s[row * MN_TILE_KEYS + j] = -INFINITY;
    if (n_parts > 0) absorb_values(tile, rows, parts, n_parts);
}

static void absorb_pieces(const walk *w, mn_softmax_rows rows, int64_t begin, int64_t end) {
    int64_t tile_pieces = MN_TILE_KEYS / w->piece_tokens;
    for (; begin < end; begin += tile_pieces) absorb_tile(w, rows, begin, MN_MIN(begin + tile_pieces, end));
}

/* The first piece of the list that begins at or after a key. */
static int64_t piece_from(const walk *w, int64_t key) {
    int64_t low = 0, high = w->n_pieces;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (key_of(w, middle) < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void mn_absorb_listed(const mn_row_tile *tile, mn_softmax_rows rows, int64_t begin, int64_t end) {
    walk w = walk_of(tile);
    absorb_pieces(&w, rows, piece_from(&w, begin), piece_from(&w, end));
}

void mn_absorb_listed_nth(const mn_row_tile *tile, mn_softmax_rows rows, int64_t begin, int64_t end) {
    walk w = walk_of(tile);
    begin = MN_MIN(begin / w.piece_tokens, w.n_pieces);
    end = MN_MIN(end / w.piece_tokens, w.n_pieces);
    fetch_first(&w, begin, end);
    absorb_pieces(&w, rows, begin, end);
}
