/* How fast a model runs at a depth of context: what `mnemo bench` prints. */
#ifndef MN_BENCH_DEPTH_H
#define MN_BENCH_DEPTH_H

#include "kernels/profile.h"

#include <mnemo/session.h>

/* Tokens per second. */
typedef struct mn_rate {
    double median, min, max;
} mn_rate;

typedef struct mn_speed_shape {
    int64_t depth;   /* tokens in the cache before */
    int n_prompt;    /* tokens read together; 0 = not measured */
    int n_generated; /* tokens fed one by one; 0 = not measured */
    int n_repeats;
    const int32_t *text; /* [depth + the larger of n_prompt and n_generated] tokens that are prefilled to the depth and
                          * go on from there; NULL: the rows of a short text, repeated */
    mn_profile *prefill_profile, *decode_profile; /* filled by all repeats, or NULL */
    bool cold; /* before each step, outside the time, the weights of experts are dropped from memory */
} mn_speed_shape;

typedef struct mn_speed {
    mn_rate prefill, decode;
    double prefill_keys, decode_keys; /* (query, key) pairs computed, of those that full attention would compute */
    /* Without a text, one layer's attention alone at this depth, under the pattern of the last layer: seconds of a
     * call, and what it achieves of its floor's operations and bytes. */
    double attention_prefill_s, attention_flops_per_s; /* n_prompt rows */
    double attention_decode_s, attention_bytes_per_s;  /* one row */
    size_t kv_bytes;
    mn_disk_figures disk; /* held at the end, read and written during the measurement at this depth */
} mn_speed;

/* Sets the session to `depth` tokens by repeating the real rows of a short text, so that no quadratic prefill is paid.
 * What it would answer is meaningless; how fast it is, is not. */
mn_status mn_session_tile(mn_session *session, int64_t depth, mn_error *err);

/* How fast sessions of one engine decode together, one token of each in a step: for each counts[i] (of the first so
 * many sessions, at shape->depth) tokens per second of all of them, to rates[i]. The counts take turns, repeat by
 * repeat, so that a machine that grows slower or faster treats them alike. shape->n_prompt is not looked at. */
mn_status mn_speed_together(mn_session *const *sessions, const int *counts, int n_counts, const mn_speed_shape *shape,
                            mn_rate *rates, mn_error *err);

/* Measures at one depth; the session's window must hold depth + max(n_prompt, n_generated). cold: a model without
 * experts, and weights that the system keeps in memory all the same, are MN_ERR_UNSUPPORTED. */
mn_status mn_speed_measure(mn_session *session, const mn_speed_shape *shape, mn_speed *out, mn_error *err);

#endif
