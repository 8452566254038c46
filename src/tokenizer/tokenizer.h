/* Building a tokenizer from a model file. */
#ifndef MN_TOKENIZER_TOKENIZER_H
#define MN_TOKENIZER_TOKENIZER_H

#include "model/gguf.h"

#include <mnemo/tokenizer.h>

/* Copies what it needs out of gguf. Every score and merge in the file is checked, and every id that is used; errors
 * name the file. The caller destroys it. */
mn_status mn_tokenizer_create(const mn_gguf *gguf, mn_tokenizer **out, mn_error *err);
/* The same from a file's path, for its vocabulary alone: weights are neither wanted nor touched. */
mn_status mn_tokenizer_open(const char *path, mn_tokenizer **out, mn_error *err);
void mn_tokenizer_destroy(mn_tokenizer *tokenizer);

/* Bytes [begin, end) of a text. */
typedef struct mn_text_range {
    size_t begin, end;
} mn_text_range;

/* mn_tokenize with special tokens parsed, except where a spelling touches one of the plain ranges (ascending): what a
 * user wrote stays text, and splits into the same tokens as it would without special tokens around. Neither BOS nor EOS
 * is added. *ends [n_tokens], freed by the caller as *out is, gets where in the text each token ends, white space that
 * a special token swallowed belonging to none; ends may be NULL. */
mn_status mn_tokenize_marked(const mn_tokenizer *tokenizer, const char *text, size_t bytes, const mn_text_range *plain,
                             size_t n_plain, int32_t **out, size_t **ends, size_t *n_tokens, mn_error *err);
/* The same for a prompt that the model is to continue. BOS stands in front where the model wants it, unless the text
 * writes it before its first plain range, as a chat template does; it is never there twice. EOS is never added. *out is
 * freed by the caller. */
mn_status mn_tokenize_prompt(const mn_tokenizer *tokenizer, const char *text, size_t bytes, const mn_text_range *plain,
                             size_t n_plain, int32_t **out, size_t *n_tokens, mn_error *err);
/* The control token with this spelling, -1 when there is none. */
int32_t mn_tokenizer_find_special(const mn_tokenizer *tokenizer, const char *text, size_t bytes);

#endif
