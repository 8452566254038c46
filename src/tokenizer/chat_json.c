#include "tokenizer/chat_json.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static mn_status no_memory(mn_error *err) { return mn_fail(err, MN_ERR_MEMORY, "no memory for the conversation."); }

/* A value's JSON as text the caller frees; NULL for a value that is not there or is null. */
static mn_status dump(const json_t *value, char **out, mn_error *err) {
    *out = NULL;
    if (!value || json_is_null(value)) return MN_OK;
    *out = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    return *out ? MN_OK : no_memory(err);
}

static mn_status take_message(json_t *json, size_t index, mn_chat_message *out, mn_error *err) {
    const json_t *role = json_object_get(json, "role"), *content = json_object_get(json, "content");
    if (!json_is_string(role))
        return mn_fail(err, MN_ERR_FORMAT, "message %zu is no object with a \"role\" that is a string.", index);
    *out = (mn_chat_message){.role = json_string_value(role)};
    json_t *others = json_copy(json);
    if (!others) return no_memory(err);
    json_object_del(others, "role");
    bool is_text = json_is_string(content) && strlen(json_string_value(content)) == json_string_length(content);
    if (is_text) {
        out->content = json_string_value(content);
        json_object_del(others, "content");
    }
    char *fields = NULL;
    mn_status status = json_object_size(others) ? dump(others, &fields, err) : MN_OK;
    out->fields_json = fields;
    json_decref(others);
    return status;
}

static mn_status take(mn_chat_json *chat, mn_error *err) {
    json_t *root = chat->json, *messages = json_is_object(root) ? json_object_get(root, "messages") : root;
    if (!json_is_array(messages))
        return mn_fail(err, MN_ERR_FORMAT,
                       "a conversation is a list of messages, or an object with a list \"messages\".");
    chat->messages = calloc(json_array_size(messages) + 1, sizeof *chat->messages);
    if (!chat->messages) return no_memory(err);
    for (; chat->n_messages < json_array_size(messages); chat->n_messages++) {
        size_t i = chat->n_messages;
        MN_TRY(take_message(json_array_get(messages, i), i, &chat->messages[i], err));
    }
    if (!json_is_object(root)) return MN_OK;
    MN_TRY(dump(json_object_get(root, "tools"), &chat->tools_json, err));
    return dump(json_object_get(root, "chat_template_kwargs"), &chat->variables_json, err);
}

mn_status mn_chat_json_parse(const char *text, size_t bytes, mn_chat_json *out, mn_error *err) {
    json_error_t error;
    *out = (mn_chat_json){.json = json_loadb(text, bytes, JSON_ALLOW_NUL, &error)};
    if (!out->json)
        return mn_fail(err, MN_ERR_FORMAT, "the conversation is no JSON: %s (line %d).", error.text, error.line);
    return take(out, err);
}

void mn_chat_json_release(mn_chat_json *chat) {
    for (size_t i = 0; i < chat->n_messages; i++) free((char *)chat->messages[i].fields_json);
    free(chat->messages);
    free(chat->tools_json);
    free(chat->variables_json);
    json_decref(chat->json);
    *chat = (mn_chat_json){0};
}
