/* Sliding window: query i sees keys j with 0 <= i - j < W; an encoder's W reach to both sides. */
#include "attention/patterns/kinds.h"

static const char *check(mn_pattern *p) { return p->args[0] < 1 ? "a window holds 1 token or more" : NULL; }

static void list(const mn_pattern *p, int64_t query_block, int64_t n_blocks, mn_block_runs *runs) {
    (void)n_blocks;
    int64_t first = query_block * p->block_tokens, last = first + p->block_tokens - 1, reach = p->args[0] - 1;
    mn_block_runs_add(runs, (first - reach) / p->block_tokens, (last + reach) / p->block_tokens + 1);
}

static bool sees(const mn_pattern *p, int64_t i, int64_t j) { return i - j < p->args[0] && j - i < p->args[0]; }

static void mask(const mn_pattern *p, mn_attend *a) { a->window = p->args[0]; }

static mn_kept_keys keeps(const mn_pattern *p) { return (mn_kept_keys){0, p->args[0]}; }

const mn_pattern_kind mn_pattern_window = {
    .name = "window",
    .usage = "window:W",
    .meaning = "the last W keys, the query's own included",
    .paper = "Beltagy et al. 2020 (arXiv:2004.05150); Jiang et al. 2023 (arXiv:2310.06825)",
    .file = "src/attention/patterns/window.c",
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
