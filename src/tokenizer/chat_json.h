/* A conversation as programs send it: OpenAI's JSON. */
#ifndef MN_TOKENIZER_CHAT_JSON_H
#define MN_TOKENIZER_CHAT_JSON_H

#include "tokenizer/chat_template.h"

/* Borrows from json, a jansson value of its own. */
typedef struct mn_chat_json {
    mn_chat_message *messages;
    size_t n_messages;
    char *tools_json, *variables_json; /* NULL when there are none */
    void *json;
} mn_chat_json;

/* Parses [{"role": ..., "content": ...}, ...], or an object with that list as "messages" and perhaps "tools" and
 * "chat_template_kwargs". Everything in a message but its role and a content that is a string goes to fields_json.
 * What is no such JSON is MN_ERR_FORMAT and names the place. On failure *out is empty; the caller releases it either
 * way. */
mn_status mn_chat_json_parse(const char *text, size_t bytes, mn_chat_json *out, mn_error *err);
void mn_chat_json_release(mn_chat_json *chat);

#endif
