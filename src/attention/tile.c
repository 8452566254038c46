#include "attention/tile.h"

#include "base/checked.h"

#include <math.h>
#include <string.h>

static const float LOG2_E = 1.44269504f;

static size_t align64(size_t bytes) { return (bytes + 63) & ~(size_t)63; }

size_t mn_row_tile_bytes(const mn_attend *a, const mn_attend_ops *ops, int64_t n_rows) {
    size_t k_row = (size_t)mn_attend_pad(a->kv.k_dim) * (size_t)ops->operand_bytes;
    size_t v_row = (size_t)mn_attend_pad(a->kv.v_dim) * (size_t)ops->operand_bytes;
    size_t scores = MN_TILE_ROWS * MN_TILE_KEYS * sizeof(float);
    return align64((size_t)n_rows * k_row) + MN_TILE_KEYS * (k_row + v_row) + scores;
}

static void pack_queries(const mn_row_tile *tile, int64_t first_row) {
    const mn_attend *a = tile->a;
    float factor = a->softcap > 0 ? a->scale / a->softcap : a->scale * LOG2_E;
    char *packed = tile->q;
    for (int64_t row = first_row; row < first_row + tile->n_tokens; row++)
        for (int i = 0; i < tile->group; i++, packed += tile->k_pad * tile->ops->operand_bytes) {
            const float *q = a->q + row * a->q_stride + (int64_t)(tile->kv_head * tile->group + i) * a->kv.k_dim;
            tile->ops->pack_q(packed, q, factor, a->kv.k_dim);
        }
}

mn_row_tile mn_row_tile_init(const mn_attend *a, const mn_attend_ops *ops, int kv_head, int64_t first_row, int n_tokens,
                             void *scratch) {
    mn_row_tile tile = {.a = a, .ops = ops, .kv_head = kv_head, .group = a->n_heads / a->kv.n_kv_heads,
                        .k_pad = mn_attend_pad(a->kv.k_dim), .v_pad = mn_attend_pad(a->kv.v_dim),
                        .first_token = a->first_token + first_row, .n_tokens = n_tokens, .q = scratch};
    size_t n_rows = (size_t)n_tokens * (size_t)tile.group, operand = (size_t)ops->operand_bytes;
    tile.k = tile.q + align64(n_rows * (size_t)tile.k_pad * operand);
    tile.v = tile.k + MN_TILE_KEYS * (size_t)tile.k_pad * operand;
    tile.s = (float *)(void *)(tile.v + MN_TILE_KEYS * (size_t)tile.v_pad * operand);
    pack_queries(&tile, first_row);
    return tile;
}

/* False when the page was dropped: its keys are not seen. Pages hold whole tiles. */
static bool pack_keys(const mn_row_tile *tile, int64_t tile_begin) {
    const mn_kv_view *kv = &tile->a->kv;
    int64_t page = tile_begin / MN_PAGE_TOKENS;
    if (!kv->k_pages[page] || !kv->v_pages[page]) return false;
    size_t row = (size_t)tile->kv_head * MN_PAGE_TOKENS + (size_t)(tile_begin % MN_PAGE_TOKENS);
    const char *k_rows = (const char *)kv->k_pages[page] + row * kv->k_row_bytes;
    const char *v_rows = (const char *)kv->v_pages[page] + row * kv->v_row_bytes;
    int n_keys = (int)MN_MIN((int64_t)MN_TILE_KEYS, kv->n_tokens - tile_begin);
    tile->ops->pack_k(tile->k, kv->k_type, k_rows, kv->k_row_bytes, n_keys, kv->k_dim);
    tile->ops->pack_v(tile->v, kv->v_type, v_rows, kv->v_row_bytes, n_keys, kv->v_dim);
    return true;
}

/* Takes from one row of scores what its token does not see. */
static void mask_row(float *s, mn_key_range keys, unsigned granules, int64_t tile_begin) {
    int begin = (int)MN_MAX(0, MN_MIN(MN_TILE_KEYS, keys.begin - tile_begin));
    int end = (int)MN_MAX(begin, MN_MIN(MN_TILE_KEYS, keys.end - tile_begin));
    for (int j = 0; j < begin; j++) s[j] = -INFINITY;
    for (int j = end; j < MN_TILE_KEYS; j++) s[j] = -INFINITY;
    for (int j = 0; j < MN_TILE_KEYS; j++)
        if (!(granules >> j / 16 & 1)) s[j] = -INFINITY;
}

typedef enum sight { SEES_NONE, SEES_SOME, SEES_ALL } sight;

/* What the tokens [first, last] see of a key tile. Ranges grow with the token, so the ends speak for all. */
static sight look(const mn_row_tile *tile, int64_t first, int64_t last, int64_t tile_begin, int64_t tile_end) {
    mn_key_range low = mn_visible_range(tile->a, first), high = mn_visible_range(tile->a, last);
    if (tile_end <= low.begin || tile_begin >= high.end) return SEES_NONE;
    sight seen = high.begin <= tile_begin && tile_end <= low.end ? SEES_ALL : SEES_SOME;
    if (!tile->a->blocks) return seen;
    unsigned any = 0, all = ~0u, full = (1u << MN_TILE_KEYS / 16) - 1;
    for (int64_t token = first; token <= last; token++) {
        unsigned granules = mn_visible_granules(tile->a, tile->kv_head, token, tile_begin);
        any |= granules;
        all &= granules;
    }
    return any == 0 ? SEES_NONE : all == full ? seen : SEES_SOME;
}

/* What is not a plain product: soft-cap, ALiBi and masks, row by row. */
static void edit_scores(const mn_row_tile *tile, int first_row, int n_rows, int64_t tile_begin, sight seen) {
    const mn_attend *a = tile->a;
    for (int r = 0; r < n_rows; r++) {
        float *s = tile->s + r * MN_TILE_KEYS;
        int64_t token = tile->first_token + (first_row + r) / tile->group;
        if (a->softcap > 0) tile->ops->softcap(s, a->softcap * LOG2_E);
        if (a->slopes) {
            float slope = a->slopes[tile->kv_head * tile->group + (first_row + r) % tile->group] * LOG2_E;
            tile->ops->add_slope(s, slope * (float)(tile_begin - token), slope);
        }
        if (seen == SEES_SOME)
            mask_row(s, mn_visible_range(a, token), mn_visible_granules(a, tile->kv_head, token, tile_begin),
                     tile_begin);
    }
}

static void absorb_rows(const mn_row_tile *tile, mn_softmax_rows rows, int first_row, int n_rows, int64_t tile_begin,
                        int64_t tile_end) {
    int64_t first = tile->first_token + first_row / tile->group;
    int64_t last = tile->first_token + (first_row + n_rows - 1) / tile->group;
    sight seen = look(tile, first, last, tile_begin, tile_end);
    if (seen == SEES_NONE) return;
    const char *q = tile->q + (size_t)first_row * (size_t)tile->k_pad * (size_t)tile->ops->operand_bytes;
    tile->ops->scores(tile->s, q, tile->k, n_rows, tile->k_pad);
    if (seen == SEES_SOME || tile->a->slopes || tile->a->softcap > 0)
        edit_scores(tile, first_row, n_rows, tile_begin, seen);
    mn_softmax_rows some = {rows.m + first_row, rows.l + first_row, rows.o + (size_t)first_row * (size_t)tile->v_pad};
    tile->ops->absorb(some, tile->s, tile->v, n_rows, tile->v_pad);
}

void mn_row_tile_absorb(const mn_row_tile *tile, mn_softmax_rows rows, int64_t begin, int64_t end) {
    int64_t last_token = tile->first_token + tile->n_tokens - 1;
    int n_rows = tile->n_tokens * tile->group;
    while ((begin = mn_next_visible_tile(tile->a, tile->kv_head, tile->first_token, last_token, begin)) < end) {
        if (pack_keys(tile, begin))
            for (int row = 0; row < n_rows; row += MN_TILE_ROWS)
                absorb_rows(tile, rows, row, MN_MIN(MN_TILE_ROWS, n_rows - row), begin, begin + MN_TILE_KEYS);
        begin += MN_TILE_KEYS;
    }
}

mn_key_range mn_row_tile_range(const mn_attend *a, int64_t first_row, int64_t n_tokens) {
    mn_key_range low = mn_visible_range(a, a->first_token + first_row);
    mn_key_range high = mn_visible_range(a, a->first_token + first_row + n_tokens - 1);
    return (mn_key_range){low.begin, high.end};
}

size_t mn_softmax_floats(int64_t n_rows, int v_pad) {
    return align64((size_t)n_rows * sizeof(float)) / sizeof(float) * 2 + (size_t)n_rows * (size_t)v_pad;
}

mn_softmax_rows mn_softmax_view(float *memory, int64_t n_rows, int v_pad) {
    float *o = memory, *m = o + (size_t)n_rows * (size_t)v_pad;
    return (mn_softmax_rows){m, m + align64((size_t)n_rows * sizeof(float)) / sizeof(float), o};
}

void mn_softmax_clear(mn_softmax_rows rows, int64_t n_rows, int v_pad) {
    for (int64_t r = 0; r < n_rows; r++) {
        rows.m[r] = -INFINITY;
        rows.l[r] = 0;
    }
    memset(rows.o, 0, (size_t)n_rows * (size_t)v_pad * sizeof(float));
}

void mn_softmax_merge(mn_softmax_rows total, mn_softmax_rows part, int64_t n_rows, int v_pad) {
    for (int64_t r = 0; r < n_rows; r++) {
        if (part.l[r] == 0) continue;
        float m = MN_MAX(total.m[r], part.m[r]);
        float keep = exp2f(total.m[r] - m), add = exp2f(part.m[r] - m);
        total.m[r] = m;
        total.l[r] = total.l[r] * keep + part.l[r] * add;
        float *o = total.o + r * v_pad;
        const float *more = part.o + r * v_pad;
        for (int i = 0; i < v_pad; i++) o[i] = o[i] * keep + more[i] * add;
    }
}

void mn_row_tile_write(const mn_row_tile *tile, mn_softmax_rows total) {
    const mn_attend *a = tile->a;
    int64_t first_row = tile->first_token - a->first_token;
    for (int r = 0; r < tile->n_tokens * tile->group; r++) {
        float *out = a->out + (first_row + r / tile->group) * a->out_stride +
                     (int64_t)(tile->kv_head * tile->group + r % tile->group) * a->kv.v_dim;
        const float *o = total.o + (size_t)r * (size_t)tile->v_pad;
        float inverse = total.l[r] == 0 ? 0 : 1 / total.l[r];
        for (int i = 0; i < a->kv.v_dim; i++) out[i] = o[i] * inverse;
    }
}
