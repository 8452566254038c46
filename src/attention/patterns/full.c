/* Every key, and every key up to the query: the two that all others are measured against. In a decoder they are one. */
#include "attention/patterns/kinds.h"

static bool sees_all(const mn_pattern *p, int64_t i, int64_t j) {
    (void)p, (void)i, (void)j;
    return true;
}

static bool sees_past(const mn_pattern *p, int64_t i, int64_t j) {
    (void)p;
    return j <= i;
}

static void list_past(const mn_pattern *p, int64_t query_block, int64_t n_blocks, mn_block_runs *runs) {
    (void)p, (void)n_blocks;
    mn_block_runs_add(runs, 0, query_block + 1);
}

const mn_pattern_kind mn_pattern_full = {
    .name = "full",
    .usage = "full",
    .meaning = "every key; in a decoder every key up to the query",
    .paper = "Vaswani et al. 2017 (arXiv:1706.03762)",
    .file = "src/attention/patterns/full.c",
    .test = "tests/attention/patterns_test.c",
    .traits = MN_PATTERN_EXACT | MN_PATTERN_TRAINING_FREE,
    .sees = sees_all,
};

const mn_pattern_kind mn_pattern_causal = {
    .name = "causal",
    .usage = "causal",
    .meaning = "every key up to the query",
    .paper = "Vaswani et al. 2017 (arXiv:1706.03762)",
    .file = "src/attention/patterns/full.c",
    .test = "tests/attention/patterns_test.c",
    .traits = MN_PATTERN_EXACT | MN_PATTERN_TRAINING_FREE,
    .list = list_past,
    .sees = sees_past,
};
