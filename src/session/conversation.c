#include "session/conversation.h"

#include "base/file.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

enum { MAX_FILE_BYTES = 1 << 28 };

static const char *const roles[] = {[MN_ENTRY_SYSTEM] = "system",
                                    [MN_ENTRY_TEXT] = "text",
                                    [MN_ENTRY_QUESTION] = "user",
                                    [MN_ENTRY_ANSWER] = "assistant"};

static void release_entry(mn_entry *e) {
    free(e->name);
    free(e->content);
}

mn_status mn_conversation_add(mn_conversation *c, mn_entry_kind kind, const char *name, const char *content,
                              mn_error *err) {
    if (c->n == c->capacity) {
        size_t capacity = c->capacity ? 2 * c->capacity : 16;
        mn_entry *grown = realloc(c->entries, capacity * sizeof *grown);
        if (!grown) return mn_fail(err, MN_ERR_MEMORY, "no memory for %zu messages.", capacity);
        c->entries = grown;
        c->capacity = capacity;
    }
    mn_entry e = {.kind = kind, .name = name ? strdup(name) : NULL, .content = strdup(content)};
    if (!e.content || (name && !e.name)) {
        release_entry(&e);
        return mn_fail(err, MN_ERR_MEMORY, "no memory for a message of %zu bytes.", strlen(content));
    }
    c->entries[c->n++] = e;
    return MN_OK;
}

void mn_conversation_remove(mn_conversation *c, size_t first, size_t n) {
    if (n == 0) return;
    for (size_t i = first; i < first + n; i++) release_entry(&c->entries[i]);
    memmove(c->entries + first, c->entries + first + n, (c->n - first - n) * sizeof *c->entries);
    c->n -= n;
}

void mn_conversation_release(mn_conversation *c) {
    mn_conversation_remove(c, 0, c->n);
    free(c->entries);
    *c = (mn_conversation){0};
}

size_t mn_conversation_n_messages(const mn_conversation *c) {
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++) n += c->entries[i].kind >= MN_ENTRY_QUESTION;
    return n;
}

void mn_conversation_document(const mn_conversation *c, mn_strbuf *out) {
    for (size_t i = 0; i < c->n; i++) {
        if (c->entries[i].kind != MN_ENTRY_TEXT) continue;
        if (out->bytes) mn_strbuf_putc(out, '\n');
        mn_strbuf_puts(out, c->entries[i].content);
    }
}

/* ---- as messages ---- */

/* Texts from entry *i on, and the question behind them; *i moves past what was taken. The caller frees it. */
static char *user_message(const mn_conversation *c, size_t *i) {
    mn_strbuf text = MN_STRBUF_INIT;
    for (; *i < c->n && c->entries[*i].kind == MN_ENTRY_TEXT; ++*i) {
        if (text.bytes) mn_strbuf_putc(&text, '\n');
        mn_strbuf_puts(&text, c->entries[*i].content);
    }
    if (*i < c->n && c->entries[*i].kind == MN_ENTRY_QUESTION) {
        if (text.bytes) mn_strbuf_puts(&text, "\n\n");
        mn_strbuf_puts(&text, c->entries[(*i)++].content);
    }
    return mn_strbuf_detach(&text, NULL);
}

mn_status mn_conversation_messages(const mn_conversation *c, mn_chat_message **out, size_t *n, mn_error *err) {
    *n = 0;
    *out = calloc(c->n + 1, sizeof **out);
    bool complete = *out;
    for (size_t i = 0; complete && i < c->n; ++*n) {
        mn_entry_kind kind = c->entries[i].kind;
        bool user = kind == MN_ENTRY_TEXT || kind == MN_ENTRY_QUESTION;
        char *content = user ? user_message(c, &i) : strdup(c->entries[i++].content);
        (*out)[*n] = (mn_chat_message){.role = roles[user ? MN_ENTRY_QUESTION : kind], .content = content};
        complete = content;
    }
    if (complete) return MN_OK;
    mn_conversation_free_messages(*out, *n);
    *out = NULL;
    return mn_fail(err, MN_ERR_MEMORY, "no memory for the conversation.");
}

void mn_conversation_free_messages(mn_chat_message *messages, size_t n) {
    for (size_t i = 0; messages && i < n; i++) free((char *)messages[i].content);
    free(messages);
}

/* ---- in a file ---- */

/* Sets `key` to the text, or "bytes" to its bytes as characters where it is no UTF-8. */
static void put_text(json_t *object, const char *key, const char *text) {
    json_t *value = json_string(text);
    if (value) {
        json_object_set_new(object, key, value);
        return;
    }
    mn_strbuf bytes = MN_STRBUF_INIT;
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p >= 0x80) mn_strbuf_putc(&bytes, (char)(0xc0 | *p >> 6));
        mn_strbuf_putc(&bytes, (char)(*p >= 0x80 ? 0x80 | (*p & 0x3f) : *p));
    }
    json_object_set_new(object, "bytes", json_stringn(bytes.data, bytes.bytes));
    mn_strbuf_release(&bytes);
}

static json_t *message_json(const mn_entry *e) {
    json_t *object = json_pack("{s:s}", "role", roles[e->kind]);
    json_t *name = e->name ? json_string(e->name) : NULL; /* one that is no UTF-8 is left out */
    if (name) json_object_set_new(object, "name", name);
    put_text(object, "content", e->content);
    return object;
}

mn_status mn_conversation_save(const mn_conversation *c, const char *path, mn_error *err) {
    json_t *messages = json_array();
    for (size_t i = 0; i < c->n; i++) json_array_append_new(messages, message_json(&c->entries[i]));
    json_t *object = json_pack("{s:o}", "messages", messages);
    char *text = object ? json_dumps(object, JSON_INDENT(1)) : NULL;
    json_decref(object);
    if (!text) return mn_fail(err, MN_ERR_MEMORY, "%s: no memory to write the conversation.", path);
    mn_writer writer;
    mn_status status = mn_writer_open(path, &writer, err);
    if (status == MN_OK) {
        mn_writer_put(&writer, text, strlen(text));
        status = mn_writer_commit(&writer, err);
    }
    free(text);
    return status;
}

static bool known_role(const char *role, mn_entry_kind *out) {
    for (size_t i = 0; role && i < sizeof roles / sizeof *roles; i++)
        if (!strcmp(role, roles[i])) {
            *out = (mn_entry_kind)i;
            return true;
        }
    return false;
}

/* The text that put_text stored; NULL where there is none. The caller frees it. */
static char *take_text(const json_t *message) {
    const char *content = json_string_value(json_object_get(message, "content"));
    const char *bytes = json_string_value(json_object_get(message, "bytes"));
    mn_strbuf out = MN_STRBUF_INIT;
    if (content || !bytes) return content ? strdup(content) : NULL;
    for (const unsigned char *p = (const unsigned char *)bytes; *p; p++) {
        bool high = *p >= 0x80;
        if (high && (*p & 0xfc) != 0xc0) { /* a character beyond 255 */
            mn_strbuf_release(&out);
            return NULL;
        }
        mn_strbuf_putc(&out, (char)(high ? (*p & 3) << 6 | (p[1] & 0x3f) : *p));
        p += high;
    }
    return mn_strbuf_detach(&out, NULL);
}

static mn_status take_messages(mn_conversation *c, const json_t *object, const char *path, mn_error *err) {
    const json_t *messages = json_object_get(object, "messages");
    const char *document = json_string_value(json_object_get(object, "document"));
    if (!json_is_array(messages)) return mn_fail(err, MN_ERR_FORMAT, "%s: has no list \"messages\".", path);
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const json_t *message = json_array_get(messages, i);
        mn_entry_kind kind;
        char *content = take_text(message);
        bool sound = known_role(json_string_value(json_object_get(message, "role")), &kind) && content;
        mn_status status =
            sound ? mn_conversation_add(c, kind, json_string_value(json_object_get(message, "name")), content, err)
                  : mn_fail(err, MN_ERR_FORMAT, "%s: message %zu lacks a role or its text.", path, i);
        free(content);
        MN_TRY(status);
    }
    return document && *document ? mn_conversation_add(c, MN_ENTRY_TEXT, NULL, document, err) : MN_OK;
}

mn_status mn_conversation_load(mn_conversation *c, const char *path, mn_error *err) {
    char *text;
    size_t bytes;
    json_error_t error;
    mn_conversation loaded = {0};
    MN_TRY(mn_file_read(path, MAX_FILE_BYTES, &text, &bytes, err));
    json_t *object = json_loadb(text, bytes, 0, &error);
    free(text);
    if (!object) return mn_fail(err, MN_ERR_FORMAT, "%s: line %d is no JSON: %s.", path, error.line, error.text);
    mn_status status = take_messages(&loaded, object, path, err);
    json_decref(object);
    if (status == MN_OK) {
        mn_conversation_release(c);
        *c = loaded;
    } else {
        mn_conversation_release(&loaded);
    }
    return status;
}
