/* The tokens of a vocabulary by their bytes: a tree in which each token ends at a node, laid out so that the whole of a
 * branch follows its node and is skipped by one step. Made once for a vocabulary, shared by every constraint over it;
 * it never changes, and any thread may use it.
 */
#ifndef MN_GRAMMAR_TOKEN_TRIE_H
#define MN_GRAMMAR_TOKEN_TRIE_H

#include "tokenizer/tokenizer.h"

typedef struct mn_token_trie_node {
    int32_t next;   /* the node behind this one's branch */
    int32_t token;  /* the first token that ends here, -1 = none; the others by same[] */
    uint16_t depth; /* bytes from the root */
    uint8_t byte;
    uint8_t reach; /* bytes below to the longest token of the branch, where all in it are plain */
} mn_token_trie_node;

enum { MN_TOKEN_TRIE_MIXED = 255 }; /* reach: some are not, or it is as far */
/* Plain bytes are those of ASCII that texts are made of and that strings of all kinds take alike. */
static inline bool mn_token_trie_is_plain(uint8_t byte) {
    return byte >= ' ' && byte <= '~' && byte != '"' && byte != '\\';
}

typedef struct mn_token_trie {
    int32_t n_tokens, n_nodes;
    mn_token_trie_node *nodes; /* [n_nodes]; node 0 is the root, the first child of node i is i + 1 unless next is */
    int32_t *same;             /* [n_tokens] the next token of the same bytes, -1 = none */
    char *text;                /* all pieces, back to back */
    size_t *offsets;           /* [n_tokens + 1] into text */
    bool *ends;                /* [n_tokens] tokens that end a text */
    int32_t first[256];        /* the root's child by its byte, -1 = none */
    bool usable[256];          /* bytes that are a token of their own */
} mn_token_trie;

/* Pieces [n_tokens] as they stand in a text (an empty one: a token that has no text); ends [n_tokens] may be NULL. All
 * is copied. The caller destroys it. O(bytes log n_tokens). A token of more than 65535 bytes is MN_ERR_LIMIT. */
mn_status mn_token_trie_create(const char *const *pieces, const size_t *bytes, const bool *ends, int32_t n_tokens,
                               mn_token_trie **out, mn_error *err);
/* Of a tokenizer: what its tokens are in the middle of a text; control tokens have no text. */
mn_status mn_token_trie_of(const mn_tokenizer *tokenizer, mn_token_trie **out, mn_error *err);
void mn_token_trie_destroy(mn_token_trie *trie);

static inline const char *mn_token_trie_piece(const mn_token_trie *trie, int32_t token, size_t *bytes) {
    *bytes = trie->offsets[token + 1] - trie->offsets[token];
    return trie->text + trie->offsets[token];
}
/* The child of a node by its byte, -1 = none. O(children). */
int32_t mn_token_trie_child(const mn_token_trie *trie, int32_t node, uint8_t byte);

#endif
