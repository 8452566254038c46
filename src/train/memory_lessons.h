/* What a compressive memory of the exact delta rule is taught beside the loss of the text (docs/training.md). Nothing
 * in a text of some hundred tokens says which of them a million tokens later will be asked for, so
 *
 * - labels say what is to be written, the values of needles, and what is not: other tokens of their documents, and the
 *   tokens of prose that the gates like best ("mined");
 * - a document's memory meets a long text before it is asked: mined tokens, written between needle and question. They
 *   are small documents of the same batch, so that their keys and values are those of the weights of now.
 */
#ifndef MN_TRAIN_MEMORY_LESSONS_H
#define MN_TRAIN_MEMORY_LESSONS_H

#include "train/batch.h"

/* Mined tokens, each with those before it that its key depends on. */
typedef struct mn_memory_pool {
    int32_t *tokens; /* [size, context], the mined one last */
    int64_t n, size, context;
} mn_memory_pool;

typedef struct mn_memory_lessons {
    const mn_memory_config *config; /* borrowed */
    uint64_t seed;
    int64_t step; /* the caller counts it */
    mn_memory_pool pool;
    /* Of the pass under way. */
    float *labels, *weights;
    int64_t *pool_rows, *prefix_rows;
    mn_memory_prefix *prefixes;
    int64_t n_rows, n_slices, n_prefix_rows; /* room */
} mn_memory_lessons;

/* Whether this training teaches a memory: the model has one of the exact delta rule that can be trained. */
bool mn_memory_takes_lessons(const mn_train_config *config, const mn_model *model);
/* Rows that lessons add to a pass. */
int64_t mn_memory_lesson_rows(const mn_train_config *config, const mn_model *model);
/* Tokens that a mined one is kept with, itself included: in layer 0 all that its key depends on. */
int64_t mn_memory_context(const mn_model *model);

/* Borrows the configuration. The caller closes it. */
mn_status mn_memory_lessons_open(const mn_train_config *config, const mn_model *model, mn_memory_lessons *out,
                                 mn_error *err);
void mn_memory_lessons_close(mn_memory_lessons *l);

/* Sets up tape->memory for the windows [first, first + n) whose rows stand in the batch, and appends the pool's rows.
 * The same step, windows and pool give the same. */
mn_status mn_memory_lessons_give(mn_memory_lessons *l, mn_train_batch *b, int first, int n, mn_tape *tape,
                                 mn_error *err);
/* Nothing is taught: for a validation. */
void mn_memory_lessons_rest(mn_tape *tape);

/* Fills the pool with the tokens that the model's gates like best among config->mine_tokens of prose. The data set is
 * drawn from by a seed of its own for each step. Uses the batch's windows. */
mn_status mn_memory_mine(mn_memory_lessons *l, const mn_dataset *prose, mn_train_batch *b, int n_windows, mn_tape *tape,
                         mn_error *err);

#endif
