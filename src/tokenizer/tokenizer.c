#include "tokenizer/tokenizer.h"

#include "base/checked.h"
#include "base/strbuf.h"
#include "tokenizer/kinds.h"
#include "tokenizer/roles.h"
#include "tokenizer/spellings.h"
#include "tokenizer/strip.h"

#include <stdlib.h>
#include <string.h>

struct mn_tokenizer {
    mn_vocab vocab;
    mn_roles roles;
    const mn_kind *kind;
    void *state;           /* the kind's own */
    mn_spellings always;   /* tokens that text always means: the user-defined ones */
    mn_spellings special;  /* those, control and unknown tokens: matched when special tokens are parsed */
    uint8_t *strips;       /* [n_tokens] MN_STRIP_... of each token; NULL = none strips */
    bool add_space_prefix; /* a space goes before text at the start and behind a special token */
};

/* ---- loading ---- */

static mn_status load(const mn_gguf *gguf, mn_tokenizer *t, mn_error *err) {
    static const mn_kind *const kinds[] = {&mn_kind_spm, &mn_kind_bpe, &mn_kind_wordpiece, &mn_kind_greedy};
    MN_TRY(mn_vocab_load(gguf, &t->vocab, err));
    bool found, is_bpe = t->vocab.kind == MN_VOCAB_BPE;
    t->kind = kinds[t->vocab.kind];
    MN_TRY(t->kind->create(gguf, &t->vocab, &t->state, err));
    MN_TRY(mn_roles_load(gguf, &t->vocab, is_bpe ? mn_bpe_adds_bos(t->state) : true, &t->roles, err));
    /* Byte-level files name any token as the unknown one, even the end of text: then no byte may become it. */
    int32_t unknown = t->roles.tokens.unknown;
    if (unknown >= 0 && (!is_bpe || t->vocab.types[unknown] == MN_TOKEN_UNKNOWN)) t->vocab.unknown = unknown;
    unsigned always = 1u << MN_TOKEN_USER_DEFINED;
    MN_TRY(mn_spellings_create(&t->vocab, always, &t->always, err));
    MN_TRY(mn_spellings_create(&t->vocab, always | 1u << MN_TOKEN_CONTROL | 1u << MN_TOKEN_UNKNOWN, &t->special, err));
    MN_TRY(mn_strip_load(gguf, &t->vocab, &t->strips, err));
    mn_gguf_string model = {"", 0};
    MN_TRY(mn_gguf_get_string(gguf, "tokenizer.ggml.model", &model, &found, err));
    t->add_space_prefix =
        t->vocab.kind == MN_VOCAB_SPM && !(found && model.bytes == 6 && !memcmp(model.data, "gemma4", 6));
    return mn_gguf_get_bool(gguf, "tokenizer.ggml.add_space_prefix", &t->add_space_prefix, &found, err);
}

mn_status mn_tokenizer_create(const mn_gguf *gguf, mn_tokenizer **out, mn_error *err) {
    mn_tokenizer *t = calloc(1, sizeof *t);
    if (!t) return mn_fail(err, MN_ERR_MEMORY, "There is not enough memory for the tokenizer.");
    mn_status status = load(gguf, t, err);
    if (status != MN_OK) {
        mn_tokenizer_destroy(t);
        return mn_fail_in(err, status, mn_gguf_path(gguf));
    }
    *out = t;
    return MN_OK;
}

mn_status mn_tokenizer_open(const char *path, mn_tokenizer **out, mn_error *err) {
    mn_gguf *gguf;
    MN_TRY(mn_gguf_open(path, &gguf, err));
    mn_status status = mn_tokenizer_create(gguf, out, err);
    mn_gguf_close(gguf);
    return status;
}

void mn_tokenizer_destroy(mn_tokenizer *t) {
    if (!t) return;
    if (t->kind) t->kind->destroy(t->state);
    mn_spellings_release(&t->always);
    mn_spellings_release(&t->special);
    mn_vocab_release(&t->vocab);
    free(t->strips);
    free(t);
}

/* ---- questions ---- */

int32_t mn_tokenizer_n_vocab(const mn_tokenizer *t) { return t->vocab.n_tokens; }

const mn_special_tokens *mn_tokenizer_specials(const mn_tokenizer *t) { return &t->roles.tokens; }

const char *mn_tokenizer_note(const mn_tokenizer *t, int index) {
    return index >= 0 && index < t->roles.n_notes ? t->roles.notes[index] : NULL;
}

bool mn_tokenizer_is_end(const mn_tokenizer *t, int32_t id) {
    for (int i = 0; i < t->roles.n_ends; i++)
        if (t->roles.ends[i] == id) return true;
    return false;
}

int32_t mn_tokenizer_find_special(const mn_tokenizer *t, const char *text, size_t bytes) {
    int32_t id = bytes ? mn_spellings_match(&t->special, &t->vocab, text, bytes) : -1;
    size_t n = 0;
    if (id >= 0) mn_vocab_piece(&t->vocab, id, &n);
    return n == bytes ? id : -1;
}

/* ---- text to ids ---- */

/* A special token, or a stretch of text without one (id -1). */
typedef struct fragment {
    size_t bytes;
    int32_t id;
} fragment;

/* Which tokens the model wants at a text's ends are put there: none, both, or BOS where the text does not write it. */
typedef enum marks { NO_ENDS, BOTH_ENDS, PROMPT_BEGIN } marks;

/* What is to be split: where special tokens are parsed, and the ranges that are text all the same. */
typedef struct source {
    const char *text;
    size_t bytes;
    marks marks;
    bool parse_special;
    const mn_text_range *plain;
    size_t n_plain;
} source;

/* Whether [begin, end) touches a plain range. begin never falls, so that ranges left behind are done with. */
static bool is_plain(source *s, size_t begin, size_t end) {
    for (; s->n_plain && s->plain->end <= begin; s->n_plain--) s->plain++;
    return s->n_plain && s->plain->begin < end;
}

/* The token that the text at `at` spells and is meant to, or -1. */
static int32_t match_at(const mn_tokenizer *t, source *s, size_t at) {
    const char *text = s->text + at;
    int32_t id = s->parse_special ? mn_spellings_match(&t->special, &t->vocab, text, s->bytes - at) : -1;
    size_t bytes = 0;
    if (id >= 0) mn_vocab_piece(&t->vocab, id, &bytes);
    if (id >= 0 && !is_plain(s, at, at + bytes)) return id;
    return mn_spellings_match(&t->always, &t->vocab, text, s->bytes - at);
}

static fragment next_fragment(const mn_tokenizer *t, source *s, size_t at) {
    fragment f = {0, match_at(t, s, at)};
    if (f.id >= 0)
        mn_vocab_piece(&t->vocab, f.id, &f.bytes);
    else
        for (f.bytes = 1; at + f.bytes < s->bytes; f.bytes++)
            if (match_at(t, s, at + f.bytes) >= 0) break;
    return f;
}

/* Encodes text with a space before it. */
static mn_status encode_spaced(const mn_tokenizer *t, mn_words *words, const char *text, size_t bytes, mn_error *err) {
    char *spaced = malloc(bytes + 1);
    if (!spaced) return mn_fail(err, MN_ERR_MEMORY, "There is not enough memory to tokenise %zu bytes.", bytes);
    *spaced = ' ';
    memcpy(spaced + 1, text, bytes);
    mn_status status = t->kind->encode(t->state, words, spaced, bytes + 1, err);
    free(spaced);
    return status;
}

static bool strips(const mn_tokenizer *t, int32_t id, uint8_t side) {
    return id >= 0 && t->strips && (t->strips[id] & side);
}

/* Where in the text the tokens end; only kept where it is asked for. */
typedef struct places {
    size_t *ends, n, capacity;
    bool wanted;
} places;

/* Bytes [begin, end) of the text became the ids that have no place yet, of which the first may have a blank more. */
static mn_status put_places(const mn_tokenizer *t, const mn_ids *ids, size_t begin, size_t end, bool spaced,
                            places *out, mn_error *err) {
    if (!out->wanted) return MN_OK;
    if (ids->n > out->capacity) {
        size_t capacity = MN_MAX(ids->n, 2 * out->capacity);
        size_t *grown = realloc(out->ends, capacity * sizeof *grown);
        if (!grown) return mn_fail(err, MN_ERR_MEMORY, "There is not enough memory for %zu token ids.", capacity);
        out->ends = grown;
        out->capacity = capacity;
    }
    for (; out->n < ids->n; out->n++, spaced = false) {
        size_t bytes = 1; /* what the unknown token stands for */
        if (ids->data[out->n] != t->vocab.unknown) mn_vocab_piece(&t->vocab, ids->data[out->n], &bytes);
        begin = MN_MIN(begin + bytes - MN_MIN((size_t)spaced, bytes), end);
        out->ends[out->n] = begin;
    }
    out->ends[out->n - 1] = end;
    return MN_OK;
}

/* Encodes text [begin, end) of the source, between two special tokens, or the ends (-1), without what they swallow. */
static mn_status encode_text(const mn_tokenizer *t, mn_words *words, const source *s, size_t begin, size_t end,
                             int32_t before, int32_t after, places *out, mn_error *err) {
    bool spaced = t->add_space_prefix && (begin == 0 || before >= 0);
    if (strips(t, before, MN_STRIP_RIGHT)) begin += mn_strip_leading(s->text + begin, end - begin);
    if (strips(t, after, MN_STRIP_LEFT)) end -= mn_strip_trailing(s->text + begin, end - begin);
    if (begin == end) return MN_OK;
    MN_TRY(spaced ? encode_spaced(t, words, s->text + begin, end - begin, err)
                  : t->kind->encode(t->state, words, s->text + begin, end - begin, err));
    return put_places(t, words->ids, begin, end, spaced, out, err);
}

/* *wrote_bos: whether BOS stands in the text before any of its plain ranges. */
static mn_status encode_all(const mn_tokenizer *t, mn_words *words, source *s, bool *wrote_bos, places *out,
                            mn_error *err) {
    int32_t before = -1;
    size_t own_bytes = s->n_plain ? s->plain->begin : s->bytes;
    *wrote_bos = false;
    for (size_t at = 0, end; at < s->bytes; at = end) {
        fragment f = next_fragment(t, s, at);
        end = at + f.bytes;
        if (f.id >= 0) {
            MN_TRY(mn_ids_put(words->ids, f.id, err));
            MN_TRY(put_places(t, words->ids, at, end, false, out, err));
            *wrote_bos |= f.id == t->roles.tokens.bos && end <= own_bytes;
        } else {
            int32_t after = end < s->bytes ? match_at(t, s, end) : -1;
            MN_TRY(encode_text(t, words, s, at, end, before, after, out, err));
        }
        before = f.id;
    }
    return MN_OK;
}

static mn_status put_first(mn_ids *ids, int32_t id, mn_error *err) {
    MN_TRY(mn_ids_put(ids, id, err));
    memmove(ids->data + 1, ids->data, (ids->n - 1) * sizeof *ids->data);
    ids->data[0] = id;
    return MN_OK;
}

static mn_status encode_source(const mn_tokenizer *t, mn_words *words, source *s, places *out, mn_error *err) {
    const mn_special_tokens *roles = &t->roles.tokens;
    bool wrote_bos;
    MN_TRY(encode_all(t, words, s, &wrote_bos, out, err));
    bool bos = roles->add_bos && (s->marks == BOTH_ENDS || (s->marks == PROMPT_BEGIN && !wrote_bos));
    if (bos) MN_TRY(put_first(words->ids, roles->bos, err));
    return s->marks == BOTH_ENDS && roles->add_eos ? mn_ids_put(words->ids, roles->eos, err) : MN_OK;
}

static mn_status tokenize(const mn_tokenizer *t, source *s, int32_t **out, size_t **ends, size_t *n_tokens,
                          mn_error *err) {
    if (s->bytes >= INT32_MAX)
        return mn_fail(err, MN_ERR_LIMIT, "A text of %zu bytes is too long to tokenise at once; the limit is %d.",
                       s->bytes, INT32_MAX - 1);
    mn_ids ids = {0};
    mn_words words;
    places found = {.wanted = ends};
    MN_TRY(mn_words_begin(&words, &t->vocab, s->bytes, &ids, err));
    mn_status status = encode_source(t, &words, s, &found, err);
    mn_words_end(&words);
    if (status != MN_OK) {
        free(ids.data);
        free(found.ends);
        return status;
    }
    *out = ids.data;
    if (ends) *ends = found.ends;
    *n_tokens = ids.n;
    return MN_OK;
}

mn_status mn_tokenize(const mn_tokenizer *t, const char *text, size_t bytes, bool add_special, bool parse_special,
                      int32_t **out, size_t *n_tokens, mn_error *err) {
    source s = {
        .text = text, .bytes = bytes, .marks = add_special ? BOTH_ENDS : NO_ENDS, .parse_special = parse_special};
    return tokenize(t, &s, out, NULL, n_tokens, err);
}

mn_status mn_tokenize_marked(const mn_tokenizer *t, const char *text, size_t bytes, const mn_text_range *plain,
                             size_t n_plain, int32_t **out, size_t **ends, size_t *n_tokens, mn_error *err) {
    source s = {text, bytes, NO_ENDS, true, plain, n_plain};
    return tokenize(t, &s, out, ends, n_tokens, err);
}

mn_status mn_tokenize_prompt(const mn_tokenizer *t, const char *text, size_t bytes, const mn_text_range *plain,
                             size_t n_plain, int32_t **out, size_t *n_tokens, mn_error *err) {
    source s = {text, bytes, PROMPT_BEGIN, true, plain, n_plain};
    return tokenize(t, &s, out, NULL, n_tokens, err);
}

/* ---- ids to text ---- */

static bool is_hidden(const mn_tokenizer *t, int32_t id) {
    return t->vocab.types[id] == MN_TOKEN_CONTROL || t->vocab.types[id] == MN_TOKEN_UNKNOWN;
}

const char *mn_token_piece(const mn_tokenizer *t, int32_t id, bool special, size_t *bytes) {
    *bytes = 0;
    if (id < 0 || id >= t->vocab.n_tokens) return "";
    const char *piece = mn_vocab_piece(&t->vocab, id, bytes);
    if (!special && is_hidden(t, id)) *bytes = 0;
    return piece;
}

mn_status mn_detokenize(const mn_tokenizer *t, const int32_t *ids, size_t n, bool special, char **out, size_t *bytes,
                        mn_error *err) {
    /* WordPiece spells the space before every word, also before the first. */
    bool prefixed = t->add_space_prefix || t->vocab.kind == MN_VOCAB_WORDPIECE, behind_special = true;
    mn_strbuf text = MN_STRBUF_INIT;
    for (size_t i = 0; i < n; i++) {
        if (ids[i] < 0 || ids[i] >= t->vocab.n_tokens) {
            mn_strbuf_release(&text);
            return mn_fail(err, MN_ERR_ARGUMENT, "Token %zu has the id %d; this model has the ids 0 to %d.", i, ids[i],
                           t->vocab.n_tokens - 1);
        }
        size_t n_bytes;
        const char *piece = mn_token_piece(t, ids[i], special, &n_bytes);
        bool is_special = is_hidden(t, ids[i]) || t->vocab.types[ids[i]] == MN_TOKEN_USER_DEFINED;
        size_t skip = prefixed && behind_special && !is_special && n_bytes && *piece == ' ';
        mn_strbuf_put(&text, piece + skip, n_bytes - skip);
        if (is_special || n_bytes) behind_special = is_special;
    }
    *out = mn_strbuf_detach(&text, bytes);
    return *out ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "There is not enough memory for the text of %zu tokens.", n);
}
