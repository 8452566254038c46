/* Special tokens that swallow the white space beside them: Hugging Face's added tokens with "rstrip" or "lstrip".
 *
 * GGUF has no key for it. As llama.cpp does, they are known by the model's name: Phi-3's special tokens strip on their
 * right, the mask of Jina's and Nomic's encoders and of ModernBERT strips on its left.
 */
#ifndef MN_TOKENIZER_STRIP_H
#define MN_TOKENIZER_STRIP_H

#include "tokenizer/vocab.h"

enum { MN_STRIP_LEFT = 1, MN_STRIP_RIGHT = 2 };

/* *out [n_tokens] holds bits MN_STRIP_... of each token and is freed by the caller; NULL where no token strips. */
mn_status mn_strip_load(const mn_gguf *gguf, const mn_vocab *vocab, uint8_t **out, mn_error *err);

/* How many bytes of white space text begins with, or ends with. */
size_t mn_strip_leading(const char *text, size_t bytes);
size_t mn_strip_trailing(const char *text, size_t bytes);

#endif
