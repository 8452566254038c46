/* The grammar or JSON schema that answers have to follow: --grammar, --json-schema. */
#ifndef MN_CLI_ANSWER_GRAMMAR_H
#define MN_CLI_ANSWER_GRAMMAR_H

#include "cli/sample_options.h"
#include "grammar/constraint.h"

/* Reads the file that was given, if any, and checks it, before a model is opened. */
mn_status mn_answer_grammar_read(const mn_sample_options *o, mn_error *err);
/* The constraint at its beginning; NULL where no file was given. Made with the first answer; borrowed. */
mn_status mn_answer_grammar_begin(const mn_tokenizer *tokenizer, mn_constraint **out, mn_error *err);
void mn_answer_grammar_release(void);

#endif
