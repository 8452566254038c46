/* Longformer, Beltagy et al. 2020 (arXiv:2004.05150), sec. 3.1: w / 2 keys on each side of the query, d tokens apart
 * (dilation), and g global tokens at the start that see and are seen by all. The released code's attention_window is
 * one side, half of this w. A model trained for it has projections of their own for global tokens; here they share.
 */
#include "attention/patterns/kinds.h"

static int64_t reach(const mn_pattern *p) { return p->args[0] / 2 * p->args[2]; }

static const char *check(mn_pattern *p) {
    if (p->args[0] < 0 || p->args[0] % 2) return "the window w is an even number of keys, half of them on each side";
    if (p->args[1] < 0) return "g counts global tokens";
    return p->args[2] < 1 ? "the dilation is 1 (none) or more" : NULL;
}

static void list(const mn_pattern *p, int64_t query_block, int64_t n_blocks, mn_block_runs *runs) {
    int64_t b = p->block_tokens, first = query_block * b, last = first + b - 1, g = p->args[1];
    mn_block_runs_add(runs, 0, first < g ? n_blocks : (g + b - 1) / b);
    mn_block_runs_add(runs, (first - reach(p)) / b, (last + reach(p)) / b + 1);
}

static bool sees(const mn_pattern *p, int64_t i, int64_t j) {
    if (i < p->args[1] || j < p->args[1]) return true;
    int64_t distance = i < j ? j - i : i - j;
    return distance <= reach(p) && distance % p->args[2] == 0;
}

static void mask(const mn_pattern *p, mn_attend *a) {
    a->window = reach(p) + 1;
    a->n_sinks = p->args[1];
    a->dilation = p->args[2];
}

static mn_kept_keys keeps(const mn_pattern *p) { return (mn_kept_keys){p->args[1], reach(p) + 1}; }

const mn_pattern_kind mn_pattern_longformer = {
    .name = "longformer",
    .usage = "longformer:w,g,dilation",
    .meaning = "w / 2 keys to each side, dilation apart, and the first g tokens global",
    .paper = "Beltagy et al. 2020 (arXiv:2004.05150)",
    .file = "src/attention/patterns/longformer.c",
    .test = "tests/attention/patterns_test.c",
    .traits = MN_PATTERN_NEEDS_TRAINING,
    .min_args = 2,
    .max_args = 3,
    .defaults = {0, 0, 1},
    .check = check,
    .list = list,
    .sees = sees,
    .mask = mask,
    .keeps = keeps,
};
