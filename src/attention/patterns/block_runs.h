/* A set of blocks as sorted, disjoint runs: what patterns add to, and what becomes a list. */
#ifndef MN_ATTENTION_PATTERNS_BLOCK_RUNS_H
#define MN_ATTENTION_PATTERNS_BLOCK_RUNS_H

#include "base/random.h"

#include <stdint.h>

enum { MN_MAX_BLOCK_RUNS = 72 };

typedef struct mn_block_run {
    int64_t begin, end;
} mn_block_run;

typedef struct mn_block_runs {
    mn_block_run runs[MN_MAX_BLOCK_RUNS];
    int n;
    int64_t limit; /* blocks from here on are never taken in */
} mn_block_runs;

/* Adds blocks [begin, end), clipped to [0, limit). At most MN_MAX_BLOCK_RUNS separate runs. */
void mn_block_runs_add(mn_block_runs *set, int64_t begin, int64_t end);
/* Adds n blocks drawn evenly from those of [begin, end) that are not in the set; all of them when there are n or less.
 */
void mn_block_runs_add_random(mn_block_runs *set, mn_random *rng, int64_t begin, int64_t end, int64_t n);
int64_t mn_block_runs_count(const mn_block_runs *set);

#endif
