/* How a prompt is made and shown: --chat-template and --verbose-prompt. */
#ifndef MN_CLI_PROMPT_OPTIONS_H
#define MN_CLI_PROMPT_OPTIONS_H

#include "cli/options.h"

#include <mnemo/tokenizer.h>

#include <stdio.h>

/* --verbose-prompt was given. */
extern bool mn_given_verbose_prompt;
/* Rows for a verb's table; --chat-template goes to mn_given_model. */
extern const mn_option mn_prompt_option_rows[];

/* The source of a chat template that is given as the name of a built-in one, as a file, or as itself; freed by the
 * caller. *out is NULL when nothing is given. */
mn_status mn_chat_template_given(const char *given, char **out, mn_error *err);

/* Shows what the model is going to see, on standard error, if --verbose-prompt was given: the text of the ids with
 * control tokens spelled out, and the ids. */
void mn_prompt_show(const mn_tokenizer *tokenizer, const int32_t *ids, size_t n);
/* A token's text on one line: what is not printable, and the backslash, as escapes. */
void mn_piece_print(FILE *out, const char *piece, size_t bytes);

#endif
