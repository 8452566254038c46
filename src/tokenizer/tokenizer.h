/* Building a tokenizer from a model file. */
#ifndef MN_TOKENIZER_TOKENIZER_H
#define MN_TOKENIZER_TOKENIZER_H

#include "model/gguf.h"

#include <mnemo/tokenizer.h>

/* Copies what it needs out of gguf. Every id, score and merge in the file is checked. The caller destroys it. */
mn_status mn_tokenizer_create(const mn_gguf *gguf, mn_tokenizer **out, mn_error *err);
void mn_tokenizer_destroy(mn_tokenizer *tokenizer);
/* The control token with this spelling, -1 when there is none. */
int32_t mn_tokenizer_find_special(const mn_tokenizer *tokenizer, const char *text, size_t bytes);

#endif
