/* RWKV's "world" tokenizer: at each place the longest token that the text goes on with, byte by byte. */
#include "tokenizer/kinds.h"
#include "tokenizer/spellings.h"

#include <stdlib.h>

static mn_status create(const mn_gguf *gguf, const mn_vocab *vocab, void **out, mn_error *err) {
    (void)gguf;
    mn_spellings *tokens = malloc(sizeof *tokens);
    if (!tokens) return mn_fail(err, MN_ERR_MEMORY, "There is not enough memory for the tokenizer.");
    *out = tokens;
    return mn_spellings_create(vocab, 1u << MN_TOKEN_NORMAL, tokens, err);
}

static void destroy(void *kind) {
    if (kind) mn_spellings_release(kind);
    free(kind);
}

static mn_status encode(const void *kind, mn_words *words, const char *text, size_t bytes, mn_error *err) {
    for (size_t at = 0, n = 1; at < bytes; at += n, n = 1) {
        int32_t id = mn_spellings_match(kind, words->vocab, text + at, bytes - at);
        if (id >= 0) mn_vocab_piece(words->vocab, id, &n);
        MN_TRY(id >= 0 ? mn_ids_put(words->ids, id, err) : mn_words_put_bytes(words, text + at, 1, err));
    }
    return MN_OK;
}

const mn_kind mn_kind_greedy = {create, destroy, encode};
