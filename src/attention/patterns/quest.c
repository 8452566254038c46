/* Quest, Tang et al. 2024 (arXiv:2406.10774), algorithm 1: while decoding, each head reads only the pages whose keys
 * could score highest. Of every page the smallest and the largest value m_d, M_d of each element are known, so that
 *   sum_d max(q_d m_d, q_d M_d) >= q.k for every key k of the page,
 * and the max(3, budget / page) pages with the largest such bounds are kept (rounded up, so that a budget of the whole
 * text keeps it). The page being written is one of them, as in the released kernels; prompts, and the first two layers,
 * see everything.
 */
#include "attention/patterns/kinds.h"

#include "attention/patterns/choice.h"
#include "base/checked.h"
#include "kernels/kernels.h"

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

void mn_quest_bounds(const mn_compute *c, const mn_key_summary *pages, int kv_head, const float *q, int64_t n_pages,
                     float *bounds) {
    float by_sign[2 * MN_ATTEND_MAX_DIM]; /* what meets the minima, and what meets the maxima */
    for (int d = 0; d < pages->k_dim; d++) {
        by_sign[d] = MN_MIN(q[d], 0);
        by_sign[pages->k_dim + d] = MN_MAX(q[d], 0);
    }
    for (int64_t page = 0; page < n_pages; page++)
        bounds[page] = c->kernels->vec.dot(by_sign, mn_key_summary_at(pages, page, kv_head), 2 * pages->k_dim);
}

static void choose_heads(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const quest *job = arg;
    int64_t n = job->n_pages - 1;
    for (int64_t h = begin; h < end; h++) {
        float *bounds = job->scores + h * n;
        int32_t *chosen = mn_choice_at(job->choice, h);
        mn_quest_bounds(job->c, job->pages, (int)h / (job->a->n_heads / job->a->kv.n_kv_heads),
                        job->a->q + h * job->a->kv.k_dim, n, bounds);
        int64_t k = mn_choose_largest(bounds, n, job->choice->capacity - 1, chosen);
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
    mn_pool_run(c->pool, a->n_heads, 1, choose_heads, &job);
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
