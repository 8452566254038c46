/* Results of an evaluation: JSON Lines, one a sample, appended as they come and taken up where they stopped. */
#ifndef MN_EVAL_RESULTS_H
#define MN_EVAL_RESULTS_H

#include "eval/ask.h"

#include <stdio.h>

typedef struct mn_result {
    char task[32], setting[192]; /* what the session was opened with: "attn=quest:16,512"; "" = as the model is */
    int64_t length;              /* tokens asked for */
    int64_t sample;              /* number within its cell: the seed */
    double depth;                /* of the needle; -1: none, or drawn */
    double score;                /* 0 to 1; NAN: it failed, see `failure` */
    int64_t n_prompt, n_reused, n_answer;
    double prefill_s, decode_s, kv_bytes;
    char failure[256]; /* "" = none */
} mn_result;

typedef struct mn_results {
    mn_result *items;
    int64_t n, capacity;
    FILE *file;         /* NULL: kept in memory alone */
    const char *origin; /* what all were made with, which their lines tell; NULL: not told. Borrowed */
} mn_results;

/* Opens PATH for appending and takes up the results that are there; the last may have been cut by a crash, and the file
 * is then written again without it. path NULL: nothing is kept. MN_ERR_FORMAT where another line is no result: the file
 * is another one, and stays as it is. MN_ERR_ARGUMENT where a result was made with another origin. The caller closes
 * it. */
mn_status mn_results_open(const char *path, const char *origin, mn_results *out, mn_error *err);
/* Takes up the results of a file, which stays as it is. */
mn_status mn_results_read(const char *path, mn_results *out, mn_error *err);
/* Whether this sample under this setting is there already. */
const mn_result *mn_results_find(const mn_results *r, const char *task, const char *setting, int64_t length,
                                 double depth, int64_t sample);
/* Appends a line with the answer and its references and flushes it. sample and asked may be NULL for a failure. */
mn_status mn_results_add(mn_results *r, const mn_result *result, const mn_task_sample *sample, const mn_asked *asked,
                         mn_error *err);
void mn_results_close(mn_results *r);

/* Sums over the results of one task, setting and length (and depth, when >= 0; task NULL: all). */
typedef struct mn_cell {
    int64_t n, n_failed;
    double mean; /* of the scores of those that did not fail; NAN without any */
    mn_interval interval;
    double prefill_tokens_per_s, decode_tokens_per_s, kv_bytes; /* means */
} mn_cell;
mn_cell mn_results_cell(const mn_results *r, const char *task, const char *setting, int64_t length, double depth);

/* score(a) - score(b) over the samples that both settings have: its mean and 95 % interval; n = 0: none. */
typedef struct mn_difference {
    int64_t n;
    double mean;
    mn_interval interval;
} mn_difference;
mn_difference mn_results_difference(const mn_results *r, const char *task, int64_t length, const char *a,
                                    const char *b);

#endif
