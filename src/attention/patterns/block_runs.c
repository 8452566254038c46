#include "attention/patterns/block_runs.h"

#include "base/checked.h"

#include <string.h>

void mn_block_runs_add(mn_block_runs *set, int64_t begin, int64_t end) {
    begin = MN_MAX(0, begin), end = MN_MIN(end, set->limit);
    if (begin >= end) return;
    mn_block_run *runs = set->runs;
    int first = 0;
    while (first < set->n && runs[first].end < begin) first++;
    int last = first; /* runs [first, last) touch the new one and melt into it */
    for (; last < set->n && runs[last].begin <= end; last++)
        begin = MN_MIN(begin, runs[last].begin), end = MN_MAX(end, runs[last].end);
    memmove(runs + first + 1, runs + last, (size_t)(set->n - last) * sizeof *runs);
    runs[first] = (mn_block_run){begin, end};
    set->n += 1 - (last - first);
}

static int64_t count_within(const mn_block_runs *set, int64_t begin, int64_t end) {
    int64_t n = 0;
    for (int i = 0; i < set->n; i++) n += MN_MAX(0, MN_MIN(end, set->runs[i].end) - MN_MAX(begin, set->runs[i].begin));
    return n;
}

int64_t mn_block_runs_count(const mn_block_runs *set) { return count_within(set, 0, set->limit); }

/* The k-th block from begin on that is not in the set. */
static int64_t kth_free(const mn_block_runs *set, int64_t begin, int64_t k) {
    int64_t block = begin + k;
    for (int i = 0; i < set->n && set->runs[i].begin <= block; i++)
        block += MN_MAX(0, set->runs[i].end - MN_MAX(begin, set->runs[i].begin));
    return block;
}

void mn_block_runs_add_random(mn_block_runs *set, mn_random *rng, int64_t begin, int64_t end, int64_t n) {
    begin = MN_MAX(0, begin), end = MN_MIN(end, set->limit);
    int64_t n_free = end - begin - count_within(set, begin, end);
    if (n_free <= n) {
        mn_block_runs_add(set, begin, end);
        return;
    }
    for (; n > 0; n--, n_free--) {
        int64_t block = kth_free(set, begin, mn_random_below(rng, (uint32_t)n_free));
        mn_block_runs_add(set, block, block + 1);
    }
}
