/* One answer, as run and chat give it: how long it may become, how its tokens are drawn, and why it ended. */
#ifndef MN_CLI_ANSWER_H
#define MN_CLI_ANSWER_H

#include "cli/sample_options.h"
#include "session/compose.h"
#include "session/generate.h"

typedef struct mn_answer_request {
    const mn_engine *engine;
    mn_session *session;     /* synced to the prompt */
    const mn_tokens *prompt; /* for the penalties */
    bool one_line;           /* the answer is a line */
    bool has_turns;          /* a chat template tells the model where its answer ends */
    bool about_text;         /* greedy unless --temp was given */
    uint64_t seed;
} mn_answer_request;

/* Draws the answer as the options of sampling ask. Without -n it ends after MN_ANSWER_TOKENS where neither a template
 * nor an end token ends it, and when it runs in a circle. */
mn_status mn_answer(const mn_answer_request *request, const mn_sample_options *o, mn_text_fn *text, void *arg,
                    mn_generated *out, mn_error *err);

typedef char mn_ending_text[160];

/* Why an answer stopped that the model had not ended, with what lets it go on; NULL when it had. Fills buf. */
const char *mn_answer_ending(const mn_generated *answer, int64_t n_ctx, mn_ending_text buf);
/* "end", "stop", "length", "window", "circle", "interrupted" */
const char *mn_answer_finish_name(mn_finish finish);

/* The ids of an answer, which the session holds behind the prompt, but for the last. index below answer->n_tokens. */
int32_t mn_answer_id(const mn_session *session, int64_t n_prompt, const mn_generated *answer, int64_t index);

#endif
