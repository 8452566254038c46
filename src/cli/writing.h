/* The progress line of a file that is being made tensor by tensor. */
#ifndef MN_CLI_WRITING_H
#define MN_CLI_WRITING_H

#include "cli/progress.h"

/* Zeroed before use. */
typedef struct mn_writing {
    mn_progress progress;
    bool begun;
} mn_writing;

/* An mn_gguf_progress_fn; arg is the mn_writing. */
void mn_writing_progress(void *arg, int64_t done_bytes, int64_t total_bytes);
void mn_writing_end(mn_writing *writing);

#endif
