/* How fast attention runs here at a depth: what `mnemo bench` and docs/performance.md quote. */
#ifndef MN_BENCH_ATTENTION_CASE_H
#define MN_BENCH_ATTENTION_CASE_H

#include "attention/patterns/pattern.h"

/* One layer: n_rows queries after depth cached tokens (n_rows 1: decode). */
typedef struct mn_attend_shape {
    mn_dtype k_type, v_type;
    int n_heads, n_kv_heads, k_dim, v_dim;
    int64_t depth, n_rows;
    const mn_pattern *pattern; /* causal; NULL = full attention */
    int layer;                 /* that the pattern is told */
} mn_attend_shape;

typedef struct mn_attend_speed {
    double seconds; /* median of the calls */
    double flops;   /* 2 (k_dim + v_dim) per head and (query, key) pair up to the query in the blocks listed */
    double bytes;   /* KV entries in the blocks that the last query lists */
} mn_attend_speed;

/* Fills pages with random rows (memory for all of them: the cache's own size) and times n_calls calls of mn_attention
 * after one that warms up. */
mn_status mn_attend_measure(const mn_compute *c, const mn_attend_shape *shape, int n_calls, mn_attend_speed *out,
                            mn_error *err);

#endif
