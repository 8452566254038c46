#include "tokenizer/roles.h"

#include <string.h>

/* The first N_TURN_ENDS end a turn, most telling first; the others end an answer all the same. */
enum { N_TURN_ENDS = 7, N_END_MARKERS = 11 };
static const char *const end_markers[N_END_MARKERS] = {
    "<|eot_id|>", "<|im_end|>",  "<|end|>",       "<end_of_turn>", "<|endoftext|>", "<EOT>", "<｜end▁of▁sentence｜>",
    "<|eom_id|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>",
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

static void find_ends(const mn_vocab *v, mn_roles *roles) {
    int32_t ids[N_END_MARKERS];
    for (int i = 0; i < N_END_MARKERS; i++) ids[i] = -1;
    for (int32_t id = 0; id < v->n_tokens; id++) {
        size_t bytes;
        const char *piece = mn_vocab_piece(v, id, &bytes);
        int i = v->types[id] == MN_TOKEN_CONTROL ? end_marker(piece, bytes) : -1;
        if (i >= 0) ids[i] = id;
    }
    for (int i = 0; i < N_END_MARKERS; i++) {
        if (i < N_TURN_ENDS && roles->tokens.eot < 0) roles->tokens.eot = ids[i];
        add_end(roles, ids[i]);
    }
}

/* Where the file does not say, the id is what SentencePiece or WordPiece have by custom, else none (-1). */
static mn_status read_id(const mn_gguf *gguf, const mn_vocab *v, const char *key, int32_t spm, int32_t wordpiece,
                         int32_t *id, mn_error *err) {
    int64_t value = v->kind == MN_VOCAB_SPM ? spm : v->kind == MN_VOCAB_WORDPIECE ? wordpiece : -1;
    bool found = false;
    MN_TRY(mn_gguf_get_i64(gguf, key, &value, &found, err));
    bool in_range = value >= 0 && value < v->n_tokens;
    if (found && !in_range)
        return mn_fail(err, MN_ERR_FORMAT, "%s is %lld, but the vocabulary has the tokens 0 to %d.", key,
                       (long long)value, v->n_tokens - 1);
    *id = in_range ? (int32_t)value : -1;
    return MN_OK;
}

static mn_status read_add(const mn_gguf *gguf, const char *key, int32_t id, bool usual, bool *add, mn_error *err) {
    bool found = false;
    *add = usual && id >= 0;
    MN_TRY(mn_gguf_get_bool(gguf, key, add, &found, err));
    if (*add && id < 0)
        return mn_fail(err, MN_ERR_FORMAT, "%s is true, but the file does not say which token that is.", key);
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
    MN_TRY(read_id(gguf, v, first, 1, 101, &t->bos, err));
    MN_TRY(read_id(gguf, v, last, 2, 102, &t->eos, err));
    MN_TRY(read_id(gguf, v, "tokenizer.ggml.eot_token_id", -1, -1, &t->eot, err));
    MN_TRY(read_id(gguf, v, "tokenizer.ggml.eom_token_id", -1, -1, &message_end, err));
    MN_TRY(read_id(gguf, v, "tokenizer.ggml.unknown_token_id", 0, 100, &t->unknown, err));
    MN_TRY(read_id(gguf, v, "tokenizer.ggml.padding_token_id", -1, 0, &t->padding, err));
    add_end(out, t->eos);
    add_end(out, t->eot);
    add_end(out, message_end);
    find_ends(v, out);
    MN_TRY(read_add(gguf, "tokenizer.ggml.add_bos_token", t->bos, add_bos, &t->add_bos, err));
    return read_add(gguf, "tokenizer.ggml.add_eos_token", t->eos, is_wordpiece, &t->add_eos, err);
}
