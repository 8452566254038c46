#include "session/compose.h"

#include "base/strbuf.h"
#include "session/engine.h"
#include "tokenizer/chat_tokens.h"

#include <stdlib.h>
#include <string.h>

mn_status mn_compose_chat(const mn_engine *e, const mn_chat_message *messages, size_t n_messages, mn_tokens *out,
                          mn_error *err) {
    *out = (mn_tokens){0};
    if (!e->chat_template)
        return mn_fail_with(err, MN_ERR_UNSUPPORTED, MN_REMEDIES({MN_REMEDY_ASK, 0}),
                            "%s has no chat template; ask about a text, or continue one.", mn_gguf_path(e->model.gguf));
    mn_status status =
        mn_chat_tokens(e->tokenizer, e->chat_template, messages, n_messages, NULL, &out->data, &out->n, err);
    if (status != MN_OK && status != MN_ERR_MEMORY && err) {
        err->remedies[0] = (mn_remedy){MN_REMEDY_TEMPLATE, 0};
        err->remedies[1] = (mn_remedy){MN_REMEDY_RAW, 0};
    }
    return status;
}

/* Blanks at the end of a document carry nothing, and a small model that has not met them there answers worse. */
static size_t without_blanks_at_end(const char *document) {
    size_t n = strlen(document);
    while (n > 0 && strchr(" \t\r\n", document[n - 1])) n--;
    return n;
}

static void join(mn_strbuf *text, const char *document, const char *separator, const char *prompt) {
    mn_strbuf_puts(text, document ? document : "");
    if (document && prompt) mn_strbuf_puts(text, separator);
    mn_strbuf_puts(text, prompt ? prompt : "");
}

static mn_status tokenize_plain(const mn_engine *e, const mn_strbuf *text, mn_tokens *out, mn_error *err) {
    if (text->failed) return mn_fail(err, MN_ERR_MEMORY, "no memory for the prompt.");
    const mn_text_range all = {0, text->bytes};
    return mn_tokenize_prompt(e->tokenizer, text->data, text->bytes, &all, 1, &out->data, &out->n, err);
}

static mn_status compose_messages(const mn_engine *e, const char *system, const mn_strbuf *text, mn_tokens *out,
                                  mn_error *err) {
    mn_chat_message messages[2] = {{.role = "system", .content = system}, {.role = "user", .content = text->data}};
    if (text->failed) return mn_fail(err, MN_ERR_MEMORY, "no memory for the prompt.");
    return mn_compose_chat(e, system ? messages : messages + 1, system ? 2 : 1, out, err);
}

bool mn_answers_in_one_line(const mn_engine *e, const char *document, bool raw) {
    return !raw && document && !e->chat_template && e->ask_template;
}

mn_status mn_compose_ask(const mn_engine *e, const char *system, const char *document, const char *prompt, bool raw,
                         mn_tokens *out, mn_error *err) {
    mn_strbuf text = MN_STRBUF_INIT;
    bool chat = e->chat_template && !raw;
    *out = (mn_tokens){0};
    if (system && !chat)
        return mn_fail_with(err, MN_ERR_UNSUPPORTED,
                            raw ? MN_REMEDIES({MN_REMEDY_NOT_RAW, 0}) : MN_REMEDIES({MN_REMEDY_PROMPT, 0}),
                            "a system prompt needs a chat template, and %s.",
                            raw ? "raw text is joined without one" : "this model has none; put it into the prompt");
    if (document && prompt && mn_answers_in_one_line(e, document, raw))
        mn_strbuf_fill(&text, e->ask_template,
                       (mn_mark[]){{"{document}", document, without_blanks_at_end(document)},
                                   {"{prompt}", prompt, strlen(prompt)}},
                       2);
    else
        join(&text, document, raw ? "" : chat ? "\n\n" : "\n", prompt);
    mn_status status = chat ? compose_messages(e, system, &text, out, err) : tokenize_plain(e, &text, out, err);
    mn_strbuf_release(&text);
    return status;
}
