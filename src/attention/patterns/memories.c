/* Recurrent states in the place of old keys, by the names that choose them. src/recurrent computes them; here is how
 * their numbers are read, and which keys their softmax part sees: none, and those of the query's own segment.
 */
#include "attention/patterns/kinds.h"

static bool sees_past(const mn_pattern *p, int64_t i, int64_t j) {
    (void)p;
    return j <= i;
}

const mn_pattern_kind mn_pattern_linear = {
    .name = "linear",
    .usage = "linear",
    .meaning = "no cached keys: a state of fixed size that every key went into",
    .paper = "Katharopoulos et al. 2020 (arXiv:2006.16236)",
    .file = "src/recurrent/linear.c",
    .test = "tests/recurrent/linear_test.c",
    .traits = MN_PATTERN_NEEDS_TRAINING | MN_PATTERN_RECURRENT,
    .sees = sees_past,
};

static const char *check(mn_pattern *p) { return p->args[0] < 1 ? "a segment holds 1 token or more" : NULL; }

static void list(const mn_pattern *p, int64_t query_block, int64_t n_blocks, mn_block_runs *runs) {
    (void)n_blocks;
    int64_t b = p->block_tokens, s = p->args[0], first = query_block * b, last = first + b - 1;
    mn_block_runs_add(runs, first / s * s / b, (last / s * s + s - 1) / b + 1);
}

static bool sees(const mn_pattern *p, int64_t i, int64_t j) { return i / p->args[0] == j / p->args[0]; }

static void mask(const mn_pattern *p, mn_attend *a) { a->segment = p->args[0]; }

const mn_pattern_kind mn_pattern_infini = {
    .name = "infini",
    .usage = "infini:S,update,gate",
    .takes = "a whole number of tokens, one of linear delta delta-exact, and a share from 0 to 1",
    .meaning = "the query's segment of S keys, and a compressive memory of those before",
    .paper = "Munkhdalai et al. 2024 (arXiv:2404.07143)",
    .file = "src/recurrent/infini.c",
    .test = "tests/recurrent/infini_test.c",
    .traits = MN_PATTERN_NEEDS_TRAINING | MN_PATTERN_COMPRESSIVE,
    .min_args = 1,
    .max_args = 3,
    .defaults = {0, MN_PATTERN_UNSAID, MN_PATTERN_UNSAID},
    .is_share = {false, false, true},
    .words = {NULL, "linear delta delta-exact", NULL}, /* as mn_infini_rule counts them */
    .check = check,
    .list = list,
    .sees = sees,
    .mask = mask,
};
