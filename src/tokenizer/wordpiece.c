/* WordPiece (Schuster and Nakajima 2012; Devlin et al. 2018): the text is cleaned as BERT cleans it, cut at spaces and
 * punctuation, and each word is spelled by the longest piece that fits, then the longest that fits the rest.
 *
 * Cleaning drops accents, case and control characters: alone among the kinds, this one cannot be inverted exactly.
 */
#include "tokenizer/kinds.h"
#include "tokenizer/spellings.h"
#include "tokenizer/utf8.h"

#include "base/strbuf.h"

#include <stdlib.h>

static mn_status create(const mn_gguf *gguf, const mn_vocab *vocab, void **out, mn_error *err) {
    (void)gguf;
    mn_spellings *pieces = malloc(sizeof *pieces);
    if (!pieces) return mn_fail(err, MN_ERR_MEMORY, "There is not enough memory for the tokenizer.");
    *out = pieces;
    return mn_spellings_create(vocab, 1u << MN_TOKEN_NORMAL, pieces, err);
}

static void destroy(void *kind) {
    if (kind) mn_spellings_release(kind);
    free(kind);
}

static bool is_space(int32_t c, int category) {
    return (c >= '\t' && c <= '\r') || c == 0x85 || category == UTF8PROC_CATEGORY_ZS ||
           category == UTF8PROC_CATEGORY_ZL || category == UTF8PROC_CATEGORY_ZP;
}

static bool is_dropped(int32_t c, int category) {
    return c == 0 || c == 0xfffd || c >= MN_UTF8_INVALID || category == UTF8PROC_CATEGORY_CC ||
           category == UTF8PROC_CATEGORY_CF || category == UTF8PROC_CATEGORY_CS || category == UTF8PROC_CATEGORY_CO;
}

static bool is_han(int32_t c) {
    return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x20000 && c <= 0x2a6df) ||
           (c >= 0x2a700 && c <= 0x2ceaf) || (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
}

/* Characters that are words of their own: punctuation, ASCII symbols, Chinese characters. */
static bool stands_alone(int32_t c, int category) {
    bool is_punctuation = category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
    bool is_symbol = category >= UTF8PROC_CATEGORY_SM && category <= UTF8PROC_CATEGORY_SO;
    return is_punctuation || (c < 0x80 && is_symbol) || is_han(c);
}

/* Appends the character in lower case and without its accents. */
static void put_plain(mn_strbuf *word, int32_t c) {
    utf8proc_int32_t parts[32];
    int boundary = 0;
    utf8proc_ssize_t n = utf8proc_decompose_char(c, parts, 32, UTF8PROC_DECOMPOSE, &boundary);
    for (utf8proc_ssize_t i = 0; i < n; i++) {
        if (utf8proc_category(parts[i]) == UTF8PROC_CATEGORY_MN) continue;
        utf8proc_uint8_t bytes[4];
        utf8proc_ssize_t n_bytes = utf8proc_encode_char(utf8proc_tolower(parts[i]), bytes);
        mn_strbuf_put(word, bytes, (size_t)n_bytes);
    }
}

/* Appends the pieces of word, which begins with a space as word-initial pieces do, and empties it. */
static mn_status put_word(const mn_spellings *pieces, mn_words *words, mn_strbuf *word, mn_error *err) {
    size_t n_before = words->ids->n;
    if (word->failed) return mn_fail(err, MN_ERR_MEMORY, "There is not enough memory for a word of the text.");
    for (size_t at = 0, n; word->bytes > 1 && at < word->bytes; at += n) {
        int32_t id = mn_spellings_match(pieces, words->vocab, word->data + at, word->bytes - at);
        if (id < 0) {
            words->ids->n = n_before;
            if (words->vocab->unknown < 0)
                return mn_fail(err, MN_ERR_UNSUPPORTED,
                               "The vocabulary cannot spell the word \"%.80s\" and has no unknown token.",
                               word->data + 1);
            id = words->vocab->unknown;
            n = word->bytes;
        } else {
            mn_vocab_piece(words->vocab, id, &n);
        }
        MN_TRY(mn_ids_put(words->ids, id, err));
    }
    mn_strbuf_reset(word);
    mn_strbuf_putc(word, ' ');
    return MN_OK;
}

static mn_status put_all(const mn_spellings *pieces, mn_words *words, mn_strbuf *word, const char *text, size_t bytes,
                         mn_error *err) {
    mn_strbuf_putc(word, ' ');
    for (size_t at = 0; at < bytes;) {
        int32_t c;
        at += mn_utf8_next(text + at, bytes - at, &c);
        int category = utf8proc_category(c);
        bool alone = stands_alone(c, category);
        if (alone || is_space(c, category)) MN_TRY(put_word(pieces, words, word, err));
        if (is_space(c, category) || is_dropped(c, category)) continue;
        put_plain(word, c);
        if (alone) MN_TRY(put_word(pieces, words, word, err));
    }
    return put_word(pieces, words, word, err);
}

static mn_status encode(const void *kind, mn_words *words, const char *text, size_t bytes, mn_error *err) {
    mn_strbuf word = MN_STRBUF_INIT;
    mn_status status = put_all(kind, words, &word, text, bytes, err);
    mn_strbuf_release(&word);
    return status;
}

const mn_kind mn_kind_wordpiece = {create, destroy, encode};
