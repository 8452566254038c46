/* SentencePiece BPE with byte fallback (Kudo and Richardson 2018): neighbours merge when together they spell a token,
 * the token of the highest score first. Characters without a token become byte tokens.
 *
 * A SentencePiece text is one long word. It is cut here between neighbouring characters that no token has side by
 * side: no merge can ever cross such a place, so the result is the same and the words are short.
 */
#include "tokenizer/kinds.h"
#include "tokenizer/utf8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define JOIN_BITS (1u << 20)

typedef struct spm {
    uint32_t joins[JOIN_BITS / 32]; /* set of hashed character pairs; a collision only makes a word longer */
} spm;

static uint32_t join_hash(int32_t left, int32_t right) {
    return ((uint32_t)left * 0x9e3779b1u ^ (uint32_t)right * 0x85ebca6bu) >> 12;
}

static bool joins(const spm *k, int32_t left, int32_t right) {
    uint32_t hash = join_hash(left, right);
    return k->joins[hash / 32] >> hash % 32 & 1;
}

static void learn_joins(spm *k, const char *piece, size_t bytes) {
    int32_t left, right;
    for (size_t at = mn_utf8_next(piece, bytes, &left); at < bytes; left = right) {
        at += mn_utf8_next(piece + at, bytes - at, &right);
        uint32_t hash = join_hash(left, right);
        k->joins[hash / 32] |= 1u << hash % 32;
    }
}

static mn_status create(const mn_gguf *gguf, const mn_vocab *vocab, void **out, mn_error *err) {
    (void)gguf;
    spm *k = calloc(1, sizeof *k);
    if (!k) return mn_fail(err, MN_ERR_MEMORY, "There is not enough memory for the tokenizer.");
    for (int32_t i = 0; i < vocab->n_tokens; i++) {
        size_t bytes;
        const char *piece = mn_vocab_piece(vocab, i, &bytes);
        if (vocab->types[i] == MN_TOKEN_NORMAL && bytes) learn_joins(k, piece, bytes);
    }
    *out = k;
    return MN_OK;
}

/* A number that falls as the score rises: the bits of a float order like integers once negative ones are turned. */
static uint32_t rank_of(float score) {
    float plus_zero = score + 0.0f; /* -0 and 0 are one score */
    uint32_t bits;
    memcpy(&bits, &plus_zero, sizeof bits);
    return bits >> 31 ? bits : ~(bits | 1u << 31);
}

static bool find(const void *rules, const mn_vocab *vocab, const char *word, const mn_symbol *left,
                 const mn_symbol *right, int32_t *id, uint32_t *rank) {
    (void)rules;
    *id = mn_vocab_find(vocab, word + left->begin, (size_t)left->bytes + right->bytes);
    if (*id < 0 || vocab->scores[*id] == -INFINITY) return false; /* no merge makes it */
    *rank = rank_of(vocab->scores[*id]);
    return true;
}

static const mn_merge_rules merge_rules = {.by_character = true, .find = find};

static size_t word_bytes(const spm *k, const char *text, size_t bytes) {
    int32_t left, right;
    size_t at = mn_utf8_next(text, bytes, &left);
    for (size_t n; at < bytes; at += n, left = right) {
        n = mn_utf8_next(text + at, bytes - at, &right);
        if (!joins(k, left, right)) break;
    }
    return at;
}

static mn_status encode(const void *kind, mn_words *words, const char *text, size_t bytes, mn_error *err) {
    for (size_t at = 0, n; at < bytes; at += n) {
        n = word_bytes(kind, text + at, bytes - at);
        MN_TRY(mn_words_put(words, &merge_rules, text + at, n, err));
    }
    return MN_OK;
}

const mn_kind mn_kind_spm = {create, free, encode};
