/* Attention sinks (StreamingLLM), Xiao et al. 2023 (arXiv:2309.17453): models put spare attention on the first tokens,
 * whatever they say. A window that keeps the first S keys stays fluent at any length; one that drops them breaks.
 *
 * `sinks` counts positions within what is kept, as the paper does (position/streaming.c); `sinks-abs` keeps those of
 * the text. The keys are the same.
 */
#include "attention/patterns/kinds.h"

static const char *check(mn_pattern *p) {
    if (p->args[0] < 0) return "S counts tokens";
    return p->args[1] < 1 ? "the window W holds 1 token or more, the query's own" : NULL;
}

static void list(const mn_pattern *p, int64_t query_block, int64_t n_blocks, mn_block_runs *runs) {
    int64_t b = p->block_tokens, first = query_block * b, s = p->args[0], reach = p->args[1] - 1;
    mn_block_runs_add(runs, 0, (s + b - 1) / b);
    mn_block_runs_add(runs, (first - reach) / b, p->bidirectional ? n_blocks : query_block + 1);
}

static bool sees(const mn_pattern *p, int64_t i, int64_t j) { return j < p->args[0] || i - j < p->args[1]; }

static void mask(const mn_pattern *p, mn_attend *a) {
    a->n_sinks = p->args[0];
    a->window = p->args[1];
}

static mn_kept_keys keeps(const mn_pattern *p) { return (mn_kept_keys){p->args[0], p->args[1]}; }

const mn_pattern_kind mn_pattern_sinks = {
    .name = "sinks",
    .usage = "sinks:S,W",
    .meaning = "the first S keys and the last W, positions counted among these",
    .paper = "Xiao et al. 2023 (arXiv:2309.17453)",
    .file = "src/attention/patterns/sinks.c",
    .test = "tests/attention/patterns_test.c",
    .traits = MN_PATTERN_TRAINING_FREE | MN_PATTERN_REPOSITIONS,
    .min_args = 2,
    .max_args = 2,
    .check = check,
    .list = list,
    .sees = sees,
    .mask = mask,
    .keeps = keeps,
};

const mn_pattern_kind mn_pattern_sinks_abs = {
    .name = "sinks-abs",
    .usage = "sinks-abs:S,W",
    .meaning = "the first S keys and the last W, at their positions in the text",
    .paper = "Xiao et al. 2023 (arXiv:2309.17453)",
    .file = "src/attention/patterns/sinks.c",
    .test = "tests/attention/patterns_test.c",
    .traits = MN_PATTERN_TRAINING_FREE,
    .min_args = 2,
    .max_args = 2,
    .check = check,
    .list = list,
    .sees = sees,
    .mask = mask,
    .keeps = keeps,
};
