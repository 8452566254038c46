/* Answering: draw a token, hand out its text, feed it, until the model ends. mn_generate does so for one session; a
 * server that runs many draws the tokens of each by mn_generation_next and feeds them together (mnemo/step.h). */
#ifndef MN_SESSION_GENERATE_H
#define MN_SESSION_GENERATE_H

#include "base/strbuf.h"
#include "grammar/constraint.h"
#include "sample/repetition.h"
#include "sample/sampler.h"
#include "session/channels.h"

#include <mnemo/session.h>

/* Receives text as it comes, only whole UTF-8 characters (bytes that are none come at the end). Return false to stop.
 */
typedef bool mn_text_fn(void *arg, const char *text, size_t bytes);

typedef struct mn_generate_params {
    int64_t n_predict;         /* tokens at most; < 0 = until the end or the window is full */
    const char *const *stops;  /* texts that end the answer, not handed out themselves; NULL-terminated, or NULL */
    bool special;              /* hand out the spelling of control tokens, and what channels hide */
    bool stop_circles;         /* end an answer that repeats one stretch over and over (sample/repetition.h) */
    mn_constraint *constraint; /* what the answer has to follow, at its beginning; NULL = nothing. The answer ends where
                                * it cannot go on; when its tokens run out it is complete; one that repeats itself is
                                * completed by the shortest way and not cut. Borrowed */
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
    bool is_complete; /* follows all of the constraint */
    mn_finish finish;
} mn_generated;

/* One answer under way; its members are the functions' own. */
typedef struct mn_generation {
    mn_session *session;
    mn_sampler *sampler;
    mn_generate_params params;
    mn_text_fn *text;
    void *arg;
    mn_strbuf held; /* text drawn and not handed out yet: it may be the start of a stop text, or of a character */
    mn_repetition circle;
    mn_channels channels;
    mn_generated result;
    bool ended, failed;
    bool hurries; /* to the end of a constrained answer that repeated itself */
} mn_generation;

enum { MN_GENERATION_ENDED = -1 };

/* Begins an answer of a session that holds its prompt. Session, sampler and what params points to are borrowed until
 * mn_generation_finish. The sampler is made for the tokenizer's vocabulary (mn_tokenizer_n_vocab): rows of the output
 * beyond it have no text and must not be drawn. */
void mn_generation_begin(mn_generation *g, mn_session *session, mn_sampler *sampler, const mn_generate_params *params,
                         mn_text_fn *text, void *arg);
/* Draws a token from the logits [n_vocab] after the session's last token, and hands out the text that is certain.
 * *token is what the session has to be fed before the next call, or MN_GENERATION_ENDED: by an end token, a stop text,
 * params, the full window, or the receiver of text. Without logits MN_ERR_ARGUMENT. Nothing is allocated but room for
 * held text. */
mn_status mn_generation_next(mn_generation *g, const float *logits, int32_t *token, mn_error *err);
/* Hands out what is still held, gives back memory, and tells how the answer ended. To be called once, also to break an
 * answer off, and after a failure (nothing is handed out then). */
mn_generated mn_generation_finish(mn_generation *g);

/* Continues a synced session to the answer's end. The tokens drawn are fed, but for the last: the session can be asked
 * on. */
mn_status mn_generate(mn_session *session, mn_sampler *sampler, const mn_generate_params *params, mn_text_fn *text,
                      void *arg, mn_generated *out, mn_error *err);

#endif
