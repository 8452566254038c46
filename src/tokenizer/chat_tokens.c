#include "tokenizer/chat_tokens.h"

#include "tokenizer/named_template.h"

#include <stdlib.h>
#include <string.h>

mn_status mn_chat_template_load(const mn_gguf *gguf, char **out, mn_error *err) {
    mn_gguf_string text;
    bool found = false;
    *out = NULL;
    MN_TRY(mn_gguf_get_string(gguf, "tokenizer.chat_template", &text, &found, err));
    if (!found) return MN_OK;
    *out = strndup(text.data, text.bytes);
    const char *named = *out ? mn_named_template(*out) : NULL;
    if (named) {
        free(*out);
        *out = strdup(named);
    }
    return *out ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "no memory for a chat template.");
}

/* A control token's spelling as a string the caller frees; "" for id -1. */
static char *spelling(const mn_tokenizer *t, int32_t id) {
    size_t bytes = 0;
    const char *piece = id >= 0 ? mn_token_piece(t, id, true, &bytes) : "";
    return strndup(piece, bytes);
}

/* Tokenises a rendering: spans from messages are plain. */
static mn_status tokenize_rendering(const mn_tokenizer *t, const char *text, size_t bytes, const mn_chat_span *spans,
                                    size_t n_spans, int32_t **ids, size_t *n_ids, mn_error *err) {
    mn_text_range *plain = malloc((n_spans + 1) * sizeof *plain);
    size_t n_plain = 0;
    if (!plain) return mn_fail(err, MN_ERR_MEMORY, "no memory for %zu spans of a conversation.", n_spans);
    for (size_t i = 0; i < n_spans; i++)
        if (spans[i].from_message) plain[n_plain++] = (mn_text_range){spans[i].begin, spans[i].end};
    mn_status status = mn_tokenize_prompt(t, text, bytes, plain, n_plain, ids, n_ids, err);
    free(plain);
    return status;
}

static mn_status render(const mn_tokenizer *t, const mn_chat_template *template, const mn_chat_message *messages,
                        size_t n_messages, const mn_chat_options *given, int32_t **ids, size_t *n_ids, mn_error *err) {
    const mn_special_tokens *roles = mn_tokenizer_specials(t);
    char *bos = spelling(t, roles->bos), *eos = spelling(t, roles->eos), *text = NULL;
    mn_chat_options options = given ? *given : (mn_chat_options){.add_generation_prompt = true};
    if (!options.bos_token) options.bos_token = bos;
    if (!options.eos_token) options.eos_token = eos;
    mn_chat_span *spans = NULL;
    size_t bytes, n_spans;
    mn_status status =
        mn_chat_template_render(template, messages, n_messages, &options, &text, &bytes, &spans, &n_spans, err);
    if (status == MN_OK) status = tokenize_rendering(t, text, bytes, spans, n_spans, ids, n_ids, err);
    free(text);
    free(spans);
    free(bos);
    free(eos);
    return status;
}

mn_status mn_chat_tokens(const mn_tokenizer *t, const char *source, const mn_chat_message *messages, size_t n_messages,
                         const mn_chat_options *options, int32_t **ids, size_t *n_ids, mn_error *err) {
    mn_chat_template *template;
    MN_TRY(mn_chat_template_create(source, strlen(source), &template, err));
    mn_status status = render(t, template, messages, n_messages, options, ids, n_ids, err);
    mn_chat_template_destroy(template);
    return status;
}
