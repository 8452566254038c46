/* From what a person says to the tokens a model reads: a document and a question, or a conversation. */
#ifndef MN_SESSION_COMPOSE_H
#define MN_SESSION_COMPOSE_H

#include "tokenizer/chat_template.h"

#include <mnemo/engine.h>

/* Token ids; the caller frees data. */
typedef struct mn_tokens {
    int32_t *data;
    size_t n;
} mn_tokens;

/* The conversation through the model's chat template (an error when it has none), ready for the assistant's turn.
 * What messages say cannot become control tokens. */
mn_status mn_compose_chat(const mn_engine *engine, const mn_chat_message *messages, size_t n_messages, mn_tokens *out,
                          mn_error *err);

/* A question about a document: by the chat template as one user message, else by the model's ask template, else text,
 * newline, question. raw: document and prompt joined as they are. Either may be NULL; without a document a model
 * without chat template just continues the prompt. system may be NULL and needs a chat template. */
mn_status mn_compose_ask(const mn_engine *engine, const char *system, const char *document, const char *prompt,
                         bool raw, mn_tokens *out, mn_error *err);

/* Whether an answer ends at a line's end: the ask template asks for one line. */
bool mn_answers_in_one_line(const mn_engine *engine, const char *document, bool raw);

#endif
