/* How long a window takes to read and to go on from, estimated from what the machine can do at most. */
#ifndef MN_BENCH_TIME_PLAN_H
#define MN_BENCH_TIME_PLAN_H

#include "bench/peak.h"
#include "session/memory_plan.h"

/* Reading n tokens: 2 N n operations of N weights used per token (the token table is looked up, not multiplied), and
 * per layer 2 (k_dim + v_dim) n_heads for each pair of a query and a key that it sees: n^2 / 2 of them, fewer under a
 * window, a pattern of blocks or in segments, and 4 k_dim v_dim n_heads per token for a memory of fixed size; by MLA as
 * mla.h counts them, in steps of n_batch. Divided by the shares of the peaks that docs/performance.md measured:
 * products 0.45 of int8 (quantised weights), 0.67 of bf16, 0.75 of f32; attention 0.64. One token after them: the bytes
 * of the weights it uses and of the KV entries it sees, by 0.7 of the read rate. */
typedef struct mn_time_plan {
    double prefill_flops, attention_flops; /* of the whole window */
    double read_bytes;                     /* of one token at its end */
    double prefill_s, per_token_s;
} mn_time_plan;

/* The window is one that mn_memory_plan_make accepts. Runs nothing; cost: the layers. */
mn_time_plan mn_time_plan_make(const mn_engine *engine, const mn_window *window, const mn_peaks *peaks);

#endif
