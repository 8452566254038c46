/* A program that turns bytes into text, run as a child process: no shell, no file names, bounded in time and output. */
#ifndef MN_DOCUMENT_CHILD_H
#define MN_DOCUMENT_CHILD_H

#include "base/status.h"
#include "base/strbuf.h"

typedef struct mn_child_result {
    bool is_missing;   /* there is no such program */
    bool is_late;      /* it was killed when its time had passed */
    bool is_too_long;  /* it was killed because out was full */
    int exit_code;     /* 128 + the signal that ended it; -1 = not known */
    char message[200]; /* the beginning of its standard error; what is not printable ASCII stands as a blank */
} mn_child_result;

/* Runs argv (NULL ends it; argv[0] is looked up in PATH) with `data` as its standard input, which is a file that it may
 * seek in, and appends its standard output to *out, up to out->max_bytes. It may take max_seconds, that much of the
 * processor's time, and 4 GiB of memory. It has ended, by itself or killed, when this returns, in errors too.
 * MN_OK says that it was run (or is missing), not that it did well. */
mn_status mn_child_run(char *const argv[], const void *data, size_t bytes, int max_seconds, mn_strbuf *out,
                       mn_child_result *result, mn_error *err);

#endif
