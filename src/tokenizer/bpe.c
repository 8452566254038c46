/* Byte-level BPE (GPT-2): the text is cut into words by the pre-tokeniser, a word starts as its bytes, and neighbours
 * merge in the order in which tokenizer.ggml.merges lists them.
 */
#include "tokenizer/kinds.h"
#include "tokenizer/pieces.h"
#include "tokenizer/pretokenize.h"
#include "tokenizer/spelling.h"
#include "tokenizer/utf8.h"

#include "base/checked.h"

#include <stdlib.h>
#include <string.h>

typedef struct merge {
    int32_t left, right, id; /* left and right become id */
    uint32_t rank_plus_one;  /* 0: free */
} merge;

typedef struct bpe {
    mn_pretokenizer *pre;
    merge *merges; /* open addressing by (left, right) */
    size_t mask;
    mn_merge_rules rules;
} bpe;

/* The slot of this pair, or the free slot where it belongs. */
static merge *probe(const bpe *k, int32_t left, int32_t right) {
    uint64_t hash = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9e3779b97f4a7c15u;
    for (size_t i = (size_t)(hash >> 32) & k->mask;; i = (i + 1) & k->mask) {
        merge *m = &k->merges[i];
        if (!m->rank_plus_one || (m->left == left && m->right == right)) return m;
    }
}

static bool find(const void *rules, const mn_vocab *vocab, const char *word, const mn_symbol *left,
                 const mn_symbol *right, int32_t *id, uint32_t *rank) {
    (void)vocab, (void)word;
    if (left->id < 0 || right->id < 0) return false;
    const merge *m = probe(rules, left->id, right->id);
    *id = m->id;
    *rank = m->rank_plus_one - 1;
    return m->rank_plus_one != 0;
}

/* The token that is this piece; a piece that is none gets a number behind the vocabulary, so that merges go on through
 * it. Where it is left over its bytes stand for it. */
static mn_status number_of(const mn_vocab *vocab, mn_pieces *others, const char *piece, size_t bytes, int32_t *id,
                           mn_error *err) {
    *id = mn_vocab_find(vocab, piece, bytes);
    if (*id >= 0) return MN_OK;
    MN_TRY(mn_pieces_number(others, piece, bytes, id, err));
    if (__builtin_add_overflow(*id, vocab->n_tokens, id))
        return mn_fail(err, MN_ERR_LIMIT, "tokenizer.ggml.merges make more than %d pieces.", INT32_MAX);
    return MN_OK;
}

/* Merge number `rank`, spelled "LEFT RIGHT". The space is never the first character. */
static mn_status learn(bpe *k, const mn_vocab *vocab, mn_pieces *others, mn_gguf_string s, size_t rank, mn_error *err) {
    char text[2 * MN_MAX_TOKEN_BYTES];
    size_t left_bytes, bytes;
    const char *space = s.bytes > 2 && s.bytes <= sizeof text ? memchr(s.data + 1, ' ', s.bytes - 2) : NULL;
    if (!space)
        return mn_fail(err, MN_ERR_FORMAT, "Merge %zu, \"%.*s\", is not two pieces with a space between them.", rank,
                       (int)MN_MIN(s.bytes, 80), s.data);
    if (!mn_spelling_decode_bytes(s.data, (size_t)(space - s.data), text, &left_bytes) ||
        !mn_spelling_decode_bytes(space + 1, (size_t)(s.data + s.bytes - space - 1), text + left_bytes, &bytes))
        return MN_OK; /* characters that no text is spelled with */
    int32_t left, right, id;
    MN_TRY(number_of(vocab, others, text, left_bytes, &left, err));
    MN_TRY(number_of(vocab, others, text + left_bytes, bytes, &right, err));
    MN_TRY(number_of(vocab, others, text, left_bytes + bytes, &id, err));
    merge *m = probe(k, left, right);
    if (!m->rank_plus_one) *m = (merge){left, right, id, (uint32_t)rank + 1};
    return MN_OK;
}

static mn_status learn_all(bpe *k, const mn_vocab *vocab, const mn_gguf_string *merges, size_t n, mn_error *err) {
    size_t n_slots = 16;
    if (n > INT32_MAX)
        return mn_fail(err, MN_ERR_LIMIT, "tokenizer.ggml.merges has %zu items; the limit is %d.", n, INT32_MAX);
    while (n_slots < n * 2) n_slots *= 2;
    k->merges = calloc(n_slots, sizeof *k->merges);
    if (!k->merges) return mn_fail(err, MN_ERR_MEMORY, "There is not enough memory for %zu merges.", n);
    k->mask = n_slots - 1;
    mn_pieces others = {.text = MN_STRBUF_INIT};
    mn_status status = MN_OK;
    for (size_t i = 0; i < n && status == MN_OK; i++) status = learn(k, vocab, &others, merges[i], i, err);
    mn_pieces_release(&others);
    return status;
}

static mn_status read_merges(const mn_gguf *gguf, const mn_vocab *vocab, bpe *k, mn_error *err) {
    mn_gguf_string *merges = NULL;
    size_t n = 0;
    bool found = false;
    MN_TRY(mn_gguf_get_strings(gguf, "tokenizer.ggml.merges", &merges, &n, &found, err));
    mn_status status = found ? learn_all(k, vocab, merges, n, err)
                             : mn_fail(err, MN_ERR_FORMAT, "The key tokenizer.ggml.merges is missing.");
    free(merges);
    return status;
}

static void destroy(void *kind) {
    bpe *k = kind;
    if (!k) return;
    mn_pretokenizer_destroy(k->pre);
    free(k->merges);
    free(k);
}

static mn_status create(const mn_gguf *gguf, const mn_vocab *vocab, void **out, mn_error *err) {
    mn_gguf_string pre = {"default", 7};
    bool found;
    MN_TRY(mn_gguf_get_string(gguf, "tokenizer.ggml.pre", &pre, &found, err));
    bpe *k = calloc(1, sizeof *k);
    if (!k) return mn_fail(err, MN_ERR_MEMORY, "There is not enough memory for the tokenizer.");
    mn_status status = mn_pretokenizer_create(pre.data, pre.bytes, &k->pre, err);
    if (status == MN_OK) status = read_merges(gguf, vocab, k, err);
    if (status != MN_OK) {
        destroy(k);
        return status;
    }
    k->rules = (mn_merge_rules){.whole_words = mn_pretokenizer_whole_words(k->pre), .find = find, .rules = k};
    *out = k;
    return MN_OK;
}

typedef struct word_sink {
    const bpe *k;
    mn_words *words;
} word_sink;

static mn_status put_word(void *arg, const char *word, size_t bytes, mn_error *err) {
    const word_sink *sink = arg;
    return mn_words_put(sink->words, &sink->k->rules, word, bytes, err);
}

/* Regular expressions want valid UTF-8: each run of invalid bytes is a word of its own. */
static mn_status encode(const void *kind, mn_words *words, const char *text, size_t bytes, mn_error *err) {
    word_sink sink = {kind, words};
    for (size_t at = 0, n; at < bytes; at += n) {
        bool valid;
        n = mn_utf8_run(text + at, bytes - at, &valid);
        MN_TRY(valid ? mn_pretokenize(sink.k->pre, text + at, n, put_word, &sink, err)
                     : put_word(&sink, text + at, n, err));
    }
    return MN_OK;
}

bool mn_bpe_adds_bos(const void *kind) { return mn_pretokenizer_adds_bos(((const bpe *)kind)->pre); }

const mn_kind mn_kind_bpe = {create, destroy, encode};
