#include "tokenizer/words.h"

#include "base/checked.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

mn_status mn_ids_put(mn_ids *ids, int32_t id, mn_error *err) {
    if (ids->n == ids->capacity) {
        size_t capacity = MN_MAX(ids->capacity * 2, 256), bytes;
        int32_t *grown = mn_mul_size(capacity, sizeof *grown, &bytes) ? realloc(ids->data, bytes) : NULL;
        if (!grown) return mn_fail(err, MN_ERR_MEMORY, "There is not enough memory for %zu token ids.", capacity);
        ids->data = grown;
        ids->capacity = capacity;
    }
    ids->data[ids->n++] = id;
    return MN_OK;
}

mn_status mn_words_begin(mn_words *w, const mn_vocab *vocab, size_t text_bytes, mn_ids *ids, mn_error *err) {
    size_t n_seen = 16;
    while (n_seen < text_bytes / 8 && n_seen < 1 << 15) n_seen *= 2;
    *w = (mn_words){.vocab = vocab, .ids = ids, .seen_mask = n_seen - 1};
    w->seen = calloc(n_seen, sizeof *w->seen);
    return w->seen ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "There is not enough memory to tokenise.");
}

void mn_words_end(mn_words *w) {
    free(w->seen);
    w->seen = NULL;
    mn_merger_release(&w->merger);
}

/* Whether the ids of an earlier word spell this one. */
static bool spells(const mn_words *w, const mn_word_seen *seen, const char *word, size_t bytes) {
    for (size_t i = 0; i < seen->n; i++) {
        size_t n;
        const char *piece = mn_vocab_piece(w->vocab, w->ids->data[seen->begin + i], &n);
        if (n > bytes || memcmp(piece, word, n)) return false;
        word += n;
        bytes -= n;
    }
    return bytes == 0;
}

mn_status mn_words_put_bytes(mn_words *w, const char *text, size_t bytes, mn_error *err) {
    for (size_t i = 0; i < bytes; i++) {
        unsigned char byte = (unsigned char)text[i];
        int32_t id = w->vocab->byte_ids[byte] >= 0 ? w->vocab->byte_ids[byte] : w->vocab->unknown;
        if (id < 0)
            return mn_fail(err, MN_ERR_UNSUPPORTED,
                           "The text holds the byte 0x%02x, for which the vocabulary has neither a token nor an "
                           "unknown token.",
                           byte);
        MN_TRY(mn_ids_put(w->ids, id, err));
    }
    return MN_OK;
}

static mn_status put_merged(mn_words *w, const mn_merge_rules *rules, const char *word, size_t bytes, mn_error *err) {
    int32_t whole = rules->whole_words ? mn_vocab_find(w->vocab, word, bytes) : -1;
    if (whole >= 0) return mn_ids_put(w->ids, whole, err);
    MN_TRY(mn_merge_word(&w->merger, rules, w->vocab, word, bytes, err));
    for (int32_t i = 0; i >= 0; i = w->merger.symbols[i].next) {
        const mn_symbol *s = &w->merger.symbols[i];
        if (s->id >= 0 && s->id < w->vocab->n_tokens)
            MN_TRY(mn_ids_put(w->ids, s->id, err));
        else
            MN_TRY(mn_words_put_bytes(w, word + s->begin, s->bytes, err));
    }
    return MN_OK;
}

mn_status mn_words_put(mn_words *w, const mn_merge_rules *rules, const char *word, size_t bytes, mn_error *err) {
    uint32_t hash = (uint32_t)XXH3_64bits(word, bytes);
    mn_word_seen *seen = &w->seen[hash & w->seen_mask];
    if (seen->n && seen->hash == hash && spells(w, seen, word, bytes)) {
        for (size_t i = 0; i < seen->n; i++) MN_TRY(mn_ids_put(w->ids, w->ids->data[seen->begin + i], err));
        return MN_OK;
    }
    size_t begin = w->ids->n;
    MN_TRY(put_merged(w, rules, word, bytes, err));
    *seen = (mn_word_seen){hash, (uint32_t)(w->ids->n - begin), begin};
    return MN_OK;
}
