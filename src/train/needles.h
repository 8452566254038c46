/* Needle documents, made on demand: a haystack with facts in it, then questions about them and their answers. What a
 * small model learns long context from (docs/training.md). Document i of a seed is always the same document.
 */
#ifndef MN_TRAIN_NEEDLES_H
#define MN_TRAIN_NEEDLES_H

#include "train/document.h"
#include "train/needle_words.h"

typedef enum mn_needle_kind {
    MN_NEEDLE_KEY_VALUE, /* "The secret number of Boston is 48213."; one to many keys */
    MN_NEEDLE_CHAIN,     /* "VAR X = 12345." "VAR Y = VAR X."; asked: the value of the last */
    MN_NEEDLE_JSON,      /* "key": "value", */
    MN_NEEDLE_PASSKEY,   /* "The pass key is 48213. Remember it. 48213 is the pass key.", in prose or filler */
    MN_NEEDLE_VALUES,    /* several values of one key, all asked */
    MN_NEEDLE_COPY,      /* words in random order, and the same again */
    MN_NEEDLE_KIND_COUNT
} mn_needle_kind;

typedef struct mn_needle_params {
    mn_needle_kind kind;
    const mn_corpus *corpus; /* haystacks and names; borrowed */
    int min_keys, max_keys;  /* facts in a document (chains: chains; values: values of the key) */
    int min_hops, max_hops;  /* of a chain */
    int n_questions;         /* at most so many of the facts are asked */
    int n_distractors;       /* at most so many sentences of a needle's form about things that are never asked */
    double filler;           /* share of documents whose haystack is filler */
    bool digits;             /* key-value facts and distractors are numbers alone */
    bool usual_wording;      /* their statements are all "The ATTRIBUTE of KEY is VALUE." */
    mn_word_side side;
} mn_needle_params;

/* "key-value" "chain" "json" "passkey" "values" "copy"; NULL-terminated by kind. */
const char *mn_needle_kind_name(mn_needle_kind kind);

/* Makes one document of about `bytes` bytes into *out, which is emptied first. The same rng state and arguments give
 * the same document. */
void mn_needle_make(mn_random *rng, const mn_needle_params *params, size_t bytes, mn_document_draft *out);

#endif
