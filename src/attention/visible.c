#include "attention/visible.h"

#include "base/checked.h"
#include "kernels/attend.h"

#include <stdbool.h>
#include <string.h>

mn_key_range mn_visible_range(const mn_attend *a, int64_t token) {
    mn_key_range keys = {0, MN_MIN(token + 1, a->kv.n_tokens)};
    if (a->window > 0) keys.begin = MN_MAX(keys.begin, token + 1 - a->window);
    if (a->segment > 0) keys.begin = MN_MAX(keys.begin, token / a->segment * a->segment);
    if (a->key_begin) {
        keys.begin = MN_MAX(keys.begin, a->key_begin[token - a->first_token]);
        keys.end = MN_MIN(keys.end, a->key_end[token - a->first_token]);
    }
    return keys;
}

/* The list of one query block. */
typedef mn_block_span block_range;

int mn_heads_listed(const mn_attend *a) {
    return a->blocks && a->blocks->n_lists == a->n_heads ? a->n_heads / a->kv.n_kv_heads : 1;
}

/* The list of query head h and a query block. */
static block_range find_list(const mn_attend *a, int h, int64_t query_block) {
    const mn_block_list *lists = a->blocks;
    int64_t list = (int64_t)h * lists->n_lists / a->n_heads;
    const int64_t *offsets = lists->offsets + list * lists->n_query_blocks + query_block - lists->first_query_block;
    return (block_range){lists->blocks + offsets[0], lists->blocks + offsets[1]};
}

/* First entry that is not below block. */
static const int32_t *lower_bound(block_range range, int64_t block) {
    while (range.begin < range.end) {
        const int32_t *middle = range.begin + (range.end - range.begin) / 2;
        if (*middle < block)
            range.begin = middle + 1;
        else
            range.end = middle;
    }
    return range.begin;
}

mn_block_span mn_listed_blocks(const mn_attend *a, int head, int64_t token, int64_t first) {
    block_range list = find_list(a, head, token / mn_query_block_tokens(a->blocks));
    list.begin = lower_bound(list, first);
    return list;
}

unsigned mn_visible_granules(const mn_attend *a, int h, int64_t token, int64_t tile_begin) {
    enum { GRANULE = 16, ALL = (1u << MN_TILE_KEYS / GRANULE) - 1 };
    const mn_block_list *lists = a->blocks;
    if (!lists) return ALL;
    block_range list = find_list(a, h, token / mn_query_block_tokens(lists));
    const int32_t *entry = lower_bound(list, tile_begin / lists->block_tokens);
    if (lists->block_tokens >= MN_TILE_KEYS)
        return entry < list.end && *entry == tile_begin / lists->block_tokens ? ALL : 0;
    unsigned granules = 0, block_granules = (1u << lists->block_tokens / GRANULE) - 1;
    for (; entry < list.end && *entry < (tile_begin + MN_TILE_KEYS) / lists->block_tokens; entry++)
        granules |= block_granules << (*entry * (int64_t)lists->block_tokens - tile_begin) / GRANULE;
    return granules;
}

/* The keys of a tile that a token's row has chosen, a bit for each. */
static uint64_t chosen_keys(const mn_attend *a, int64_t token, int64_t tile_begin) {
    return a->chosen[(token - a->first_token) * a->chosen_words + tile_begin / MN_TILE_KEYS];
}

/* The first tile at or after tile_begin in which any of the tokens has chosen a key. */
static int64_t next_chosen_tile(const mn_attend *a, int64_t first_token, int64_t last_token, int64_t tile_begin) {
    for (; tile_begin < a->kv.n_tokens; tile_begin += MN_TILE_KEYS)
        for (int64_t token = first_token; token <= last_token; token++)
            if (chosen_keys(a, token, tile_begin)) return tile_begin;
    return INT64_MAX;
}

int64_t mn_next_visible_tile(const mn_attend *a, int h, int64_t first_token, int64_t last_token, int64_t tile_begin) {
    const mn_block_list *lists = a->blocks;
    if (a->chosen) tile_begin = next_chosen_tile(a, first_token, last_token, tile_begin);
    if (tile_begin == INT64_MAX) return INT64_MAX;
    if (!lists) return tile_begin;
    int query_tokens = mn_query_block_tokens(lists), first_head = h * (a->n_heads / a->kv.n_kv_heads);
    int64_t next = INT64_MAX;
    for (int64_t block = first_token / query_tokens; block <= last_token / query_tokens; block++)
        for (int head = first_head; head < first_head + mn_heads_listed(a); head++) {
            block_range list = find_list(a, head, block);
            const int32_t *entry = lower_bound(list, tile_begin / lists->block_tokens);
            if (entry == list.end) continue;
            int64_t key = *entry * (int64_t)lists->block_tokens;
            next = MN_MIN(next, MN_MAX(tile_begin, key / MN_TILE_KEYS * MN_TILE_KEYS));
        }
    return next;
}

static int within_tile(int64_t key, int64_t tile_begin) {
    return (int)MN_MAX(0, MN_MIN(MN_TILE_KEYS, key - tile_begin));
}

/* The first n of 64 bits. */
static uint64_t first_bits(int n) { return n == 64 ? ~(uint64_t)0 : ((uint64_t)1 << n) - 1; }

/* Those of bits [begin, end) that stand a multiple of the dilation before the token, at bit `own`. */
static uint64_t dilated_bits(int64_t own, int64_t dilation, int begin, int end) {
    int64_t first = begin + (own - begin) % dilation;
    if (first >= end) return 0;
    uint64_t bits = (uint64_t)1 << first;
    for (int64_t step = dilation; step < MN_TILE_KEYS; step *= 2) bits |= bits << step;
    return bits & first_bits(end);
}

uint64_t mn_visible_keys(const mn_attend *a, int head, int64_t token, int64_t tile_begin) {
    return mn_visible_of(a, mn_visible_granules(a, head, token, tile_begin), token, tile_begin);
}

uint64_t mn_visible_of(const mn_attend *a, unsigned granules, int64_t token, int64_t tile_begin) {
    mn_key_range keys = mn_visible_range(a, token);
    int sinks = within_tile(a->n_sinks, tile_begin);
    int begin = MN_MAX(sinks, within_tile(keys.begin, tile_begin)), end = within_tile(keys.end, tile_begin);
    uint64_t seen = first_bits(end) & (first_bits(sinks) | ~first_bits(begin));
    for (int i = 0; i < MN_TILE_KEYS / 16; i++)
        if (!(granules >> i & 1)) seen &= ~((uint64_t)0xffff << 16 * i);
    if (a->dilation > 1) seen &= first_bits(begin) | dilated_bits(token - tile_begin, a->dilation, begin, end);
    return a->chosen ? seen & chosen_keys(a, token, tile_begin) : seen;
}

/* Granules that any of the tokens and heads sees, and that all of them see. */
static void collect_granules(const mn_attend *a, int first_head, int n_heads, int64_t first_token, int64_t last_token,
                             int64_t tile_begin, unsigned *any, unsigned *all) {
    int query_tokens = mn_query_block_tokens(a->blocks);
    for (int64_t block = first_token / query_tokens; block <= last_token / query_tokens; block++)
        for (int head = first_head; head < first_head + n_heads; head++) {
            unsigned granules = mn_visible_granules(a, head, block * query_tokens, tile_begin);
            *any |= granules;
            *all &= granules;
        }
}

/* Ranges grow with the token, so the ends speak for all. */
static mn_sight look(const mn_attend *a, int first_head, int n_heads, int64_t first_token, int64_t last_token,
                     int64_t tile_begin) {
    int64_t tile_end = tile_begin + MN_TILE_KEYS;
    mn_key_range low = mn_visible_range(a, first_token), high = mn_visible_range(a, last_token);
    if ((tile_end <= low.begin && tile_begin >= a->n_sinks) || tile_begin >= high.end) return MN_SEES_NONE;
    bool undivided = tile_end <= a->n_sinks || (high.begin <= tile_begin && a->dilation <= 1);
    mn_sight seen = undivided && tile_end <= low.end && !a->chosen ? MN_SEES_ALL : MN_SEES_SOME;
    if (!a->blocks) return seen;
    unsigned any = 0, all = ~0u, full = (1u << MN_TILE_KEYS / 16) - 1;
    collect_granules(a, first_head, n_heads, first_token, last_token, tile_begin, &any, &all);
    return any == 0 ? MN_SEES_NONE : all == full ? seen : MN_SEES_SOME;
}

mn_sight mn_look(const mn_attend *a, int h, int64_t first_token, int64_t last_token, int64_t tile_begin) {
    return look(a, h * (a->n_heads / a->kv.n_kv_heads), mn_heads_listed(a), first_token, last_token, tile_begin);
}

mn_sight mn_look_head(const mn_attend *a, int head, int64_t first_token, int64_t last_token, int64_t tile_begin) {
    return look(a, head, 1, first_token, last_token, tile_begin);
}

static void set_bits(uint64_t *bits, int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; b++) bits[b / 64] |= UINT64_C(1) << b % 64;
}

void mn_visible_blocks(const mn_attend *a, int h, int64_t first_token, int64_t last_token, int block_tokens,
                       int64_t n_blocks, uint64_t *bits) {
    const mn_block_list *lists = a->blocks;
    if (!lists) {
        set_bits(bits, 0, n_blocks);
        return;
    }
    int query_tokens = mn_query_block_tokens(lists), first_head = h * (a->n_heads / a->kv.n_kv_heads);
    for (int64_t block = first_token / query_tokens; block <= last_token / query_tokens; block++)
        for (int head = first_head; head < first_head + mn_heads_listed(a); head++) {
            block_range list = find_list(a, head, block);
            for (const int32_t *entry = list.begin; entry < list.end; entry++) {
                int64_t begin = *entry * (int64_t)lists->block_tokens, end = begin + lists->block_tokens;
                set_bits(bits, begin / block_tokens, MN_MIN((end - 1) / block_tokens + 1, n_blocks));
            }
        }
}

/* The pages of all blocks that any list of the call's rows names. */
static void mark_listed(const mn_attend *a, uint8_t *seen, int64_t n_pages) {
    const mn_block_list *lists = a->blocks;
    int query_tokens = mn_query_block_tokens(lists);
    int64_t first = a->first_token / query_tokens, last = (a->first_token + a->n_rows - 1) / query_tokens;
    memset(seen, 0, (size_t)n_pages);
    for (int h = 0; h < a->n_heads; h += a->n_heads / lists->n_lists)
        for (int64_t query_block = first; query_block <= last; query_block++) {
            block_range list = find_list(a, h, query_block);
            for (const int32_t *block = list.begin; block < list.end; block++) {
                int64_t begin = *block * (int64_t)lists->block_tokens, end = begin + lists->block_tokens;
                for (int64_t page = begin / MN_PAGE_TOKENS; page < n_pages && page * MN_PAGE_TOKENS < end; page++)
                    seen[page] = 1;
            }
        }
}

void mn_visible_pages(const mn_attend *a, uint8_t *seen) {
    int64_t n_pages = (a->kv.n_tokens + MN_PAGE_TOKENS - 1) / MN_PAGE_TOKENS;
    int64_t begin = mn_visible_range(a, a->first_token).begin,
            end = mn_visible_range(a, a->first_token + a->n_rows - 1).end;
    if (a->blocks)
        mark_listed(a, seen, n_pages);
    else
        memset(seen, 1, (size_t)n_pages);
    for (int64_t page = 0; a->chosen && page < n_pages; page++) {
        int64_t next = next_chosen_tile(a, a->first_token, a->first_token + a->n_rows - 1, page * MN_PAGE_TOKENS);
        if (next >= (page + 1) * MN_PAGE_TOKENS) seen[page] = 0;
    }
    for (int64_t page = 0; page < n_pages; page++) {
        int64_t first_key = page * MN_PAGE_TOKENS;
        bool before = first_key + MN_PAGE_TOKENS <= begin && first_key >= a->n_sinks;
        if (before || first_key >= end) seen[page] = 0;
    }
}

/* Keys before `end` in the blocks of a token's lists, the mean over the heads. Only the last block of a list may reach
 * past it. */
static double count_listed(const mn_attend *a, int64_t token, int64_t end) {
    const mn_block_list *lists = a->blocks;
    int64_t n = 0;
    for (int list = 0; list < lists->n_lists; list++) {
        block_range blocks = find_list(a, list * (a->n_heads / lists->n_lists), token / mn_query_block_tokens(lists));
        if (blocks.begin == blocks.end) continue;
        int64_t last_end = (blocks.end[-1] + INT64_C(1)) * lists->block_tokens;
        n += (blocks.end - blocks.begin) * lists->block_tokens - MN_MAX(0, last_end - end);
    }
    return (double)n / lists->n_lists;
}

static double count_chosen(const mn_attend *a, int64_t token, int64_t end) {
    int n = 0;
    for (int64_t begin = 0; begin < end; begin += MN_TILE_KEYS)
        n += __builtin_popcountll(chosen_keys(a, token, begin) & first_bits(within_tile(end, begin)));
    return n;
}

static double count_row(const mn_attend *a, int64_t token) {
    mn_key_range keys = mn_visible_range(a, token);
    if (a->blocks) return count_listed(a, token, keys.end);
    if (a->chosen) return count_chosen(a, token, keys.end);
    return (double)(MN_MAX(0, keys.end - keys.begin) + MN_MIN(a->n_sinks, MN_MAX(0, keys.begin)));
}

mn_pair_count mn_visible_pairs(const mn_attend *a) {
    mn_pair_count count = {0, 0};
    for (int64_t r = 0; r < a->n_rows; r++) count.all += count.last_row = count_row(a, a->first_token + r);
    return count;
}
