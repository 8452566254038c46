/* The vocabulary: every token's bytes, type and score, and the way back from bytes to id.
 *
 * A piece is a token's bytes as they stand in the text. Files spell pieces otherwise: SentencePiece and WordPiece
 * write a space as U+2581, byte-level BPE writes every byte as one printable character, RWKV writes backslashes before
 * what cannot be printed. Spellings are undone once, at load, so that tokenising works on the text as it is, and
 * detokenising is nothing but joining pieces.
 */
#ifndef MN_TOKENIZER_VOCAB_H
#define MN_TOKENIZER_VOCAB_H

#include "model/gguf.h"

typedef enum mn_vocab_kind {
    MN_VOCAB_SPM,       /* tokenizer.ggml.model "llama": SentencePiece BPE with byte fallback */
    MN_VOCAB_BPE,       /* "gpt2": byte-level BPE */
    MN_VOCAB_WORDPIECE, /* "bert" */
    MN_VOCAB_GREEDY     /* "rwkv": the longest token, then the longest of the rest */
} mn_vocab_kind;

/* tokenizer.ggml.token_type */
enum {
    MN_TOKEN_UNDEFINED,
    MN_TOKEN_NORMAL,
    MN_TOKEN_UNKNOWN,
    MN_TOKEN_CONTROL,
    MN_TOKEN_USER_DEFINED,
    MN_TOKEN_UNUSED,
    MN_TOKEN_BYTE,
    MN_TOKEN_TYPE_COUNT
};

typedef struct mn_vocab_slot {
    uint32_t hash;
    int32_t id_plus_one; /* 0: free */
} mn_vocab_slot;

typedef struct mn_vocab {
    mn_vocab_kind kind;
    int32_t n_tokens;
    int32_t unknown;      /* stands for bytes that no token spells; -1 = none */
    char *text;           /* all pieces, back to back */
    size_t *offsets;      /* [n_tokens + 1] into text */
    uint8_t *types;       /* [n_tokens] */
    float *scores;        /* [n_tokens], SPM only, else NULL */
    mn_vocab_slot *slots; /* open addressing over the normal tokens */
    size_t slot_mask;
    size_t max_bytes;      /* of the longest normal piece */
    int32_t byte_ids[256]; /* the token that is just this byte; -1 = none */
} mn_vocab;

/* A token longer than this is refused: it bounds the work per byte of text. */
#define MN_MAX_TOKEN_BYTES 4096

/* Reads tokenizer.ggml.{model,tokens,scores,token_type} and checks them. On failure *out is empty; the caller
 * releases it either way. */
mn_status mn_vocab_load(const mn_gguf *gguf, mn_vocab *out, mn_error *err);
void mn_vocab_release(mn_vocab *vocab);

/* The normal token that is exactly these bytes, or -1. Control, byte and user-defined tokens are never found: text
 * cannot forge them. O(bytes). */
int32_t mn_vocab_find(const mn_vocab *vocab, const char *piece, size_t bytes);

static inline const char *mn_vocab_piece(const mn_vocab *vocab, int32_t id, size_t *bytes) {
    *bytes = vocab->offsets[id + 1] - vocab->offsets[id];
    return vocab->text + vocab->offsets[id];
}

#endif
