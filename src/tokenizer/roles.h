/* The tokens with a role: begin, end, unknown, padding, and what else ends an answer. */
#ifndef MN_TOKENIZER_ROLES_H
#define MN_TOKENIZER_ROLES_H

#include "tokenizer/vocab.h"

#include <mnemo/tokenizer.h>

enum { MN_MAX_ENDS = 32, MN_MAX_ROLE_NOTES = 6, MN_ROLE_NOTE_BYTES = 160 };

typedef struct mn_roles {
    mn_special_tokens tokens;
    int32_t ends[MN_MAX_ENDS]; /* every id that ends an answer */
    int n_ends;
    /* A sentence for each id that lies outside the vocabulary and is not needed. */
    char notes[MN_MAX_ROLE_NOTES][MN_ROLE_NOTE_BYTES];
    int n_notes;
} mn_roles;

/* Whether a token is spelled like a known end marker ("<|im_end|>"). Files seldom name all of theirs. */
bool mn_is_end_marker(const char *spelling, size_t bytes);

/* Reads tokenizer.ggml.*_token_id and add_*_token; end markers count too where the file does not name them. add_bos is
 * what holds where the file does not say. An id outside the vocabulary is none, with a note; only BOS with
 * add_bos_token (and WordPiece's two) must be there. */
mn_status mn_roles_load(const mn_gguf *gguf, const mn_vocab *vocab, bool add_bos, mn_roles *out, mn_error *err);

/* Makes control tokens of the begin and end of text that the file names, if its types call them text: no text may
 * forge them. Called before the vocabulary is searched for text. */
mn_status mn_roles_guard(const mn_gguf *gguf, mn_vocab *vocab, const mn_gguf_string *tokens, mn_error *err);

#endif
