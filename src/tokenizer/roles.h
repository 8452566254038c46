/* The tokens with a role: begin, end, unknown, padding, and what else ends an answer. */
#ifndef MN_TOKENIZER_ROLES_H
#define MN_TOKENIZER_ROLES_H

#include "tokenizer/vocab.h"

#include <mnemo/tokenizer.h>

enum { MN_MAX_ENDS = 16 };

typedef struct mn_roles {
    mn_special_tokens tokens;
    int32_t ends[MN_MAX_ENDS]; /* every id that ends an answer */
    int n_ends;
} mn_roles;

/* Whether a token is spelled like a known end marker ("<|im_end|>"). Files seldom name all of theirs. */
bool mn_is_end_marker(const char *spelling, size_t bytes);

/* Reads tokenizer.ggml.*_token_id and add_*_token; end markers count too where the file does not name them. add_bos is
 * what holds where the file does not say. */
mn_status mn_roles_load(const mn_gguf *gguf, const mn_vocab *vocab, bool add_bos, mn_roles *out, mn_error *err);

#endif
