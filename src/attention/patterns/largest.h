/* The largest of many scores. */
#ifndef MN_ATTENTION_PATTERNS_LARGEST_H
#define MN_ATTENTION_PATTERNS_LARGEST_H

#include <stdint.h>

/* The k largest of n scores, n < 2^31, or all of them: their indices, ascending. Of equal scores the lowest index is
 * taken; what is no number is less than any. chosen: room for k. Returns how many. Cost: O(n), some 20 comparisons a
 * score, many at a time; about one where 32 k <= n. */
int64_t mn_choose_largest(const float *scores, int64_t n, int64_t k, int32_t *chosen);

#endif
