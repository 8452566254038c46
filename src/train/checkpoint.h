/* A training in a file, from which it goes on as if it had never stopped, bit for bit.
 *
 * The file is a GGUF: keys "checkpoint.*" with the step, the place in the data and the configuration, and for each
 * tensor that is trained its weights, first and second moments ("NAME", "NAME.m0", "NAME.m1", f32). It is written
 * beside the last one, synced, and renamed: whatever happens, the last whole checkpoint stays.
 */
#ifndef MN_TRAIN_CHECKPOINT_H
#define MN_TRAIN_CHECKPOINT_H

#include "train/parameters.h"

/* All that a training is beside its parameters. */
typedef struct mn_train_state {
    int64_t step;             /* steps done */
    int64_t n_tokens;         /* learnt from so far */
    double seconds;           /* spent so far, over all runs */
    mn_dataset_cursor cursor; /* in the data */
    double best_validation;   /* loss; 0 before the first */
    int32_t *pool;            /* tokens mined for a memory (memory_lessons.h); borrowed, NULL: none are kept */
    int64_t n_pool, pool_capacity;
} mn_train_state;

/* Writes `path`: what is trained in each of the sets (a model, adapters). config_text is what mn_train_config_write
 * gives. Errors: the disk; the last checkpoint stays. */
mn_status mn_checkpoint_save(const char *path, mn_parameters *const *sets, int n_sets, const mn_train_state *state,
                             const char *config_text, mn_error *err);

/* Fills parameters and state from `path`; the first set is of the model. Errors: no checkpoint, one of a model with
 * other tensors or shapes, or one that is damaged; parameters may then be half filled and are not to be used. */
mn_status mn_checkpoint_load(const char *path, mn_parameters *const *sets, int n_sets, mn_train_state *state,
                             mn_error *err);

/* The configuration kept in it (the caller frees *out), to say what differs from the one of now. */
mn_status mn_checkpoint_config(const char *path, char **out, mn_error *err);

#endif
