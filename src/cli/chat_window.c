/* What fills a conversation's window. */
#include "cli/chat.h"
#include "cli/window.h"

#include <mnemo/tokenizer.h>

#include <stdlib.h>
#include <string.h>

enum { SHOWN_BYTES = 40 };

static mn_status compose_chat(const chat *c, mn_tokens *out, mn_error *err) {
    mn_chat_message *messages;
    size_t n;
    MN_TRY(mn_conversation_messages(&c->talk, &messages, &n, err));
    mn_status status = mn_compose_chat(c->engine, messages, n, out, err);
    mn_conversation_free_messages(messages, n);
    return status;
}

/* All that was read, typed and answered, one after the other. */
static mn_status compose_raw(const chat *c, mn_tokens *out, mn_error *err) {
    mn_strbuf text = MN_STRBUF_INIT;
    for (size_t i = 0; i < c->talk.n; i++) {
        if (i > 0) mn_strbuf_putc(&text, '\n');
        mn_strbuf_puts(&text, c->talk.entries[i].content);
    }
    mn_status status = text.failed ? mn_fail(err, MN_ERR_MEMORY, "no memory for the texts.")
                                   : mn_compose_ask(c->engine, NULL, NULL, text.data, true, out, err);
    mn_strbuf_release(&text);
    return status;
}

mn_status chat_compose(const chat *c, mn_tokens *out, mn_error *err) {
    if (c->raw) return compose_raw(c, out, err);
    if (chat_has_template(c)) return compose_chat(c, out, err);
    const mn_entry *last = c->talk.n ? &c->talk.entries[c->talk.n - 1] : NULL;
    mn_strbuf document = MN_STRBUF_INIT;
    mn_conversation_document(&c->talk, &document);
    const char *question = last && last->kind == MN_ENTRY_QUESTION ? last->content : "";
    mn_status status = document.failed ? mn_fail(err, MN_ERR_MEMORY, "no memory for the texts.")
                                       : mn_compose_ask(c->engine, NULL, document.bytes ? document.data : NULL,
                                                        question, false, out, err);
    mn_strbuf_release(&document);
    return status;
}

static int64_t count(const chat *c, const mn_entry *e) {
    int32_t *ids;
    size_t n;
    mn_error none;
    const mn_tokenizer *tokenizer = mn_engine_tokenizer(c->engine);
    if (mn_tokenize(tokenizer, e->content, strlen(e->content), false, false, &ids, &n, &none)) return 0;
    free(ids);
    return (int64_t)n;
}

/* A template may refuse a conversation that is not finished; what was said then counts without what it adds. */
int64_t chat_n_tokens(const chat *c) {
    mn_tokens tokens;
    mn_error none;
    int64_t n = 0;
    if (c->talk.n > 0 && chat_compose(c, &tokens, &none) == MN_OK) {
        n = (int64_t)tokens.n;
        free(tokens.data);
        return n;
    }
    for (size_t i = 0; i < c->talk.n; i++) n += count(c, &c->talk.entries[i]);
    return n;
}

bool chat_item_at(const chat *c, int index, chat_item *out) {
    for (size_t i = 0; i < c->talk.n; i++) {
        const mn_entry *e = &c->talk.entries[i];
        bool text = e->kind == MN_ENTRY_TEXT, answered = i + 1 < c->talk.n && e[1].kind == MN_ENTRY_ANSWER;
        if (!text && !(e->kind == MN_ENTRY_QUESTION && answered && (c->raw || chat_has_template(c)))) continue;
        if (index-- > 0) continue;
        *out = (chat_item){.first = i, .n = text ? 1 : 2, .n_tokens = count(c, e) + (text ? 0 : count(c, e + 1))};
        return true;
    }
    return false;
}

const char *chat_item_text(const chat *c, const chat_item *item, chat_item_name out) {
    const mn_entry *e = &c->talk.entries[item->first];
    int shown = (int)strnlen(e->content, SHOWN_BYTES);
    while (e->content[shown] && shown > 0 && ((unsigned char)e->content[shown] & 0xc0) == 0x80) shown--;
    if (e->kind == MN_ENTRY_TEXT)
        snprintf(out, sizeof(chat_item_name), "the text %.80s (%lld tokens)", e->name ? e->name : "that was read",
                 (long long)item->n_tokens);
    else
        snprintf(out, sizeof(chat_item_name), "the question \"%.*s%s\" and its answer (%lld tokens)", shown, e->content,
                 e->content[shown] ? "..." : "", (long long)item->n_tokens);
    return out;
}

mn_status chat_check_window(const chat *c, int64_t n_tokens, mn_error *err) {
    int64_t n_ctx = mn_session_n_ctx(c->session);
    chat_item item;
    chat_item_name name;
    char drop[256] = "Ask a shorter question", start[160] = "";
    mn_window_flags_text flags;
    if (n_tokens < n_ctx) return MN_OK;
    if (chat_item_at(c, 0, &item)) snprintf(drop, sizeof drop, "/drop forgets %s", chat_item_text(c, &item, name));
    if (mn_window_flags(&mn_given_model, c->engine, n_tokens + MN_ANSWER_TOKENS, flags))
        snprintf(start, sizeof start, "; chat with %s has room", flags);
    return mn_fail(err, MN_ERR_LIMIT, "with this the conversation is %lld tokens, and the window holds %lld. %s%s.",
                   (long long)n_tokens, (long long)n_ctx, drop, start);
}
