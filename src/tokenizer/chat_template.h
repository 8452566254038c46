/* Chat templates: programs in Jinja, from tokenizer.chat_template.
 *
 * Templates see the variables that Hugging Face's apply_chat_template gives them: messages, tools, documents (none),
 * bos_token, eos_token, add_generation_prompt, and those in variables_json. docs/chat-templates.md lists what of Jinja
 * there is not.
 */
#ifndef MN_TOKENIZER_CHAT_TEMPLATE_H
#define MN_TOKENIZER_CHAT_TEMPLATE_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct mn_chat_template mn_chat_template;

typedef struct mn_chat_message {
    const char *role;        /* "system", "user", "assistant", "tool" */
    const char *content;     /* NULL: there is none, and to a template it is undefined */
    const char *fields_json; /* JSON object of what else it has (tool_calls, tool_call_id, name, a content that is a
                                list or null); NULL = nothing. A field here replaces one above. */
} mn_chat_message;

typedef struct mn_chat_options {
    const char *bos_token, *eos_token; /* spellings, "" or NULL when none */
    bool add_generation_prompt;
    const char *tools_json;     /* JSON array of tools, NULL = none */
    const char *variables_json; /* JSON object of further variables ({"enable_thinking": false}), NULL = none */
    int64_t now;                /* seconds since 1970 for strftime_now, 0 = the clock's */
} mn_chat_options;

/* Compiles the template. Broken syntax is MN_ERR_FORMAT with its line; a construct that there is not fails when a
 * rendering reaches it (MN_ERR_UNSUPPORTED). source is copied. The caller destroys it. */
mn_status mn_chat_template_create(const char *source, size_t bytes, mn_chat_template **out, mn_error *err);
void mn_chat_template_destroy(mn_chat_template *t);

/* A run of rendered text: from the template itself (its control tokens count) or from a message (it is only text). */
typedef struct mn_chat_span {
    size_t begin, end; /* bytes in the rendered text */
    bool from_message;
} mn_chat_span;

/* Renders the conversation: *out (caller frees; NUL-terminated, the NUL not counted) and *spans (caller frees, in
 * order, covering all of *out), so that user text cannot forge control tokens: whatever comes from messages, tools and
 * variables is marked, byte by byte, through everything the template does to it. raise_exception() in the template
 * becomes the error's sentence. A template that works or allocates without end is MN_ERR_LIMIT. The template is only
 * read: many threads may render one. */
mn_status mn_chat_template_render(const mn_chat_template *t, const mn_chat_message *messages, size_t n_messages,
                                  const mn_chat_options *options, char **out, size_t *bytes, mn_chat_span **spans,
                                  size_t *n_spans, mn_error *err);

#endif
