/* The kinds of tokenizer behind one table: text without special tokens in, ids out. */
#ifndef MN_TOKENIZER_KINDS_H
#define MN_TOKENIZER_KINDS_H

#include "tokenizer/words.h"

typedef struct mn_kind {
    /* Reads what the kind needs beyond the vocabulary, which is borrowed as long as *out lives. */
    mn_status (*create)(const mn_gguf *gguf, const mn_vocab *vocab, void **out, mn_error *err);
    void (*destroy)(void *kind); /* takes NULL too */
    /* Appends the ids of text, bytes >= 1, to words->ids. */
    mn_status (*encode)(const void *kind, mn_words *words, const char *text, size_t bytes, mn_error *err);
} mn_kind;

extern const mn_kind mn_kind_spm, mn_kind_bpe, mn_kind_wordpiece, mn_kind_greedy;

/* Whether this byte-level BPE puts BOS where the file does not say (llama-bpe does). */
bool mn_bpe_adds_bos(const void *bpe);

#endif
