/* What texts need of a window: mnemo plan -f. */
#ifndef MN_CLI_PLAN_TEXT_H
#define MN_CLI_PLAN_TEXT_H

#include "cli/options.h"

#include <mnemo/engine.h>

#include <stdio.h>

/* Counts the tokens of each file as `run -f FILE -p QUESTION` makes them, says them on `out` (NULL: nowhere) a line
 * each, and notes a script that the vocabulary hardly knows. *n_tokens: of all files, in the model's template; *n_ctx:
 * the window that holds them, a question and an answer. */
mn_status mn_plan_count_texts(const mn_engine *engine, const mn_text_list *files, FILE *out, int64_t *n_tokens,
                              int64_t *n_ctx, mn_error *err);

#endif
