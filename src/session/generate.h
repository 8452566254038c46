/* Answering: draw a token, hand out its text, feed it, until the model ends. */
#ifndef MN_SESSION_GENERATE_H
#define MN_SESSION_GENERATE_H

#include "sample/sampler.h"

#include <mnemo/session.h>

/* Receives text as it comes, only whole UTF-8 characters (bytes that are none come at the end). Return false to stop.
 */
typedef bool mn_text_fn(void *arg, const char *text, size_t bytes);

typedef struct mn_generate_params {
    int64_t n_predict;        /* tokens at most; < 0 = until the end or the window is full */
    const char *const *stops; /* texts that end the answer, not handed out themselves; NULL-terminated, or NULL */
    bool special;             /* hand out the spelling of control tokens */
    bool stop_circles;        /* end an answer that repeats one stretch over and over (sample/repetition.h) */
} mn_generate_params;

typedef enum mn_finish {
    MN_FINISH_END,
    MN_FINISH_STOP,
    MN_FINISH_LENGTH,
    MN_FINISH_WINDOW,
    MN_FINISH_CIRCLE,
    MN_FINISH_CALLER
} mn_finish;

typedef struct mn_generated {
    int64_t n_tokens; /* drawn, the end token included */
    int32_t last;     /* the last of them, which is not fed; -1 = none was drawn */
    int period;       /* of a circle: the tokens that repeat */
    mn_finish finish;
} mn_generated;

/* Continues a synced session. The sampler is made for the tokenizer's vocabulary (mn_tokenizer_n_vocab): rows of the
 * output beyond it have no text and must not be drawn. The tokens drawn are fed, but for the last: the session can be
 * asked on. */
mn_status mn_generate(mn_session *session, mn_sampler *sampler, const mn_generate_params *params, mn_text_fn *text,
                      void *arg, mn_generated *out, mn_error *err);

#endif
