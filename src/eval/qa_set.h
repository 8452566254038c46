/* Questions with answers and the passages that hold them, from JSON Lines. */
#ifndef MN_EVAL_QA_SET_H
#define MN_EVAL_QA_SET_H

#include "base/arena.h"
#include "base/status.h"

#include <stdint.h>

typedef struct mn_qa_question {
    const char *question;
    const char **answers;
    const int32_t *gold; /* indexes of passages */
    int n_answers, n_gold;
} mn_qa_question;

typedef struct mn_qa_set {
    mn_qa_question *questions;
    const char **passages;
    int64_t n_questions, n_passages;
    mn_arena arena;
} mn_qa_set;

/* Reads lines {"question": "...", "answers": ["...", ...], "passages": ["gold", ...], "others": ["...", ...]}; `others`
 * may be missing. All passages of all lines are the set's. Errors name file and line. The caller releases it, also
 * after a failure. */
mn_status mn_qa_set_read(const char *path, mn_qa_set *out, mn_error *err);
void mn_qa_set_release(mn_qa_set *set);

#endif
