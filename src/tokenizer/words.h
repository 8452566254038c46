/* One call's work: words in, ids out, with a cache of the words seen. */
#ifndef MN_TOKENIZER_WORDS_H
#define MN_TOKENIZER_WORDS_H

#include "tokenizer/merge.h"

/* Growable list of ids. */
typedef struct mn_ids {
    int32_t *data;
    size_t n, capacity;
} mn_ids;

mn_status mn_ids_put(mn_ids *ids, int32_t id, mn_error *err);

/* Where the ids of an earlier word stand in the output: their pieces spell the word, so nothing else is kept. */
typedef struct mn_word_seen {
    uint32_t hash, n;
    size_t begin;
} mn_word_seen;

typedef struct mn_words {
    const mn_vocab *vocab;
    mn_ids *ids;
    mn_merger merger;
    mn_word_seen *seen;
    size_t seen_mask;
} mn_words;

/* text_bytes sizes the cache. vocab and ids are borrowed until mn_words_end. */
mn_status mn_words_begin(mn_words *words, const mn_vocab *vocab, size_t text_bytes, mn_ids *ids, mn_error *err);
/* Appends the ids of a word, bytes >= 1; rules are the same in every call. Bytes that no token spells become the
 * unknown token, or an error. */
mn_status mn_words_put(mn_words *words, const mn_merge_rules *rules, const char *word, size_t bytes, mn_error *err);
/* Appends the token of each byte, the unknown one where there is none; neither is an error. */
mn_status mn_words_put_bytes(mn_words *words, const char *text, size_t bytes, mn_error *err);
void mn_words_end(mn_words *words);

#endif
