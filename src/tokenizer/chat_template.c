#include "tokenizer/chat_template.h"

#include "jinja/ast.h"
#include "jinja/eval.h"
#include "jinja/format.h"
#include "jinja/json.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_SOURCE_BYTES = 256 << 10, MAX_STEPS = 4 << 20, BASE_BYTES = 64 << 20, BYTES_PER_INPUT_BYTE = 32 };

struct mn_chat_template {
    mn_arena arena;
    jinja_node *body;
};

mn_status mn_chat_template_create(const char *source, size_t bytes, mn_chat_template **out, mn_error *err) {
    if (bytes > MAX_SOURCE_BYTES)
        return mn_fail(err, MN_ERR_LIMIT, "the chat template has %zu bytes; at most %d are accepted.", bytes,
                       MAX_SOURCE_BYTES);
    mn_chat_template *t = calloc(1, sizeof *t);
    if (!t) return mn_fail(err, MN_ERR_MEMORY, "no memory for a chat template.");
    jinja_compile c = {.arena = &t->arena, .err = err};
    t->body = mn_jinja_parse(&c, source, bytes);
    if (c.status != MN_OK) {
        mn_chat_template_destroy(t);
        return c.status;
    }
    *out = t;
    return MN_OK;
}

void mn_chat_template_destroy(mn_chat_template *t) {
    if (!t) return;
    mn_arena_release(&t->arena);
    free(t);
}

static bool set(jinja_render *r, jinja_dict *dict, const char *name, jinja_value value) {
    return mn_jinja_dict_set(r, dict, mn_jinja_text(mn_jinja_borrow(name)), value);
}

static jinja_value template_text(const char *text) { return mn_jinja_text(mn_jinja_borrow(text ? text : "")); }

static bool message_text(jinja_render *r, const char *text, jinja_value *out) {
    jinja_builder b = mn_jinja_build(r);
    mn_jinja_put_bytes(&b, text, strlen(text), true);
    *out = mn_jinja_text((jinja_string){0});
    return mn_jinja_built(&b, &out->string);
}

/* The roles everybody uses are as good as the template's own words; any other is the caller's text. */
static bool role_text(jinja_render *r, const char *role, jinja_value *out) {
    static const char *const known[] = {"system", "user", "assistant", "tool", "developer"};
    *out = template_text(role);
    for (size_t i = 0; role && i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i], role) == 0) return true;
    return message_text(r, role ? role : "", out);
}

/* Adds the entries of a JSON object to dict; NULL adds nothing. */
static bool add_fields(jinja_render *r, const char *json, const char *what, jinja_dict *dict) {
    jinja_value fields;
    if (!json) return true;
    if (!mn_jinja_from_json(r, json, what, &fields)) return false;
    if (fields.kind != JINJA_DICT) return mn_jinja_fail(r, MN_ERR_ARGUMENT, "the %s are not a JSON object.", what);
    for (size_t i = 0; i < fields.dict->n; i++)
        if (!mn_jinja_dict_set(r, dict, fields.dict->keys[i], fields.dict->values[i])) return false;
    return true;
}

static bool message_value(jinja_render *r, const mn_chat_message *m, jinja_value *out) {
    jinja_value role, content;
    *out = (jinja_value){.kind = JINJA_DICT};
    if (!mn_jinja_new_dict(r, &out->dict) || !role_text(r, m->role, &role) || !set(r, out->dict, "role", role))
        return false;
    if (m->content && (!message_text(r, m->content, &content) || !set(r, out->dict, "content", content))) return false;
    return add_fields(r, m->fields_json, "message's fields", out->dict);
}

static bool make_variables(jinja_render *r, const mn_chat_message *messages, size_t n_messages,
                           const mn_chat_options *options, jinja_dict *variables) {
    jinja_list *list;
    jinja_value tools = {.kind = JINJA_NONE};
    if (!mn_jinja_new_list(r, n_messages, &list)) return false;
    for (; list->n < n_messages; list->n++)
        if (!message_value(r, &messages[list->n], &list->items[list->n])) return false;
    if (options->tools_json && !mn_jinja_from_json(r, options->tools_json, "tools", &tools)) return false;
    return set(r, variables, "messages", mn_jinja_list(list)) && set(r, variables, "tools", tools) &&
           set(r, variables, "documents", (jinja_value){.kind = JINJA_NONE}) &&
           set(r, variables, "bos_token", template_text(options->bos_token)) &&
           set(r, variables, "eos_token", template_text(options->eos_token)) &&
           set(r, variables, "add_generation_prompt", mn_jinja_bool(options->add_generation_prompt)) &&
           add_fields(r, options->variables_json, "template's variables", variables);
}

static size_t input_bytes(const mn_chat_message *messages, size_t n_messages, const mn_chat_options *options) {
    size_t total = n_messages + (options->tools_json ? strlen(options->tools_json) : 0) +
                   (options->variables_json ? strlen(options->variables_json) : 0);
    for (size_t i = 0; i < n_messages; i++) {
        if (messages[i].content) total += strlen(messages[i].content);
        if (messages[i].fields_json) total += strlen(messages[i].fields_json);
    }
    return total;
}

static bool is_marked(jinja_string s, size_t at) { return s.marks && s.marks[at]; }

/* Neighbouring bytes of the same mark are one span. spans NULL only counts them. */
static size_t list_spans(jinja_string s, mn_chat_span *spans) {
    size_t n = 0;
    for (size_t begin = 0, end; begin < s.bytes; begin = end, n++) {
        bool marked = is_marked(s, begin);
        for (end = begin + 1; end < s.bytes && is_marked(s, end) == marked;) end++;
        if (spans) spans[n] = (mn_chat_span){begin, end, marked};
    }
    return n;
}

static mn_status hand_over(jinja_string s, char **out, size_t *bytes, mn_chat_span **spans, size_t *n_spans,
                           mn_error *err) {
    *n_spans = list_spans(s, NULL);
    *bytes = s.bytes;
    *out = malloc(s.bytes + 1);
    *spans = malloc((*n_spans + 1) * sizeof **spans);
    if (!*out || !*spans) {
        free(*out);
        free(*spans);
        return mn_fail(err, MN_ERR_MEMORY, "no memory for %zu bytes of rendered chat.", s.bytes);
    }
    memcpy(*out, s.text, s.bytes);
    (*out)[s.bytes] = 0;
    list_spans(s, *spans);
    return MN_OK;
}

mn_status mn_chat_template_render(const mn_chat_template *t, const mn_chat_message *messages, size_t n_messages,
                                  const mn_chat_options *options, char **out, size_t *bytes, mn_chat_span **spans,
                                  size_t *n_spans, mn_error *err) {
    size_t given_bytes = input_bytes(messages, n_messages, options);
    if (given_bytes > (SIZE_MAX / 2 - BASE_BYTES) / BYTES_PER_INPUT_BYTE)
        return mn_fail(err, MN_ERR_LIMIT, "a conversation of %zu bytes is too long.", given_bytes);
    jinja_render r = {.err = err,
                      .steps_left = MAX_STEPS + (int64_t)given_bytes * BYTES_PER_INPUT_BYTE,
                      .max_bytes = BASE_BYTES + given_bytes * BYTES_PER_INPUT_BYTE,
                      .now = options->now ? options->now : (int64_t)time(NULL)};
    jinja_dict variables = {0};
    jinja_string text;
    mn_status status;
    if (make_variables(&r, messages, n_messages, options, &variables) && mn_jinja_run(&r, t->body, &variables, &text))
        status = hand_over(text, out, bytes, spans, n_spans, err);
    else
        status = r.status;
    mn_arena_release(&r.arena);
    return status;
}
