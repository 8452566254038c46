/* The kinds, for registry.c: one per file of this folder, two where one is a turn of the other. */
#ifndef MN_ATTENTION_PATTERNS_KINDS_H
#define MN_ATTENTION_PATTERNS_KINDS_H

#include "attention/patterns/pattern.h"

extern const mn_pattern_kind mn_pattern_full, mn_pattern_causal, mn_pattern_window, mn_pattern_global,
    mn_pattern_random, mn_pattern_bigbird, mn_pattern_longformer, mn_pattern_sinks, mn_pattern_sinks_abs,
    mn_pattern_shifted_sparse, mn_pattern_quest, mn_pattern_xattention, mn_pattern_moba, mn_pattern_snapkv,
    mn_pattern_linear, mn_pattern_infini;

/* Quest's scores of pages [first, first + n), a tile of them at most (first a multiple of MN_SUMMARY_TILE), for n_heads
 * queries q [n_heads, k_dim]: no key of page first + i has a larger product with query h than bounds[h * stride + i].
 */
void mn_quest_bounds(const mn_compute *c, const mn_key_summary *pages, int kv_head, const float *q, int n_heads,
                     int64_t first, int64_t n, float *bounds, int64_t stride);

#endif
