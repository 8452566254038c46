/* Chat templates: the Jinja subset that model files use, from tokenizer.chat_template. */
#ifndef MN_TOKENIZER_CHAT_TEMPLATE_H
#define MN_TOKENIZER_CHAT_TEMPLATE_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct mn_chat_template mn_chat_template;

typedef struct mn_chat_message {
    const char *role; /* "system", "user", "assistant", "tool" */
    const char *content;
} mn_chat_message;

typedef struct mn_chat_options {
    const char *bos_token, *eos_token; /* spellings, "" when none */
    bool add_generation_prompt;
    const char *tools_json; /* JSON array of tools, NULL = none */
} mn_chat_options;

/* Compiles the template. An unknown construct is an error that names it and its line. source is copied. */
mn_status mn_chat_template_create(const char *source, size_t bytes, mn_chat_template **out, mn_error *err);
void mn_chat_template_destroy(mn_chat_template *t);

/* A run of rendered text: from the template itself (its control tokens count) or from a message (it is only text). */
typedef struct mn_chat_span {
    size_t begin, end; /* bytes in the rendered text */
    bool from_message;
} mn_chat_span;

/* Renders the conversation: *out (caller frees) and *spans (caller frees, in order, covering all of *out), so that
 * user text cannot forge control tokens. raise_exception() in the template becomes the error's sentence. */
mn_status mn_chat_template_render(const mn_chat_template *t, const mn_chat_message *messages, size_t n_messages,
                                  const mn_chat_options *options, char **out, size_t *bytes, mn_chat_span **spans,
                                  size_t *n_spans, mn_error *err);

#endif
