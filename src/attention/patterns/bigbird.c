/* BigBird, Zaheer et al. 2020 (arXiv:2007.14062), sec. 2 and appendix D, internal (ITC) form: blocks of queries see a
 * window of w blocks around their own, g global blocks, and r random ones that are neither.
 *
 * For g = 2 the paper's encoder makes the first and the last block global, in rows and in columns; other counts are
 * split the same way, the odd one in front. A decoder cannot look at the last block, and a text that grows has none:
 * there the first g blocks are global, the window ends with the query's own block, and random blocks are earlier ones.
 * Random blocks are drawn evenly, as in the paper; its code draws them from the first 2r + 5 blocks only.
 */
#include "attention/patterns/kinds.h"

static const char *check(mn_pattern *p) {
    int64_t block = p->args[0], w = p->args[1], g = p->args[2], r = p->args[3];
    if (block < 16 || block > 4096 || (block & (block - 1))) return "a block is a power of two from 16 to 4096 tokens";
    if (w < 1 || w % 2 == 0) return "the window w is an odd number of blocks, the query's own in the middle";
    if (g < 0 || r < 0 || r > MN_PATTERN_MAX_RANDOM) return "g and r count blocks, and r is at most 64";
    p->block_tokens = (int)block;
    return NULL;
}

static void list(const mn_pattern *p, int64_t query_block, int64_t n_blocks, mn_block_runs *runs) {
    int64_t w = p->args[1], g = p->args[2], n_last = p->bidirectional ? g / 2 : 0, n_first = g - n_last;
    bool is_global = query_block < n_first || query_block >= n_blocks - n_last;
    if (is_global) {
        mn_block_runs_add(runs, 0, n_blocks);
        return;
    }
    mn_random rng;
    mn_random_seed(&rng, (uint64_t)p->seed, (uint64_t)query_block);
    mn_block_runs_add(runs, 0, n_first);
    mn_block_runs_add(runs, n_blocks - n_last, n_blocks);
    mn_block_runs_add(runs, query_block - w / 2, query_block + w / 2 + 1);
    mn_block_runs_add_random(runs, &rng, 0, n_blocks, p->args[3]);
}

const mn_pattern_kind mn_pattern_bigbird = {
    .name = "bigbird",
    .usage = "bigbird:block,w,g,r",
    .meaning = "blocks of tokens: w around the query's own, g global ones, r random ones",
    .paper = "Zaheer et al. 2020 (arXiv:2007.14062)",
    .file = "src/attention/patterns/bigbird.c",
    .test = "tests/attention/patterns_test.c",
    .traits = MN_PATTERN_NEEDS_TRAINING,
    .max_args = 4,
    .defaults = {64, 3, 2, 3},
    .check = check,
    .list = list,
};
