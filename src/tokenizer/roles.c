#include "tokenizer/roles.h"

#include "base/checked.h"

#include <stdio.h>
#include <string.h>

/* The first N_TURN_ENDS end a turn, most telling first; the others end an answer all the same. */
enum { N_TURN_ENDS = 10, N_END_MARKERS = 15 };
static const char *const end_markers[N_END_MARKERS] = {
    "<|eot_id|>", "<|return|>",    "<|eot|>",       "<turn|>",       "<|im_end|>",
    "<|end|>",    "<end_of_turn>", "<|endoftext|>", "<EOT>",         "<｜end▁of▁sentence｜>",
    "<|eom_id|>", "<|call|>",      "<|fim_pad|>",   "<|repo_name|>", "<|file_sep|>",
};

static int end_marker(const char *spelling, size_t bytes) {
    for (int i = 0; i < N_END_MARKERS; i++)
        if (strlen(end_markers[i]) == bytes && !memcmp(end_markers[i], spelling, bytes)) return i;
    return -1;
}

bool mn_is_end_marker(const char *spelling, size_t bytes) { return end_marker(spelling, bytes) >= 0; }

static void add_end(mn_roles *roles, int32_t id) {
    for (int i = 0; i < roles->n_ends; i++)
        if (roles->ends[i] == id) return;
    if (id >= 0 && roles->n_ends < MN_MAX_ENDS) roles->ends[roles->n_ends++] = id;
}

static int32_t find_control(const mn_vocab *v, const char *spelling) {
    for (int32_t id = 0; id < v->n_tokens; id++) {
        size_t bytes;
        const char *piece = mn_vocab_piece(v, id, &bytes);
        if (v->types[id] == MN_TOKEN_CONTROL && bytes == strlen(spelling) && !memcmp(piece, spelling, bytes)) return id;
    }
    return -1;
}

/* Where answers are messages in channels (session/channels.h), the end of a message is not that of the answer. */
static void drop_message_end(const mn_vocab *v, mn_roles *roles) {
    int32_t end = find_control(v, "<|end|>");
    if (end < 0 || end == roles->tokens.eos || find_control(v, "<|channel|>") < 0 || find_control(v, "<|return|>") < 0)
        return;
    for (int i = 0; i < roles->n_ends; i++)
        if (roles->ends[i] == end) roles->ends[i] = roles->ends[--roles->n_ends];
}

/* Every token spelled like an end marker ends an answer; of several spelled alike the last one is the end of turn. */
static void find_ends(const mn_vocab *v, mn_roles *roles) {
    int32_t ids[N_END_MARKERS];
    for (int i = 0; i < N_END_MARKERS; i++) ids[i] = -1;
    for (int32_t id = 0; id < v->n_tokens; id++) {
        size_t bytes;
        const char *piece = mn_vocab_piece(v, id, &bytes);
        int i = v->types[id] == MN_TOKEN_CONTROL ? end_marker(piece, bytes) : -1;
        if (i < 0) continue;
        ids[i] = id;
        add_end(roles, id);
    }
    for (int i = 0; i < N_TURN_ENDS; i++)
        if (roles->tokens.eot < 0) roles->tokens.eot = ids[i];
    drop_message_end(v, roles);
}

enum { NONE = -1, OUTSIDE = -2 }; /* an id that is not stated, or not in the vocabulary */

static bool in_vocabulary(const mn_vocab *v, int64_t id) { return id >= 0 && id < v->n_tokens; }

/* Where the file does not say, the id is what SentencePiece or WordPiece have by custom, else NONE. */
static mn_status read_id(const mn_gguf *gguf, const mn_vocab *v, const char *key, int32_t spm, int32_t wordpiece,
                         mn_roles *roles, int32_t *id, mn_error *err) {
    int64_t value = v->kind == MN_VOCAB_SPM ? spm : v->kind == MN_VOCAB_WORDPIECE ? wordpiece : NONE;
    bool found = false;
    MN_TRY(mn_gguf_get_i64(gguf, key, &value, &found, err));
    *id = in_vocabulary(v, value) ? (int32_t)value : found ? OUTSIDE : NONE;
    if (*id == OUTSIDE && roles->n_notes < MN_MAX_ROLE_NOTES)
        snprintf(roles->notes[roles->n_notes++], MN_ROLE_NOTE_BYTES,
                 "%s is %lld, but the vocabulary has the tokens 0 to %d; it counts as none.", key, (long long)value,
                 v->n_tokens - 1);
    return MN_OK;
}

/* Whether the token is to be added to texts. needed: then it must be there, else it is not added. */
static mn_status read_add(const mn_gguf *gguf, const char *key, const char *id_key, int32_t id, bool usual, bool needed,
                          bool *add, mn_error *err) {
    bool found = false;
    *add = usual && id != NONE;
    MN_TRY(mn_gguf_get_bool(gguf, key, add, &found, err));
    if (*add && id < 0 && needed)
        return mn_fail(err, MN_ERR_FORMAT, "%s is %s, but %s names no token of the vocabulary.", key,
                       found ? "true" : "not stated, which means true", id_key);
    *add = *add && id >= 0;
    return MN_OK;
}

/* A spelling that no text has by chance: "<s>", "[CLS]", "<|endoftext|>". */
static bool is_marker(mn_gguf_string s) {
    if (s.bytes < 3) return false;
    char first = s.data[0], last = s.data[s.bytes - 1];
    return (first == '<' && last == '>') || (first == '[' && last == ']');
}

mn_status mn_roles_guard(const mn_gguf *gguf, mn_vocab *v, const mn_gguf_string *tokens, mn_error *err) {
    static const char *const keys[] = {"tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id",
                                       "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"};
    bool add_bos = v->kind == MN_VOCAB_SPM, stated;
    MN_TRY(mn_gguf_get_bool(gguf, "tokenizer.ggml.add_bos_token", &add_bos, &stated, err));
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        int64_t id = i == 0 && v->kind == MN_VOCAB_SPM ? 1 : -1;
        bool found;
        MN_TRY(mn_gguf_get_i64(gguf, keys[i], &id, &found, err));
        if (!in_vocabulary(v, id)) continue;
        bool is_needed = i == 0 && add_bos; /* then it is BOS, however it is spelled */
        bool is_text = v->types[id] == MN_TOKEN_NORMAL && (is_needed || is_marker(tokens[id]));
        if (is_text || v->types[id] == MN_TOKEN_USER_DEFINED) v->types[id] = MN_TOKEN_CONTROL;
    }
    return MN_OK;
}

mn_status mn_roles_load(const mn_gguf *gguf, const mn_vocab *v, bool add_bos, mn_roles *out, mn_error *err) {
    bool is_wordpiece = v->kind == MN_VOCAB_WORDPIECE;
    const char *first = is_wordpiece ? "tokenizer.ggml.cls_token_id" : "tokenizer.ggml.bos_token_id",
               *last = is_wordpiece ? "tokenizer.ggml.seperator_token_id" /* as the format spells it */
                                    : "tokenizer.ggml.eos_token_id";
    mn_special_tokens *t = &out->tokens;
    int32_t message_end = -1;
    *out = (mn_roles){0};
    MN_TRY(read_id(gguf, v, first, 1, 101, out, &t->bos, err));
    MN_TRY(read_id(gguf, v, last, 2, 102, out, &t->eos, err));
    MN_TRY(read_id(gguf, v, "tokenizer.ggml.eot_token_id", -1, -1, out, &t->eot, err));
    MN_TRY(read_id(gguf, v, "tokenizer.ggml.eom_token_id", -1, -1, out, &message_end, err));
    MN_TRY(read_id(gguf, v, "tokenizer.ggml.unknown_token_id", 0, 100, out, &t->unknown, err));
    MN_TRY(read_id(gguf, v, "tokenizer.ggml.padding_token_id", -1, 0, out, &t->padding, err));
    add_end(out, t->eos);
    add_end(out, t->eot);
    add_end(out, message_end);
    find_ends(v, out);
    MN_TRY(read_add(gguf, "tokenizer.ggml.add_bos_token", first, t->bos, add_bos, true, &t->add_bos, err));
    MN_TRY(read_add(gguf, "tokenizer.ggml.add_eos_token", last, t->eos, is_wordpiece, is_wordpiece, &t->add_eos, err));
    int32_t *const ids[] = {&t->bos, &t->eos, &t->eot, &t->unknown, &t->padding};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) *ids[i] = MN_MAX(*ids[i], NONE);
    return MN_OK;
}
