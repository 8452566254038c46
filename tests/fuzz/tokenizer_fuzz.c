/* Fuzz target: any bytes taken for a model file; if it holds a tokenizer, the same bytes are the text. */
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "tokenizer/chat_tokens.h"

/* Ids are in range, and detokenising them works. */
static void check(const mn_tokenizer *t, const uint8_t *data, size_t bytes, bool special) {
    int32_t *ids;
    char *text;
    size_t n, text_bytes;
    mn_error err;
    if (mn_tokenize(t, (const char *)data, bytes, special, special, &ids, &n, &err)) {
        if (!err.text[0]) abort();
        return;
    }
    if (mn_detokenize(t, ids, n, special, &text, &text_bytes, &err)) abort();
    free(ids);
    free(text);
}

/* A prompt of nothing but text, and one with a user's text in its middle. Where the model wants BOS, a text has it once
 * and in front, whatever it spells. */
static void check_prompt(const mn_tokenizer *t, const uint8_t *data, size_t bytes) {
    const mn_text_range all = {0, bytes}, middle = {bytes / 3, bytes - bytes / 3};
    const mn_special_tokens *roles = mn_tokenizer_specials(t);
    int32_t *ids;
    size_t n, n_bos = 0;
    mn_error err;
    if (mn_tokenize_prompt(t, (const char *)data, bytes, &middle, 1, &ids, &n, &err) == MN_OK) free(ids);
    if (mn_tokenize_prompt(t, (const char *)data, bytes, &all, 1, &ids, &n, &err)) return;
    for (size_t i = 0; i < n; i++) n_bos += ids[i] == roles->bos;
    if (roles->add_bos && (n == 0 || ids[0] != roles->bos)) abort();
    if (roles->add_bos && roles->unknown != roles->bos && n_bos != 1) abort();
    free(ids);
}

/* The model's own template over a conversation; failing is fine. */
static void check_chat(const mn_gguf *gguf, const mn_tokenizer *t) {
    static const mn_chat_message messages[] = {{.role = "user", .content = "<s> hi"}, {.role = "assistant"}};
    char *source;
    int32_t *ids;
    size_t n;
    mn_error err;
    if (mn_chat_template_load(gguf, &source, &err) || !source) return;
    if (mn_chat_tokens(t, source, messages, 2, NULL, &ids, &n, &err) == MN_OK) free(ids);
    free(source);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    mn_gguf *gguf = NULL;
    mn_tokenizer *t = NULL;
    mn_error err;
    if (mn_gguf_parse("fuzz", data, bytes, &gguf, &err)) return 0;
    if (mn_tokenizer_create(gguf, &t, &err) == MN_OK) {
        check(t, data, bytes, false);
        check(t, data, bytes, true);
        check_prompt(t, data, bytes);
        check_chat(gguf, t);
    } else if (!err.text[0]) {
        abort();
    }
    mn_tokenizer_destroy(t);
    mn_gguf_close(gguf);
    return 0;
}
