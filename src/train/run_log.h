/* What a training leaves for people: RUN/log.jsonl, a line a step; RUN/loss.svg, redrawn as it goes. */
#ifndef MN_TRAIN_RUN_LOG_H
#define MN_TRAIN_RUN_LOG_H

#include "base/status.h"

#include <stdint.h>
#include <stdio.h>

/* One line of the log. Numbers that a line has not are NAN. */
typedef struct mn_run_line {
    int64_t step, n_tokens;          /* done; learnt from so far */
    double loss;                     /* mean over the weights of the tokens, of this step */
    double easy;                     /* share of the tokens that took small MLPs */
    double busiest;                  /* visits of a layer's busiest expert over those of even use, mean of the layers */
    double gates;                    /* loss of the labels of a memory's write gates (memory_lessons.h) */
    double validation;               /* mean loss over the held-out windows */
    double rate, norm;               /* factor of the schedule; of the gradient before clipping */
    double seconds;                  /* since the training began, over all runs */
    double tokens_per_s, peak_share; /* of this step; of the machine's product peak, 0 to 1 */
} mn_run_line;

typedef struct mn_run_log {
    char *folder;
    FILE *file;
    mn_run_line *lines;
    int64_t n_lines, capacity;
    const char *title; /* of the picture; borrowed */
} mn_run_log;

/* Makes the folder when it is not there, and takes up its log: lines behind `step` are dropped, as those steps will be
 * done again. A line that is no JSON (a crash may cut the last) is dropped too. The caller closes it. */
mn_status mn_run_log_open(const char *folder, int64_t step, mn_run_log *out, mn_error *err);
/* Appends a line and flushes it. */
mn_status mn_run_log_add(mn_run_log *log, const mn_run_line *line, mn_error *err);
/* Draws RUN/loss.svg: training loss (each step, and smoothed over a fiftieth of the run), validation loss. */
mn_status mn_run_log_draw(const mn_run_log *log, mn_error *err);
void mn_run_log_close(mn_run_log *log);

#endif
