/* Wording of tasks from a file, so that scores can be laid beside those of another harness: the same facts and
 * haystack, in the words that the other one uses. */
#ifndef MN_EVAL_WORDING_H
#define MN_EVAL_WORDING_H

#include "base/status.h"
#include "eval/task.h"

typedef struct mn_wordings {
    mn_task_wording *items;
    int n;
} mn_wordings;

/* Reads {"task": "vt", "prompt": "... {context} ... {query} ...", "answer_prefix": "..."}: several of them one behind
 * the other, or in an array. Each prompt must hold {context}. MN_ERR_FORMAT names the line, or the task that is none.
 */
mn_status mn_wordings_read(const char *path, mn_wordings *out, mn_error *err);
/* NULL: the task is worded by us. */
const mn_task_wording *mn_wordings_find(const mn_wordings *w, const char *task);
void mn_wordings_release(mn_wordings *w);

/* Puts the sample into these words: the document becomes the whole prompt, the question is empty. {context} is the
 * document behind our own instructions, {query} what is asked for (a key, a value; the question where a task names
 * none). */
void mn_task_reword(const mn_task_wording *wording, mn_task_sample *s);

#endif
