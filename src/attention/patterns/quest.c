/* Quest, Tang et al. 2024 (arXiv:2406.10774), algorithm 1: while decoding, each head reads only the pages whose keys
 * could score highest. Of every page the smallest and the largest value m_d, M_d of each element are known, so that
 *   sum_d max(q_d m_d, q_d M_d) >= q.k for every key k of the page,
 * and the max(3, budget / page) pages with the largest such bounds are kept (rounded up, so that a budget of the whole
 * text keeps it). The page being written is one of them, as in the released kernels; prompts, and the first two layers,
 * see everything.
 */
#include "attention/patterns/kinds.h"

#include "attention/patterns/choice.h"
#include "attention/patterns/largest.h"
#include "base/checked.h"
#include "kernels/kernels.h"
#include "kernels/profile.h"

#include <string.h>

enum { DENSE_LAYERS = 2, MIN_PAGES = 3 };

static const char *check(mn_pattern *p) {
    int64_t page = p->args[0];
    if (page < 16 || page > 4096 || (page & (page - 1))) return "a page is a power of two from 16 to 4096 tokens";
    p->block_tokens = (int)page;
    return p->args[1] < 1 ? "the budget is 1 token or more" : NULL;
}

typedef struct quest {
    const mn_attend *a;
    const mn_compute *c;
    const mn_key_summary *pages;
    mn_choice *choice;
    float *scores; /* [n_heads, n_pages - 1] */
    int64_t n_pages;
} quest;

enum { HEADS_AT_ONCE = 4, AHEAD_TILES = 2 };

/* What meets the minima, and what meets the maxima. */
static void split_by_sign(float *restrict out, const float *restrict q, int k_dim) {
    for (int d = 0; d < k_dim; d++) {
        out[d] = MN_MIN(q[d], 0);
        out[k_dim + d] = MN_MAX(q[d], 0);
    }
}

/* Pages of a tile are to split queries what cached keys are to queries. */
static void bound_tile(const mn_direct_ops *ops, const mn_cached_rows *pages, const float *q, int n_heads, int k_dim,
                       float *bounds, int64_t stride) {
    _Alignas(64) char packed[HEADS_AT_ONCE * MN_ATTEND_MAX_DIM * sizeof(float)];
    _Alignas(64) float s[HEADS_AT_ONCE * MN_TILE_KEYS], by_sign[MN_ATTEND_MAX_DIM];
    for (int h = 0; h < n_heads; h += HEADS_AT_ONCE) {
        int n = MN_MIN(HEADS_AT_ONCE, n_heads - h);
        for (int i = 0; i < n; i++) {
            split_by_sign(by_sign, q + (h + i) * k_dim, k_dim);
            ops->pack_q(packed + (size_t)i * mn_direct_q_bytes(2 * k_dim), by_sign, 2 * k_dim);
        }
        ops->scores(s, packed, pages, 1, n, 2 * k_dim);
        for (int i = 0; i < n; i++)
            memcpy(bounds + (h + i) * stride, s + i * MN_TILE_KEYS, (size_t)pages->n_keys * sizeof *s);
    }
}

/* The same one by one: on levels and for widths that have no such kernels. */
static void bound_page(const mn_compute *c, const mn_key_summary *pages, const void *page, const float *q, int n_heads,
                       float *bounds, int64_t stride) {
    float row[2 * MN_ATTEND_MAX_DIM], by_sign[2 * MN_ATTEND_MAX_DIM];
    c->kernels->vec.to_f32(pages->type, page, row, 2 * pages->k_dim);
    for (int h = 0; h < n_heads; h++) {
        split_by_sign(by_sign, q + h * pages->k_dim, pages->k_dim);
        bounds[h * stride] = c->kernels->vec.dot(by_sign, row, 2 * pages->k_dim);
    }
}

void mn_quest_bounds(const mn_compute *c, const mn_key_summary *pages, int kv_head, const float *q, int n_heads,
                     int64_t first, int64_t n, float *bounds, int64_t stride) {
    const mn_direct_ops *ops = &c->kernels->attend.direct[pages->type];
    int width = 2 * pages->k_dim;
    mn_cached_rows tile = {pages->type, mn_key_summary_at(pages, first, kv_head), mn_key_summary_row_bytes(pages),
                           (int)n, NULL};
    int64_t last = (pages->n_tokens - 1) / pages->block_tokens / MN_SUMMARY_TILE * MN_SUMMARY_TILE;
    const char *last_tile = mn_key_summary_at(pages, last, pages->n_kv_heads - 1);
    tile.ahead = MN_MIN(tile.rows + AHEAD_TILES * MN_SUMMARY_TILE * tile.row_bytes, last_tile);
    if (ops->max_rows > 0 && width % 16 == 0 && width <= MN_ATTEND_MAX_DIM) {
        bound_tile(ops, &tile, q, n_heads, pages->k_dim, bounds, stride);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        bound_page(c, pages, tile.rows + (size_t)i * tile.row_bytes, q, n_heads, bounds + i, stride);
}

static int64_t n_tiles(const quest *job) { return (job->n_pages - 1 + MN_SUMMARY_TILE - 1) / MN_SUMMARY_TILE; }

/* Items are tiles of pages of KV heads, as they follow each other in memory; a tile is read once for the query heads
 * that share it. */
static void bound_tiles(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const quest *job = arg;
    int group = job->a->n_heads / job->a->kv.n_kv_heads;
    int64_t n = job->n_pages - 1;
    for (int64_t item = begin; item < end; item++) {
        int64_t kv_head = item % job->a->kv.n_kv_heads, first = item / job->a->kv.n_kv_heads * MN_SUMMARY_TILE;
        mn_quest_bounds(job->c, job->pages, (int)kv_head, job->a->q + kv_head * group * job->a->kv.k_dim, group, first,
                        MN_MIN((int64_t)MN_SUMMARY_TILE, n - first), job->scores + kv_head * group * n + first, n);
    }
}

static void choose_heads(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const quest *job = arg;
    int64_t n = job->n_pages - 1;
    for (int64_t h = begin; h < end; h++) {
        int32_t *chosen = mn_choice_at(job->choice, h);
        int64_t k = mn_choose_largest(job->scores + h * n, n, job->choice->capacity - 1, chosen);
        chosen[k] = (int32_t)n;
        mn_choice_close(job->choice, h, k + 1);
    }
}

static mn_status choose(const mn_pattern *p, const mn_compute *c, int layer, const mn_attend *a, mn_key_summary *keys,
                        mn_block_list *out, mn_error *err) {
    int64_t n_pages = (a->kv.n_tokens - 1) / p->block_tokens + 1;
    int64_t n_kept = MN_MAX(MIN_PAGES, (p->args[1] + p->block_tokens - 1) / p->block_tokens);
    if (a->n_rows != 1 || layer < DENSE_LAYERS || n_pages <= n_kept) return MN_OK;
    mn_choice choice;
    mn_block_list lists = {.block_tokens = p->block_tokens,
                           .first_query_block = a->first_token / p->block_tokens,
                           .n_query_blocks = 1,
                           .n_lists = a->n_heads};
    MN_TRY(mn_key_summary_update(keys, MN_SUMMARY_BOUNDS, p->block_tokens, c, &a->kv, err));
    MN_TRY(mn_choice_init(&choice, lists, n_kept, c->scratch, err));
    float *scores = mn_arena_alloc(c->scratch, (size_t)a->n_heads * (size_t)n_pages, sizeof *scores);
    if (!scores) return mn_fail(err, MN_ERR_MEMORY, "no memory for the scores of %lld pages.", (long long)n_pages);
    quest job = {a, c, keys, &choice, scores, n_pages};
    int64_t n_items = a->kv.n_kv_heads * n_tiles(&job);
    mn_pool_run(c->pool, n_items, MN_MAX(1, n_items / (8 * mn_pool_threads(c->pool))), bound_tiles, &job);
    mn_pool_run(c->pool, a->n_heads, 1, choose_heads, &job);
    mn_profile_count(c->profile, MN_OP_CHOICE, 4.0 * a->kv.k_dim * a->n_heads * (double)n_pages,
                     (double)n_pages * a->kv.n_kv_heads * (double)mn_key_summary_row_bytes(keys),
                     c->profile ? c->profile->peaks.f32_flops_per_s : 0);
    *out = mn_choice_finish(&choice);
    return MN_OK;
}

const mn_pattern_kind mn_pattern_quest = {
    .name = "quest",
    .usage = "quest:page,budget",
    .meaning = "while decoding, the pages whose bounds promise each head the highest scores",
    .paper = "Tang et al. 2024 (arXiv:2406.10774)",
    .file = "src/attention/patterns/quest.c",
    .test = "tests/attention/dynamic_test.c",
    .traits = MN_PATTERN_TRAINING_FREE | MN_PATTERN_DECODE_ONLY,
    .max_args = 2,
    .defaults = {16, 2048},
    .check = check,
    .choose = choose,
    .summary = MN_SUMMARY_BOUNDS,
    .has_summary = true,
    .summary_from = DENSE_LAYERS,
};
