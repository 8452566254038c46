/* How fast this machine trains a model: whole steps, and what each kind of operation takes of them. What `mnemo bench
 * --train` shows and docs/training.md quotes.
 */
#ifndef MN_BENCH_TRAINING_STEP_H
#define MN_BENCH_TRAINING_STEP_H

#include "train/tape.h"

typedef struct mn_training_step {
    int64_t n_params, n_tokens;
    double flops;                                /* of a step: those of train/trainer.h's plan, for all its tokens */
    bool in_bf16;                                /* products: bf16, else f32 */
    double seconds, optimiser_seconds;           /* of the fastest step; of them the optimiser's */
    double forward_seconds[MN_TAPE_KIND_COUNT];  /* of the same step, by kind; what the step does besides (gradients */
    double backward_seconds[MN_TAPE_KIND_COUNT]; /* set to 0) is in none */
    size_t planned_bytes;
} mn_training_step;

/* Trains the model at `path` (any types: they become f32) by AdamW on one window of n_tokens random tokens, all weights
 * 1: one step to warm up, then n_steps. A file of the f32 weights stands in the folder for temporary files meanwhile.
 * n_threads 0: one for each core. Errors: what the model cannot be trained for, memory, the disk. */
mn_status mn_training_step_measure(const char *path, int64_t n_tokens, int n_threads, int64_t n_steps,
                                   mn_training_step *out, mn_error *err);

#endif
