/* From a pattern to the lists that attention executes. */
#include "attention/patterns/pattern.h"

#include "base/checked.h"
#include "kernels/profile.h"

static void list_block(const mn_pattern *p, int64_t query_block, int64_t n_blocks, mn_block_runs *runs) {
    if (!p->bidirectional) n_blocks = MN_MIN(n_blocks, query_block + 1);
    *runs = (mn_block_runs){.limit = n_blocks};
    if (p->kind->list)
        p->kind->list(p, query_block, n_blocks, runs);
    else
        mn_block_runs_add(runs, 0, n_blocks);
}

bool mn_pattern_sees(const mn_pattern *p, int64_t n_tokens, int64_t i, int64_t j) {
    if (!p->bidirectional && j > i) return false;
    if (p->kind->sees) return p->kind->sees(p, i, j);
    mn_block_runs runs;
    list_block(p, i / p->block_tokens, (n_tokens - 1) / p->block_tokens + 1, &runs);
    for (int r = 0; r < runs.n; r++)
        if (runs.runs[r].begin <= j / p->block_tokens && j / p->block_tokens < runs.runs[r].end) return true;
    return false;
}

/* Which half of the heads list `list` of n_lists is for; the lower one is smaller where they are odd, as in LongLoRA's
 * code. A list for all heads is what the caller says. */
static mn_pattern of_list(const mn_pattern *p, int64_t list, int64_t n_lists) {
    mn_pattern half = *p;
    if (n_lists > 1) half.shifted = list >= n_lists / 2;
    return half;
}

static mn_status make_lists(const mn_pattern *p, int64_t n_lists, int64_t first_query, int64_t n_queries,
                            int64_t n_keys, mn_arena *arena, mn_block_list *out, mn_error *err) {
    int64_t b = p->block_tokens, first = first_query / b, n_blocks = (n_keys + b - 1) / b;
    int64_t n_query_blocks = n_queries > 0 ? (first_query + n_queries - 1) / b - first + 1 : 0;
    int64_t n = n_lists * n_query_blocks, n_listed = 0,
            *offsets = mn_arena_zalloc(arena, (size_t)n + 1, sizeof *offsets);
    mn_block_runs runs;
    for (int64_t i = 0; offsets && i < n; i++) {
        mn_pattern half = of_list(p, i / n_query_blocks, n_lists);
        list_block(&half, first + i % n_query_blocks, n_blocks, &runs);
        offsets[i + 1] = offsets[i] + mn_block_runs_count(&runs);
    }
    int32_t *blocks = offsets ? mn_arena_alloc(arena, (size_t)offsets[n] + 1, sizeof *blocks) : NULL;
    if (!blocks)
        return mn_fail(err, MN_ERR_MEMORY, "the block lists of %lld query blocks do not fit into memory.",
                       (long long)n);
    for (int64_t i = 0; i < n; i++) {
        mn_pattern half = of_list(p, i / n_query_blocks, n_lists);
        list_block(&half, first + i % n_query_blocks, n_blocks, &runs);
        for (int r = 0; r < runs.n; r++)
            for (int64_t block = runs.runs[r].begin; block < runs.runs[r].end; block++)
                blocks[n_listed++] = (int32_t)block;
    }
    *out = (mn_block_list){.block_tokens = (int)b,
                           .first_query_block = first,
                           .n_query_blocks = n_query_blocks,
                           .n_lists = (int)n_lists,
                           .offsets = offsets,
                           .blocks = blocks};
    return MN_OK;
}

mn_status mn_pattern_blocks(const mn_pattern *p, int64_t first_query, int64_t n_queries, int64_t n_keys,
                            mn_arena *arena, mn_block_list *out, mn_error *err) {
    return make_lists(p, 1, first_query, n_queries, n_keys, arena, out, err);
}

/* One for all heads; a list each for KV heads or, where these do not fall into halves, query heads. */
static int64_t count_lists(const mn_pattern *p, const mn_attend *a) {
    if (!(p->kind->traits & MN_PATTERN_HALVES)) return 1;
    return a->kv.n_kv_heads % 2 ? a->n_heads : a->kv.n_kv_heads;
}

bool mn_pattern_is_dynamic(const mn_pattern *p) { return p->kind->choose || p->kind->traits & MN_PATTERN_EVICTS; }

bool mn_pattern_summarises(const mn_pattern *p, int layer, mn_summary_kind *kind) {
    *kind = p->kind->summary;
    return p->kind->has_summary && layer >= p->kind->summary_from;
}

static mn_status choose(const mn_pattern *p, const mn_compute *c, int layer, const mn_attend *a, mn_block_list *list,
                        mn_error *err) {
    if (a->kv.summary) return p->kind->choose(p, c, layer, a, a->kv.summary, list, err);
    mn_key_summary keys = {0};
    mn_status status = p->kind->choose(p, c, layer, a, &keys, list, err);
    mn_key_summary_release(&keys);
    return status;
}

mn_status mn_pattern_apply(const mn_pattern *p, const mn_compute *c, int layer, mn_attend *a, mn_error *err) {
    if (p->kind->mask) p->kind->mask(p, a);
    if (p->kind->traits & (MN_PATTERN_EXACT | MN_PATTERN_EVICTS) || a->n_rows == 0) return MN_OK;
    mn_block_list *list = mn_arena_zalloc(c->scratch, 1, sizeof *list);
    if (!list) return mn_fail(err, MN_ERR_MEMORY, "memory has ended before the block lists of %s.", p->kind->name);
    mn_op_kind before = mn_profile_enter(c->profile, MN_OP_CHOICE);
    mn_status status = p->kind->choose ? choose(p, c, layer, a, list, err)
                                       : make_lists(p, count_lists(p, a), a->first_token, a->n_rows, a->kv.n_tokens,
                                                    c->scratch, list, err);
    mn_profile_enter(c->profile, before);
    if (status == MN_OK && list->offsets) a->blocks = list;
    return status;
}
