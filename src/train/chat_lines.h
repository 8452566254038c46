/* Lines of a JSONL file as training documents. */
#ifndef MN_TRAIN_CHAT_LINES_H
#define MN_TRAIN_CHAT_LINES_H

#include "tokenizer/chat_template.h"
#include "tokenizer/tokenizer.h"
#include "train/document.h"

/* A line {"text": "..."} as text; or {"messages": [{"role", "content"}, ...]} through the chat template, the
 * assistant's turns as MN_ROLE_VALUE and all else as MN_ROLE_PROMPT. Errors: no JSON object, neither key, a message
 * without a role, `messages` without a template; they do not name the file. */
mn_status mn_json_line_draft(const char *line, size_t bytes, const mn_chat_template *chat_template,
                             const mn_tokenizer *tokenizer, mn_document_draft *out, mn_error *err);

#endif
