#include "cli/conversation.h"

#include "base/file.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

enum { MAX_FILE_BYTES = 1 << 28 };

/* The static spelling of a role, NULL for one that a conversation does not hold. */
static const char *known_role(const char *role) {
    static const char *const roles[] = {"system", "user", "assistant"};
    for (size_t i = 0; role && i < sizeof roles / sizeof *roles; i++)
        if (!strcmp(role, roles[i])) return roles[i];
    return NULL;
}

mn_status mn_conversation_add(mn_conversation *c, const char *role, const char *content, mn_error *err) {
    if (c->n == c->capacity) {
        size_t capacity = c->capacity ? 2 * c->capacity : 16;
        mn_chat_message *grown = realloc(c->messages, capacity * sizeof *grown);
        if (!grown) return mn_fail(err, MN_ERR_MEMORY, "no memory for %zu messages.", capacity);
        c->messages = grown;
        c->capacity = capacity;
    }
    char *copy = strdup(content);
    if (!copy) return mn_fail(err, MN_ERR_MEMORY, "no memory for a message of %zu bytes.", strlen(content));
    c->messages[c->n++] = (mn_chat_message){.role = known_role(role), .content = copy};
    return MN_OK;
}

void mn_conversation_drop(mn_conversation *c) {
    if (c->n) free((char *)c->messages[--c->n].content);
}

void mn_conversation_release(mn_conversation *c) {
    while (c->n) mn_conversation_drop(c);
    free(c->messages);
    mn_strbuf_release(&c->document);
    *c = (mn_conversation)MN_CONVERSATION_INIT;
}

mn_status mn_conversation_save(const mn_conversation *c, const char *path, mn_error *err) {
    json_t *messages = json_array(), *object = json_object();
    for (size_t i = 0; i < c->n; i++)
        json_array_append_new(messages,
                              json_pack("{s:s, s:s}", "role", c->messages[i].role, "content", c->messages[i].content));
    bool packed = messages && object && json_array_size(messages) == c->n;
    json_object_set_new(object, "messages", messages);
    packed = packed && json_object_set_new(object, "document", json_stringn(c->document.data, c->document.bytes)) == 0;
    char *text = packed ? json_dumps(object, JSON_INDENT(1)) : NULL;
    json_decref(object);
    if (!text)
        return mn_fail(err, MN_ERR_FORMAT,
                       "%s: the conversation holds bytes that are no UTF-8, which JSON cannot store.", path);
    mn_writer writer;
    mn_status status = mn_writer_open(path, &writer, err);
    if (status == MN_OK) {
        mn_writer_put(&writer, text, strlen(text));
        status = mn_writer_commit(&writer, err);
    }
    free(text);
    return status;
}

static mn_status take_messages(mn_conversation *c, const json_t *object, const char *path, mn_error *err) {
    const json_t *messages = json_object_get(object, "messages");
    const char *document = json_string_value(json_object_get(object, "document"));
    if (!json_is_array(messages)) return mn_fail(err, MN_ERR_FORMAT, "%s: has no list \"messages\".", path);
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const json_t *message = json_array_get(messages, i);
        const char *role = known_role(json_string_value(json_object_get(message, "role")));
        const char *content = json_string_value(json_object_get(message, "content"));
        if (!role || !content) return mn_fail(err, MN_ERR_FORMAT, "%s: message %zu lacks a role or its text.", path, i);
        MN_TRY(mn_conversation_add(c, role, content, err));
    }
    if (document) mn_strbuf_puts(&c->document, document);
    return MN_OK;
}

mn_status mn_conversation_load(mn_conversation *c, const char *path, mn_error *err) {
    char *text;
    size_t bytes;
    json_error_t error;
    mn_conversation loaded = MN_CONVERSATION_INIT;
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
