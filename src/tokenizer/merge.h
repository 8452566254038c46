/* Byte pair encoding of one word (Sennrich et al. 2016): of all neighbours that may merge, the pair of the lowest rank
 * merges first, the leftmost among equals, until none is left.
 *
 * The symbols are a linked list, the pairs wait in a heap, and pairs that a merge has made stale are dropped when they
 * surface: O(n log n) for n symbols, whatever the text.
 */
#ifndef MN_TOKENIZER_MERGE_H
#define MN_TOKENIZER_MERGE_H

#include "tokenizer/vocab.h"

/* A run of bytes of the word. It starts where the one before it ends. */
typedef struct mn_symbol {
    uint32_t begin, bytes;  /* in the word; bytes 0: merged into a symbol on its left */
    int32_t id;             /* its token; -1, or an id behind the vocabulary: it is none */
    int32_t previous, next; /* -1 = none */
} mn_symbol;

/* What the two kinds of BPE differ in. */
typedef struct mn_merge_rules {
    bool by_character; /* words start as characters (SentencePiece), or as bytes (byte-level) */
    bool whole_words;  /* a word that is a token is taken whole, whatever its merges would make of it */
    /* Whether two neighbours of word merge, into which token, and how soon (the lowest rank first). */
    bool (*find)(const void *rules, const mn_vocab *vocab, const char *word, const mn_symbol *left,
                 const mn_symbol *right, int32_t *id, uint32_t *rank);
    const void *rules;
} mn_merge_rules;

typedef struct mn_merge_pair {
    uint64_t key;   /* rank, then position of the left symbol */
    uint32_t bytes; /* of both symbols when the pair was found: other bytes now mean that it is stale */
    int32_t id;
} mn_merge_pair;

/* Scratch, kept from word to word. Zero it first; the owner calls mn_merger_release. */
typedef struct mn_merger {
    mn_symbol *symbols;
    mn_merge_pair *heap;
    size_t n_symbols, symbol_capacity, n_pairs, pair_capacity;
} mn_merger;

/* Merges word as far as it goes. The result is merger->symbols, those with bytes > 0, in order. bytes <= INT32_MAX. */
mn_status mn_merge_word(mn_merger *merger, const mn_merge_rules *rules, const mn_vocab *vocab, const char *word,
                        size_t bytes, mn_error *err);
void mn_merger_release(mn_merger *merger);

#endif
