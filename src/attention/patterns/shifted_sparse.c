/* Shifted sparse attention, S2-Attn: Chen et al. 2023, LongLoRA (arXiv:2309.12307), sec. 3.2: tokens attend within
 * groups of G. In the upper half of the heads the groups begin G / 2 later, so that what one group knows reaches the
 * next.
 *
 * The paper's text rolls the tokens, which lets the first half group see the last one; its flash code keeps the first
 * half group by itself, and so does this. G is a quarter of the training window there. A model that was trained so runs
 * with full attention.
 */
#include "attention/patterns/kinds.h"

static const char *check(mn_pattern *p) {
    int64_t half = p->args[0] / 2;
    if (half < 16 || p->args[0] % 32) return "a group is a multiple of 32 tokens";
    while (half % p->block_tokens) p->block_tokens /= 2;
    return NULL;
}

static void list(const mn_pattern *p, int64_t query_block, int64_t n_blocks, mn_block_runs *runs) {
    (void)n_blocks;
    int64_t group = p->args[0] / p->block_tokens, offset = p->shifted ? group / 2 : 0;
    int64_t first = (query_block + offset) / group * group - offset;
    mn_block_runs_add(runs, first, first + group);
}

static mn_kept_keys keeps(const mn_pattern *p) { return (mn_kept_keys){0, p->args[0]}; }

const mn_pattern_kind mn_pattern_shifted_sparse = {
    .name = "shifted-sparse",
    .usage = "shifted-sparse:G",
    .meaning = "groups of G keys, G / 2 later in the upper half of the heads",
    .paper = "Chen et al. 2023 (arXiv:2309.12307)",
    .file = "src/attention/patterns/shifted_sparse.c",
    .test = "tests/attention/patterns_attend_test.c",
    .traits = MN_PATTERN_NEEDS_TRAINING | MN_PATTERN_HALVES,
    .min_args = 1,
    .max_args = 1,
    .check = check,
    .list = list,
    .keeps = keeps,
};
