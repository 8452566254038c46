/* What a training does for the compressive memory of its model, beside the steps: lessons, searches through prose, fits
 * of the write gates. Nothing where the model has no memory.
 */
#ifndef MN_TRAIN_MEMORY_TRAINING_H
#define MN_TRAIN_MEMORY_TRAINING_H

#include "train/gate_fit.h"
#include "train/memory_lessons.h"

typedef struct mn_memory_training {
    const mn_train_config *config; /* borrowed, as the following */
    const mn_dataset *data;
    mn_train_batch *batch;
    mn_tape *tape;
    bool teaches, fits; /* lessons; gate fits */
    mn_dataset prose;
    mn_memory_lessons lessons;
    mn_gate_fit_report *reports; /* of the fits so far */
    int n_reports;
} mn_memory_training;

/* Opens the prose where it is needed, and sets how the tape runs memories. MN_ERR_ARGUMENT: a gate fit is asked for,
 * and the model has no memory of the exact delta rule. The caller closes it. */
mn_status mn_memory_training_open(const mn_train_config *config, const mn_dataset *data, const mn_tokenizer *tokenizer,
                                  const mn_chat_template *chat_template, mn_train_batch *batch, mn_tape *tape,
                                  mn_memory_training *out, mn_error *err);
void mn_memory_training_close(mn_memory_training *m);

/* Before a step: the fit of the start, and the search where one is due. */
mn_status mn_memory_training_before(mn_memory_training *m, int64_t step, mn_error *err);
/* Behind the last step: the fit of the end. */
mn_status mn_memory_training_finish(mn_memory_training *m, mn_error *err);

/* Segments that gradients pass: config->memory.detach, or as many as let the backward's matrices fit limit_bytes; 0:
 * all of them. */
int64_t mn_memory_detach(const mn_train_config *config, const mn_model *model, size_t limit_bytes);

#endif
