#include "train/chat_lines.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_MESSAGES = 4096 };

typedef struct conversation {
    mn_chat_message *messages;
    size_t n;
    const mn_chat_template *template;
    char *bos, *eos;
} conversation;

typedef struct rendering {
    char *text;
    size_t bytes, n_spans;
    mn_chat_span *spans;
} rendering;

static char *spelling(const mn_tokenizer *t, int32_t id) {
    size_t bytes = 0;
    const char *piece = id >= 0 ? mn_token_piece(t, id, true, &bytes) : "";
    return strndup(piece, bytes);
}

static mn_status render(const conversation *c, size_t n, bool prompt, rendering *out, mn_error *err) {
    mn_chat_options options = {.bos_token = c->bos, .eos_token = c->eos, .add_generation_prompt = prompt};
    *out = (rendering){0};
    return mn_chat_template_render(c->template, c->messages, n, &options, &out->text, &out->bytes, &out->spans,
                                   &out->n_spans, err);
}

static void release(rendering *r) {
    free(r->text);
    free(r->spans);
}

static size_t common_bytes(const rendering *a, const rendering *b) {
    size_t n = 0;
    while (n < a->bytes && n < b->bytes && a->text[n] == b->text[n]) n++;
    return n;
}

/* How much of the whole conversation the first n messages (and the next one's opening) are, blanks at their end aside:
 * some templates put more of them behind the last. Templates that rewrite earlier turns have no such place. */
static mn_status prefix_bytes(const conversation *c, size_t n, bool prompt, const rendering *whole, size_t *out,
                              mn_error *err) {
    rendering part;
    mn_status status = render(c, n, prompt, &part, err);
    if (status == MN_OK) {
        size_t end = *out = common_bytes(&part, whole);
        while (end < part.bytes && strchr(" \n", part.text[end])) end++;
        if (end < part.bytes)
            status = mn_fail(err, MN_ERR_UNSUPPORTED,
                             "the chat template renders the first %zu messages otherwise when more follow: answers "
                             "cannot be told from the rest.",
                             n);
    }
    release(&part);
    return status;
}

static mn_status mark_answers(const conversation *c, const rendering *whole, mn_document_draft *out, mn_error *err) {
    size_t at = 0;
    for (size_t i = 0; i < c->n; i++) {
        size_t begin, end;
        if (strcmp(c->messages[i].role, "assistant")) continue;
        MN_TRY(prefix_bytes(c, i, true, whole, &begin, err));
        MN_TRY(prefix_bytes(c, i + 1, false, whole, &end, err));
        if (begin < at || end < begin) continue;
        mn_draft_put(out, MN_ROLE_PROMPT, whole->text + at, begin - at);
        mn_draft_put(out, MN_ROLE_VALUE, whole->text + begin, end - begin);
        at = end;
    }
    mn_draft_put(out, MN_ROLE_PROMPT, whole->text + at, whole->bytes - at);
    return MN_OK;
}

static mn_status copy_plain(const rendering *r, mn_document_draft *out, mn_error *err) {
    out->plain = malloc((r->n_spans + 1) * sizeof *out->plain);
    out->n_plain = 0;
    if (!out->plain) return mn_fail(err, MN_ERR_MEMORY, "no memory for %zu spans of a conversation.", r->n_spans);
    for (size_t i = 0; i < r->n_spans; i++)
        if (r->spans[i].from_message) out->plain[out->n_plain++] = (mn_text_range){r->spans[i].begin, r->spans[i].end};
    return MN_OK;
}

static mn_status draft_conversation(const conversation *c, mn_document_draft *out, mn_error *err) {
    rendering whole;
    mn_status status = render(c, c->n, false, &whole, err);
    if (status == MN_OK) status = mark_answers(c, &whole, out, err);
    if (status == MN_OK) status = copy_plain(&whole, out, err);
    release(&whole);
    return status;
}

static mn_status read_messages(const json_t *list, conversation *c, mn_error *err) {
    c->n = json_array_size(list);
    if (c->n == 0 || c->n > MAX_MESSAGES)
        return mn_fail(err, MN_ERR_FORMAT, "\"messages\" is no list of 1 to %d messages.", MAX_MESSAGES);
    c->messages = calloc(c->n, sizeof *c->messages);
    if (!c->messages) return mn_fail(err, MN_ERR_MEMORY, "no memory for %zu messages.", c->n);
    for (size_t i = 0; i < c->n; i++) {
        const json_t *m = json_array_get(list, i);
        c->messages[i].role = json_string_value(json_object_get(m, "role"));
        c->messages[i].content = json_string_value(json_object_get(m, "content"));
        if (!c->messages[i].role || !c->messages[i].content)
            return mn_fail(err, MN_ERR_FORMAT, "message %zu has no \"role\" or no \"content\" that is a text.", i + 1);
    }
    return MN_OK;
}

static mn_status draft_messages(const json_t *list, const mn_chat_template *template, const mn_tokenizer *t,
                                mn_document_draft *out, mn_error *err) {
    const mn_special_tokens *special = mn_tokenizer_specials(t);
    if (!template)
        return mn_fail(err, MN_ERR_UNSUPPORTED, "a conversation needs a chat template, and this model has none.");
    conversation c = {.template = template, .bos = spelling(t, special->bos), .eos = spelling(t, special->eos)};
    mn_status status = c.bos && c.eos ? read_messages(list, &c, err) : mn_fail(err, MN_ERR_MEMORY, "no memory.");
    if (status == MN_OK) status = draft_conversation(&c, out, err);
    free(c.messages);
    free(c.bos);
    free(c.eos);
    return status;
}

mn_status mn_json_line_draft(const char *line, size_t bytes, const mn_chat_template *template, const mn_tokenizer *t,
                             mn_document_draft *out, mn_error *err) {
    json_error_t problem;
    mn_status status = MN_OK;
    mn_draft_reset(out);
    json_t *object = json_loadb(line, bytes, 0, &problem);
    if (!object) return mn_fail(err, MN_ERR_FORMAT, "no JSON: %s.", problem.text);
    const json_t *text = json_object_get(object, "text"), *messages = json_object_get(object, "messages");
    if (json_is_string(text))
        mn_draft_put(out, MN_ROLE_TEXT, json_string_value(text), json_string_length(text));
    else if (json_is_array(messages))
        status = draft_messages(messages, template, t, out, err);
    else
        status = mn_fail(err, MN_ERR_FORMAT, "neither a \"text\" nor \"messages\" in the line.");
    json_decref(object);
    return status;
}
