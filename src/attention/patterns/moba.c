/* MoBA, mixture of block attention, Lu et al. 2025 (arXiv:2502.13189), sec. 2.2: every query of every head sees its own
 * block, up to itself, and of the earlier blocks those whose mean key is nearest to it, topk blocks in all.
 *   score of block i = <q, mean of its keys>, equal scores: the lowest block
 * Earlier blocks are complete, so that no mean holds a future key, and sums rank them as means do.
 */
#include "attention/patterns/kinds.h"

#include "attention/patterns/choice.h"
#include "attention/patterns/largest.h"
#include "base/checked.h"
#include "kernels/kernels.h"

static const char *check(mn_pattern *p) {
    int64_t block = p->args[0];
    if (block < 16 || block > 1 << 20 || (block & (block - 1)))
        return "a block is a power of two from 16 to 2^20 tokens";
    p->block_tokens = (int)block;
    return p->args[1] < 1 ? "topk is 1 block or more, the query's own" : NULL;
}

typedef struct moba {
    const mn_attend *a;
    const mn_compute *c;
    const mn_key_summary *blocks;
    mn_choice *choice;
    float *scores; /* [n_threads, n_blocks] */
    int64_t n_blocks;
} moba;

/* Items are rows; a row's lists of all heads are one thread's work. */
static void choose_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    const moba *job = arg;
    const mn_attend *a = job->a;
    float *scores = job->scores + thread_index * job->n_blocks;
    int group = a->n_heads / a->kv.n_kv_heads;
    for (int64_t r = begin; r < end; r++)
        for (int h = 0; h < a->n_heads; h++) {
            int64_t own = (a->first_token + r) / job->blocks->block_tokens, list = h * a->n_rows + r;
            const float *q = a->q + r * a->q_stride + (int64_t)h * a->kv.k_dim;
            int32_t *chosen = mn_choice_at(job->choice, list);
            for (int64_t block = 0; block < own; block++)
                scores[block] = job->c->kernels->vec.dot(
                    q, (const float *)mn_key_summary_at(job->blocks, block, h / group), a->kv.k_dim);
            int64_t k = mn_choose_largest(scores, own, job->choice->capacity - 1, chosen);
            chosen[k] = (int32_t)own;
            mn_choice_close(job->choice, list, k + 1);
        }
}

static mn_status choose(const mn_pattern *p, const mn_compute *c, int layer, const mn_attend *a, mn_key_summary *keys,
                        mn_block_list *out, mn_error *err) {
    (void)layer;
    int64_t n_blocks = (a->kv.n_tokens - 1) / p->block_tokens + 1, n_threads = mn_pool_threads(c->pool);
    if (n_blocks <= p->args[1]) return MN_OK;
    mn_choice choice;
    mn_block_list lists = {.block_tokens = p->block_tokens,
                           .query_tokens = 1,
                           .first_query_block = a->first_token,
                           .n_query_blocks = a->n_rows,
                           .n_lists = a->n_heads};
    MN_TRY(mn_key_summary_update(keys, MN_SUMMARY_SUM, p->block_tokens, c, &a->kv, err));
    MN_TRY(mn_choice_init(&choice, lists, p->args[1], c->scratch, err));
    float *scores = mn_arena_alloc(c->scratch, (size_t)(n_threads * n_blocks), sizeof *scores);
    if (!scores) return mn_fail(err, MN_ERR_MEMORY, "no memory for the scores of %lld blocks.", (long long)n_blocks);
    moba job = {a, c, keys, &choice, scores, n_blocks};
    mn_pool_run(c->pool, a->n_rows, 4, choose_rows, &job);
    *out = mn_choice_finish(&choice);
    return MN_OK;
}

const mn_pattern_kind mn_pattern_moba = {
    .name = "moba",
    .usage = "moba:block,topk",
    .meaning = "each query's own block and the earlier ones whose mean key is nearest, topk in all",
    .paper = "Lu et al. 2025 (arXiv:2502.13189)",
    .file = "src/attention/patterns/moba.c",
    .test = "tests/attention/dynamic_test.c",
    .traits = MN_PATTERN_NEEDS_TRAINING,
    .max_args = 2,
    .defaults = {512, 3},
    .check = check,
    .choose = choose,
    .summary = MN_SUMMARY_SUM,
    .has_summary = true,
};
