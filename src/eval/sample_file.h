/* Samples in a file: JSON Lines, one a sample, whole, so that they can be read, asked of another engine, or asked
 * again. */
#ifndef MN_EVAL_SAMPLE_FILE_H
#define MN_EVAL_SAMPLE_FILE_H

#include "base/status.h"
#include "eval/task.h"

#include <stdio.h>

typedef struct mn_saved_sample {
    const mn_task *task;
    int64_t length, sample; /* tokens wanted; number within its cell */
    double depth;           /* asked for; -1: drawn */
    mn_task_sample s;
} mn_saved_sample;

/* Writes one line and does not flush. MN_ERR_FORMAT when the text is no UTF-8. */
mn_status mn_sample_write(FILE *f, const mn_saved_sample *sample, mn_error *err);

/* Reads all samples of a file into *out, which the caller releases. MN_ERR_FORMAT names the line. */
mn_status mn_samples_read(const char *path, mn_saved_sample **out, int64_t *n, mn_error *err);
void mn_samples_release(mn_saved_sample *samples, int64_t n);

#endif
