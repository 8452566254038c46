/* Random blocks: each block of queries sees its own block and R others, drawn evenly from all (in a decoder: from the
 * earlier ones). The draw depends on the seed and the query block alone, so a text that grows keeps its blocks.
 */
#include "attention/patterns/kinds.h"

static const char *check(mn_pattern *p) {
    p->seed = p->args[1];
    return p->args[0] < 1 || p->args[0] > MN_PATTERN_MAX_RANDOM ? "R is from 1 to 64" : NULL;
}

static void list(const mn_pattern *p, int64_t query_block, int64_t n_blocks, mn_block_runs *runs) {
    mn_random rng;
    mn_random_seed(&rng, (uint64_t)p->seed, (uint64_t)query_block);
    mn_block_runs_add(runs, query_block, query_block + 1);
    mn_block_runs_add_random(runs, &rng, 0, n_blocks, p->args[0]);
}

const mn_pattern_kind mn_pattern_random = {
    .name = "random",
    .usage = "random:R,seed",
    .meaning = "R random blocks of 64 keys for each block of queries, and its own",
    .paper = "Zaheer et al. 2020 (arXiv:2007.14062), fig. 1a",
    .file = "src/attention/patterns/random.c",
    .test = "tests/attention/patterns_test.c",
    .traits = MN_PATTERN_NEEDS_TRAINING,
    .min_args = 1,
    .max_args = 2,
    .check = check,
    .list = list,
};
