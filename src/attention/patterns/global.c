/* Global tokens alone: the first G keys for all queries, and all keys for the first G queries. */
#include "attention/patterns/kinds.h"

#include "base/checked.h"

static const char *check(mn_pattern *p) { return p->args[0] < 1 ? "there must be 1 global token or more" : NULL; }

static void list(const mn_pattern *p, int64_t query_block, int64_t n_blocks, mn_block_runs *runs) {
    bool has_global_rows = query_block * p->block_tokens < p->args[0];
    mn_block_runs_add(runs, 0, has_global_rows ? n_blocks : (p->args[0] - 1) / p->block_tokens + 1);
}

static bool sees(const mn_pattern *p, int64_t i, int64_t j) { return j < p->args[0] || i < p->args[0]; }

/* Causal rows among the first G see only keys among the first G: for all rows alike, the keys end at G. */
static void mask(const mn_pattern *p, mn_attend *a) { a->kv.n_tokens = MN_MIN(a->kv.n_tokens, p->args[0]); }

static mn_kept_keys keeps(const mn_pattern *p) { return (mn_kept_keys){p->args[0], 1}; }

const mn_pattern_kind mn_pattern_global = {
    .name = "global",
    .usage = "global:G",
    .meaning = "the first G keys, which see everything themselves",
    .paper = "Zaheer et al. 2020 (arXiv:2007.14062), fig. 1c",
    .file = "src/attention/patterns/global.c",
    .test = "tests/attention/patterns_test.c",
    .traits = MN_PATTERN_NEEDS_TRAINING,
    .min_args = 1,
    .max_args = 1,
    .check = check,
    .list = list,
    .sees = sees,
    .mask = mask,
    .keeps = keeps,
};
