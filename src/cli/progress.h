/* A progress line with rate and ETA on a terminal; silent when stderr is not one. */
#ifndef MN_CLI_PROGRESS_H
#define MN_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct mn_progress {
    const char *label, *unit; /* "prefill", "tokens" */
    int64_t total;
    double started, drawn; /* seconds */
    bool shown;
} mn_progress;

/* label and unit are borrowed until mn_progress_end. */
void mn_progress_begin(mn_progress *progress, const char *label, const char *unit, int64_t total);
/* Redraws at most ten times a second. */
void mn_progress_at(mn_progress *progress, int64_t done);
/* Wipes the line, so that what is printed next starts clean. */
void mn_progress_end(mn_progress *progress);

#endif
