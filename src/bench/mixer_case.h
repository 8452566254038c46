/* How fast recurrent states run here, without the products before and behind them: what `mnemo bench --kernels` shows.
 */
#ifndef MN_BENCH_MIXER_CASE_H
#define MN_BENCH_MIXER_CASE_H

#include "kernels/compute.h"

#include <stdint.h>

typedef enum mn_mixer_rule { MN_RULE_GATED_DELTA, MN_RULE_KDA, MN_RULE_MAMBA2, MN_RULE_RWKV7 } mn_mixer_rule;

typedef struct mn_mixer_speed {
    double seconds; /* of the fastest call */
    double flops;   /* of the recurrence: 6 for each number of the states and token (gated delta, KDA), 4 (mamba2), 8
                     * (rwkv7); the chunked form takes about as many */
    double bytes;   /* of the states, read and written once */
} mn_mixer_speed;

/* One layer's states [n_heads, k_dim, v_dim] (rwkv7: k_dim = v_dim) take n_rows random tokens, n_calls times after once
 * to warm up. Each call has states of its own, so that for one row they come from memory. MN_ERR_MEMORY when scratch
 * ends. */
mn_status mn_mixer_measure(const mn_compute *c, mn_mixer_rule rule, int n_heads, int k_dim, int v_dim, int64_t n_rows,
                           int n_calls, mn_mixer_speed *out, mn_error *err);

#endif
