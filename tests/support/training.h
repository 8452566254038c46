/* Small trainings for tests, and small models to train. */
#ifndef MN_TESTS_TRAINING_H
#define MN_TESTS_TRAINING_H

#include "train/config.h"

/* Defaults, train.out, then the settings "section.key=value" of both lists, which end with NULL (more may be NULL).
 * What an earlier run left at `out` and beside it is removed. The caller releases the config. */
void training_configure(mn_train_config *c, const char *out, const char *const *settings, const char *const *more);
void training_remove(const char *out);
/* Trains to the end and writes the model; stop > 0: leaves without a word after so many steps and opens it again, as a
 * killed process would. Returns the last step's loss. */
double training_run(const mn_train_config *c, int64_t stop);
/* Both, of a temporary file `name`, whose path goes to `out`. */
double training_train(const char *name, const char *const *settings, const char *const *more, int64_t stop,
                      char out[600]);
/* The tensors of two files, names and bits. */
void assert_same_tensors(const char *a, const char *b);

/* Writes a random model of the architecture mnemo in f32: 2 layers, 2 heads of 16, a vocabulary of 2048, window 64.
 * Returns `path`. */
const char *small_mnemo_write(const char *path, int n_kv_heads);
const char *small_mnemo_write_heads(const char *path, int n_heads, int n_kv_heads);
/* With attention sinks, which start at 0; 4 query heads, 2 of keys. */
const char *small_mnemo_write_sinks(const char *path);

#endif
