/* A conversation: what was read and who said what, in order, in a file and back. */
#ifndef MN_SESSION_CONVERSATION_H
#define MN_SESSION_CONVERSATION_H

#include "base/strbuf.h"
#include "tokenizer/chat_template.h"

#include <mnemo/status.h>

typedef enum mn_entry_kind {
    MN_ENTRY_SYSTEM,
    MN_ENTRY_TEXT, /* read, and handed to the model before the next question */
    MN_ENTRY_QUESTION,
    MN_ENTRY_ANSWER
} mn_entry_kind;

typedef struct mn_entry {
    mn_entry_kind kind;
    char *name; /* of a text: its file; NULL for others */
    char *content;
} mn_entry;

typedef struct mn_conversation {
    mn_entry *entries; /* names and contents owned */
    size_t n, capacity;
} mn_conversation;

/* Appends copies. name may be NULL. */
mn_status mn_conversation_add(mn_conversation *c, mn_entry_kind kind, const char *name, const char *content,
                              mn_error *err);
/* Removes n entries from the first-th on. */
void mn_conversation_remove(mn_conversation *c, size_t first, size_t n);
void mn_conversation_release(mn_conversation *c);
/* Questions and answers. */
size_t mn_conversation_n_messages(const mn_conversation *c);

/* All texts, a line end between them, for models without a chat template. */
void mn_conversation_document(const mn_conversation *c, mn_strbuf *out);

/* As messages for a chat template: a text becomes the beginning of the question that follows it; texts at the end,
 * which no question follows yet, are a user's message alone. *out has *n of them; free with
 * mn_conversation_free_messages. */
mn_status mn_conversation_messages(const mn_conversation *c, mn_chat_message **out, size_t *n, mn_error *err);
void mn_conversation_free_messages(mn_chat_message *messages, size_t n);

/* One JSON object: {"messages": [{"role": "system" | "text" | "user" | "assistant", "name", "content"}, ...]}. A
 * content that is no UTF-8 is stored as "bytes" instead, each of its bytes as the character of that number. Written
 * whole or not at all. */
mn_status mn_conversation_save(const mn_conversation *c, const char *path, mn_error *err);
/* Replaces *c only when the whole file is sound. "document" beside "messages", as version 0.1 wrote it, is one more
 * text.
 */
mn_status mn_conversation_load(mn_conversation *c, const char *path, mn_error *err);

#endif
