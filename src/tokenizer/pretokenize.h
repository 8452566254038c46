/* Pre-tokenisers: how byte-level BPE cuts a text into words before it merges.
 *
 * tokenizer.ggml.pre names a scheme: one to six regular expressions, run one after the other. Each cuts the pieces
 * that the one before it left: every match becomes a piece, and so does what lies between matches.
 */
#ifndef MN_TOKENIZER_PRETOKENIZE_H
#define MN_TOKENIZER_PRETOKENIZE_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct mn_pretokenizer mn_pretokenizer;

/* An unknown name is an error that lists the known ones. */
mn_status mn_pretokenizer_create(const char *name, size_t bytes, mn_pretokenizer **out, mn_error *err);
void mn_pretokenizer_destroy(mn_pretokenizer *pre); /* takes NULL too */
/* Whether a word that is a token is taken whole, without merging; and whether the scheme puts BOS unless told not to.
 */
bool mn_pretokenizer_whole_words(const mn_pretokenizer *pre);
bool mn_pretokenizer_adds_bos(const mn_pretokenizer *pre);

typedef mn_status mn_word_fn(void *arg, const char *word, size_t bytes, mn_error *err);

/* Calls fn for each word, in order; together they are the text, byte for byte. The text is valid UTF-8. Linear time. */
mn_status mn_pretokenize(const mn_pretokenizer *pre, const char *text, size_t bytes, mn_word_fn *fn, void *arg,
                         mn_error *err);

#endif
