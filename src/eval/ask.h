/* A sample put to a model: its prompt, its answer, and what both cost. */
#ifndef MN_EVAL_ASK_H
#define MN_EVAL_ASK_H

#include "eval/task.h"
#include "session/compose.h"

#include <mnemo/session.h>

/* The prompt as the model's own way of being asked: by its chat template as one message, the answer's first words
 * behind the assistant's turn; without one plain text. Tasks that ask plainly use mn_compose_ask, and put no words into
 * the answer's mouth. */
mn_status mn_ask_tokens(const mn_engine *engine, const mn_task *task, const mn_task_sample *sample, mn_tokens *out,
                        mn_error *err);
/* An mn_count_fn; arg: the mn_engine. */
int64_t mn_ask_count(void *engine, const mn_task *task, const mn_task_sample *sample);

typedef struct mn_asked {
    mn_strbuf answer; /* in UTF-8, '?' for each byte that is none; the caller releases it */
    double score;
    int64_t n_prompt, n_reused, n_answer; /* tokens */
    double prefill_s, decode_s;
    size_t kv_bytes;
} mn_asked;

/* Greedy, at most task->n_answer_tokens. What the session already holds of the prompt is reused. MN_ERR_LIMIT when the
 * prompt and its answer do not fit the window; MN_ERR_CANCELLED by progress. */
mn_status mn_ask(mn_engine *engine, mn_session *session, const mn_task *task, const mn_task_sample *sample,
                 mn_progress_fn *progress, void *arg, mn_asked *out, mn_error *err);

#endif
