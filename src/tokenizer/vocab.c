#include "tokenizer/vocab.h"

#include "base/checked.h"
#include "tokenizer/roles.h"
#include "tokenizer/spelling.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define MAX_TOKENS (1 << 24)

/* At most this much of a name or a spelling goes into an error sentence. */
#define SHOWN(s) (int)MN_MIN((s).bytes, 80), (s).data

static mn_status no_memory(mn_error *err) {
    return mn_fail(err, MN_ERR_MEMORY, "There is not enough memory for the vocabulary.");
}

static mn_status read_kind(const mn_gguf *gguf, mn_vocab_kind *kind, mn_error *err) {
    static const char *const names[] = {"llama", "gpt2", "bert", "rwkv", "gemma4"};
    mn_gguf_string model;
    bool found = false;
    MN_TRY(mn_gguf_get_string(gguf, "tokenizer.ggml.model", &model, &found, err));
    if (!found)
        return mn_fail(err, MN_ERR_FORMAT, "The file holds no tokenizer: the key tokenizer.ggml.model is missing.");
    for (int i = 0; i < 5; i++) {
        if (model.bytes == strlen(names[i]) && !memcmp(model.data, names[i], model.bytes)) {
            *kind = i == 4 ? MN_VOCAB_SPM : (mn_vocab_kind)i; /* Gemma 4's is SentencePiece, told by its merges */
            return MN_OK;
        }
    }
    return mn_fail(err, MN_ERR_UNSUPPORTED,
                   "tokenizer.ggml.model is \"%.*s\"; this version reads llama and gemma4 (SentencePiece BPE), gpt2 "
                   "(byte-level BPE), bert (WordPiece) and rwkv (the longest match).",
                   SHOWN(model));
}

static mn_status wrong_count(const char *key, size_t n, int32_t n_tokens, mn_error *err) {
    return mn_fail(err, MN_ERR_FORMAT, "%s has %zu items, but tokenizer.ggml.tokens has %d.", key, n, n_tokens);
}

/* The scores that a list of merges stands for: a token's is that of the first merge that makes it, the earlier the
 * higher; -infinity where none does. *found: the file is one of those. */
static mn_status scores_of_merges(const mn_gguf *gguf, mn_vocab *v, bool *found, mn_error *err) {
    mn_gguf_string model, *merges = NULL;
    size_t n = 0;
    MN_TRY(mn_gguf_get_string(gguf, "tokenizer.ggml.model", &model, found, err));
    *found = *found && model.bytes == 6 && !memcmp(model.data, "gemma4", 6);
    if (!*found) return MN_OK;
    MN_TRY(mn_gguf_get_strings(gguf, "tokenizer.ggml.merges", &merges, &n, found, err));
    if (!*found) return mn_fail(err, MN_ERR_FORMAT, "The key tokenizer.ggml.merges is missing.");
    v->scores = malloc((size_t)v->n_tokens * sizeof *v->scores);
    for (int32_t i = 0; v->scores && i < v->n_tokens; i++) v->scores[i] = -INFINITY;
    for (size_t i = 0; v->scores && i < n; i++) {
        char text[2 * MN_MAX_TOKEN_BYTES], piece[2 * MN_MAX_TOKEN_BYTES];
        mn_gguf_string s = merges[i];
        const char *space = s.bytes > 2 && s.bytes <= sizeof text ? memchr(s.data + 1, ' ', s.bytes - 2) : NULL;
        if (!space) continue;
        size_t left = (size_t)(space - s.data);
        memcpy(text, s.data, left);
        memcpy(text + left, space + 1, s.bytes - left - 1);
        int32_t id = mn_vocab_find(v, piece, mn_spelling_unescape(text, s.bytes - 1, piece));
        if (id >= 0 && v->scores[id] == -INFINITY) v->scores[id] = -(float)i;
    }
    free(merges);
    return v->scores ? MN_OK : no_memory(err);
}

/* Scores order the merges of SPM. The other kinds do not have them. */
static mn_status read_scores(const mn_gguf *gguf, mn_vocab *v, mn_error *err) {
    bool told_by_merges;
    if (v->kind != MN_VOCAB_SPM) return MN_OK;
    MN_TRY(scores_of_merges(gguf, v, &told_by_merges, err));
    if (told_by_merges) return MN_OK;
    size_t n = 0;
    bool found = false;
    MN_TRY(mn_gguf_get_f32s(gguf, "tokenizer.ggml.scores", &v->scores, &n, &found, err));
    if (!found) return mn_fail(err, MN_ERR_FORMAT, "The key tokenizer.ggml.scores is missing.");
    if (n != (size_t)v->n_tokens) return wrong_count("tokenizer.ggml.scores", n, v->n_tokens, err);
    for (size_t i = 0; i < n; i++)
        if (isnan(v->scores[i])) return mn_fail(err, MN_ERR_FORMAT, "The score of token %zu is not a number.", i);
    return MN_OK;
}

static mn_status check_types(const int32_t *types, mn_vocab *v, mn_error *err) {
    for (int32_t i = 0; i < v->n_tokens; i++) {
        if (types[i] < 0 || types[i] >= MN_TOKEN_TYPE_COUNT)
            return mn_fail(err, MN_ERR_FORMAT, "Token %d has type %d; the types are 0 to %d.", i, types[i],
                           MN_TOKEN_TYPE_COUNT - 1);
        v->types[i] = (uint8_t)types[i];
    }
    return MN_OK;
}

/* A file without types has normal tokens only, but for the bytes, which are known by their spelling. End markers are
 * control tokens whatever the file says: no text may forge the end of a turn. */
static mn_status read_types(const mn_gguf *gguf, const mn_gguf_string *tokens, mn_vocab *v, mn_error *err) {
    int32_t *types = NULL;
    size_t n = 0;
    bool found = false;
    MN_TRY(mn_gguf_get_i32s(gguf, "tokenizer.ggml.token_type", &types, &n, &found, err));
    mn_status status = MN_OK;
    if (!(v->types = malloc((size_t)v->n_tokens)))
        status = no_memory(err);
    else if (found && n != (size_t)v->n_tokens)
        status = wrong_count("tokenizer.ggml.token_type", n, v->n_tokens, err);
    else if (found)
        status = check_types(types, v, err);
    else
        for (int32_t i = 0; i < v->n_tokens; i++) {
            bool is_byte = v->kind == MN_VOCAB_SPM && mn_spelling_hex_byte(tokens[i].data, tokens[i].bytes) >= 0;
            v->types[i] = is_byte ? MN_TOKEN_BYTE : MN_TOKEN_NORMAL;
        }
    free(types);
    for (int32_t i = 0; status == MN_OK && i < v->n_tokens; i++)
        if (mn_is_end_marker(tokens[i].data, tokens[i].bytes)) v->types[i] = MN_TOKEN_CONTROL;
    return status;
}

/* Writes the piece of token i to out, which has room for its spelling. */
static mn_status put_piece(const mn_vocab *v, int32_t i, mn_gguf_string spelling, char *out, size_t *bytes,
                           mn_error *err) {
    int type = v->types[i];
    if (spelling.bytes > MN_MAX_TOKEN_BYTES)
        return mn_fail(err, MN_ERR_LIMIT, "Token %d is %zu bytes long; the limit is %d.", i, spelling.bytes,
                       MN_MAX_TOKEN_BYTES);
    if (type == MN_TOKEN_BYTE) {
        int byte = mn_spelling_hex_byte(spelling.data, spelling.bytes);
        if (byte < 0)
            return mn_fail(err, MN_ERR_FORMAT,
                           "Token %d is a byte token but is spelled \"%.*s\", not <0x00> to <0xFF>.", i,
                           SHOWN(spelling));
        *out = (char)byte;
        *bytes = 1;
        return MN_OK;
    }
    bool verbatim = type == MN_TOKEN_CONTROL || type == MN_TOKEN_UNKNOWN ||
                    (type == MN_TOKEN_USER_DEFINED && v->kind == MN_VOCAB_BPE);
    if (!verbatim && v->kind == MN_VOCAB_GREEDY) {
        *bytes = mn_spelling_unescape_bytes(spelling.data, spelling.bytes, out);
    } else if (!verbatim && v->kind != MN_VOCAB_BPE) {
        *bytes = mn_spelling_unescape(spelling.data, spelling.bytes, out);
    } else if (verbatim || !mn_spelling_decode_bytes(spelling.data, spelling.bytes, out, bytes)) {
        memcpy(out, spelling.data, spelling.bytes);
        *bytes = spelling.bytes;
    }
    return MN_OK;
}

static mn_status put_pieces(const mn_gguf_string *tokens, mn_vocab *v, mn_error *err) {
    size_t total = 1;
    for (int32_t i = 0; i < v->n_tokens; i++)
        if (!mn_add_size(total, tokens[i].bytes, &total)) return no_memory(err);
    v->text = malloc(total);
    v->offsets = malloc(((size_t)v->n_tokens + 1) * sizeof *v->offsets);
    if (!v->text || !v->offsets) return no_memory(err);
    v->offsets[0] = 0;
    for (int32_t i = 0; i < v->n_tokens; i++) {
        size_t bytes = 0;
        MN_TRY(put_piece(v, i, tokens[i], v->text + v->offsets[i], &bytes, err));
        v->offsets[i + 1] = v->offsets[i] + bytes;
    }
    return MN_OK;
}

/* The slot that holds these bytes, or the free slot where they belong. */
static mn_vocab_slot *probe(const mn_vocab *v, const char *piece, size_t bytes, uint32_t hash) {
    for (size_t i = hash & v->slot_mask;; i = (i + 1) & v->slot_mask) {
        mn_vocab_slot *slot = &v->slots[i];
        if (!slot->id_plus_one) return slot;
        if (slot->hash != hash) continue;
        size_t n;
        const char *other = mn_vocab_piece(v, slot->id_plus_one - 1, &n);
        if (n == bytes && !memcmp(other, piece, n)) return slot;
    }
}

/* Of several tokens with one piece, text means the last; all of them print. */
static mn_status index_tokens(mn_vocab *v, mn_error *err) {
    size_t n_slots = 16;
    while (n_slots < (size_t)v->n_tokens * 2) n_slots *= 2;
    v->slots = calloc(n_slots, sizeof *v->slots);
    if (!v->slots) return no_memory(err);
    v->slot_mask = n_slots - 1;
    for (int32_t i = 0; i < v->n_tokens; i++) {
        size_t bytes;
        const char *piece = mn_vocab_piece(v, i, &bytes);
        if (v->types[i] != MN_TOKEN_NORMAL || !bytes) continue;
        uint32_t hash = (uint32_t)XXH3_64bits(piece, bytes);
        *probe(v, piece, bytes, hash) = (mn_vocab_slot){hash, i + 1};
        v->max_bytes = MN_MAX(v->max_bytes, bytes);
    }
    return MN_OK;
}

static void find_bytes(mn_vocab *v) {
    for (int b = 0; b < 256; b++) v->byte_ids[b] = mn_vocab_find(v, (char[]){(char)b}, 1);
    for (int32_t i = 0; i < v->n_tokens; i++)
        if (v->types[i] == MN_TOKEN_BYTE && v->kind == MN_VOCAB_SPM)
            v->byte_ids[(unsigned char)v->text[v->offsets[i]]] = i;
}

static mn_status fill(const mn_gguf *gguf, const mn_gguf_string *tokens, mn_vocab *v, mn_error *err) {
    MN_TRY(read_types(gguf, tokens, v, err));
    MN_TRY(mn_roles_guard(gguf, v, tokens, err));
    MN_TRY(put_pieces(tokens, v, err));
    MN_TRY(index_tokens(v, err));
    MN_TRY(read_scores(gguf, v, err));
    find_bytes(v);
    return MN_OK;
}

mn_status mn_vocab_load(const mn_gguf *gguf, mn_vocab *out, mn_error *err) {
    *out = (mn_vocab){.unknown = -1};
    MN_TRY(read_kind(gguf, &out->kind, err));
    mn_gguf_string *tokens = NULL;
    size_t n = 0;
    bool found = false;
    MN_TRY(mn_gguf_get_strings(gguf, "tokenizer.ggml.tokens", &tokens, &n, &found, err));
    mn_status status;
    if (!found || !n) {
        status = mn_fail(err, MN_ERR_FORMAT, "The key tokenizer.ggml.tokens is %s.", found ? "empty" : "missing");
    } else if (n > MAX_TOKENS) {
        status = mn_fail(err, MN_ERR_LIMIT, "The vocabulary has %zu tokens; the limit is %d.", n, MAX_TOKENS);
    } else {
        out->n_tokens = (int32_t)n;
        status = fill(gguf, tokens, out, err);
    }
    free(tokens);
    return status;
}

void mn_vocab_release(mn_vocab *v) {
    free(v->text);
    free(v->offsets);
    free(v->types);
    free(v->scores);
    free(v->slots);
    *v = (mn_vocab){0};
}

int32_t mn_vocab_find(const mn_vocab *v, const char *piece, size_t bytes) {
    if (!bytes || bytes > v->max_bytes) return -1;
    return probe(v, piece, bytes, (uint32_t)XXH3_64bits(piece, bytes))->id_plus_one - 1;
}
