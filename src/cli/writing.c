#include "cli/writing.h"

void mn_writing_progress(void *arg, int64_t done_bytes, int64_t total_bytes) {
    mn_writing *writing = arg;
    if (!writing->begun) mn_progress_begin(&writing->progress, "writing", "MiB", total_bytes >> 20);
    writing->begun = true;
    mn_progress_at(&writing->progress, done_bytes >> 20);
}

void mn_writing_end(mn_writing *writing) { mn_progress_end(&writing->progress); }
