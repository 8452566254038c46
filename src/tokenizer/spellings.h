/* A set of spellings that a text is searched for: control and user-defined tokens, WordPiece's pieces. */
#ifndef MN_TOKENIZER_SPELLINGS_H
#define MN_TOKENIZER_SPELLINGS_H

#include "tokenizer/vocab.h"

typedef struct mn_spellings {
    int32_t *ids; /* [n] by bytes of their pieces, ascending */
    int32_t n;
    bool starts[256]; /* whether any begins with this byte */
} mn_spellings;

/* Collects the tokens of the types whose bits (1 << MN_TOKEN_...) are in type_bits; empty pieces are left out. The
 * caller releases it. */
mn_status mn_spellings_create(const mn_vocab *vocab, unsigned type_bits, mn_spellings *out, mn_error *err);
void mn_spellings_release(mn_spellings *spellings);

/* The longest of them that text begins with, or -1. bytes >= 1. O(length of the match tried, log n). */
int32_t mn_spellings_match(const mn_spellings *spellings, const mn_vocab *vocab, const char *text, size_t bytes);

#endif
