/* A conversation to the ids of a prompt: rendered by a chat template, then tokenised span by span. */
#ifndef MN_TOKENIZER_CHAT_TOKENS_H
#define MN_TOKENIZER_CHAT_TOKENS_H

#include "tokenizer/chat_template.h"
#include "tokenizer/tokenizer.h"

/* The source of a model's chat template, or of the built-in one that it names; the caller frees the copy. NULL when the
 * file has none. */
mn_status mn_chat_template_load(const mn_gguf *gguf, char **out, mn_error *err);

/* Renders the conversation with the template's source and tokenises the rendering: what messages say cannot become
 * control tokens, BOS is decided as by mn_tokenize_prompt. options may be NULL; where its bos_token and eos_token are
 * NULL they are the tokenizer's. *ids is freed by the caller. */
mn_status mn_chat_tokens(const mn_tokenizer *tokenizer, const char *source, const mn_chat_message *messages,
                         size_t n_messages, const mn_chat_options *options, int32_t **ids, size_t *n_ids,
                         mn_error *err);

#endif
