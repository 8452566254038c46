/* A conversation: who said what, in a file and back. */
#ifndef MN_CLI_CONVERSATION_H
#define MN_CLI_CONVERSATION_H

#include "base/strbuf.h"
#include "tokenizer/chat_template.h"

#include <mnemo/status.h>

typedef struct mn_conversation {
    mn_chat_message *messages; /* contents owned here, roles static */
    size_t n, capacity;
    mn_strbuf document; /* what was read, for models without chat template; else what goes before the next message */
} mn_conversation;

#define MN_CONVERSATION_INIT                                                                                           \
    { .document = MN_STRBUF_INIT }

/* Appends a copy. role: "system", "user" or "assistant". */
mn_status mn_conversation_add(mn_conversation *c, const char *role, const char *content, mn_error *err);
/* Drops the last message. */
void mn_conversation_drop(mn_conversation *c);
void mn_conversation_release(mn_conversation *c);

/* One JSON object: {"messages": [{"role", "content"}, ...], "document": text}. Written whole or not at all. */
mn_status mn_conversation_save(const mn_conversation *c, const char *path, mn_error *err);
/* Replaces *c only when the whole file is sound. */
mn_status mn_conversation_load(mn_conversation *c, const char *path, mn_error *err);

#endif
