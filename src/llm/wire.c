/* Messages, requests and replies as OpenAI's JSON. */
#include "llm/wire.h"

#include <stdlib.h>
#include <string.h>

json_t *mn_llm_calls_json(const mn_llm_call *calls, size_t n_calls) {
    json_t *list = json_array();
    for (size_t i = 0; i < n_calls; i++) {
        json_t *call = json_pack("{s:s, s:s, s:{s:s, s:s}}", "id", calls[i].id, "type", "function", "function", "name",
                                 calls[i].name, "arguments", calls[i].arguments);
        if (json_array_append_new(list, call)) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

json_t *mn_llm_message_json(const mn_llm_message *m) {
    json_t *message = json_pack("{s:s, s:s?}", "role", m->role, "content", m->content);
    if (message && m->n_calls && json_object_set_new(message, "tool_calls", mn_llm_calls_json(m->calls, m->n_calls))) {
        json_decref(message);
        return NULL;
    }
    if (message && m->call_id) json_object_set_new(message, "tool_call_id", json_string(m->call_id));
    return message;
}

static json_t *messages_json(const mn_llm_request *r) {
    json_t *list = json_array();
    for (size_t i = 0; i < r->n_messages; i++)
        if (json_array_append_new(list, mn_llm_message_json(&r->messages[i]))) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static bool set_parsed(json_t *object, const char *key, const char *text) {
    json_t *value = json_loads(text, 0, NULL);
    return value && !json_object_set_new(object, key, value);
}

json_t *mn_llm_request_json(const mn_llm_request *r) {
    json_t *object = json_object();
    bool ok = !json_object_set_new(object, "messages", messages_json(r));
    json_object_set_new(object, "temperature", json_real(r->temperature));
    json_object_set_new(object, "max_tokens", json_integer(r->max_tokens > 0 ? r->max_tokens : 1024));
    if (r->seed) json_object_set_new(object, "seed", json_integer((json_int_t)(r->seed & INT64_MAX)));
    if (ok && r->tools_json) ok = set_parsed(object, "tools", r->tools_json);
    if (ok && r->tools_json && r->tool_choice == MN_LLM_TOOLS_REQUIRED)
        json_object_set_new(object, "tool_choice", json_string("required"));
    if (ok && r->schema_json) {
        json_t *format = json_pack("{s:s, s:{s:s}}", "type", "json_schema", "json_schema", "name", "answer");
        ok = set_parsed(json_object_get(format, "json_schema"), "schema", r->schema_json) &&
             !json_object_set(object, "response_format", format);
        json_decref(format);
    }
    if (ok) return object;
    json_decref(object);
    return NULL;
}

bool mn_llm_reply_add_call(mn_llm_reply *reply, const char *id, const char *name, const char *arguments) {
    if (reply->n_calls == MN_LLM_MAX_CALLS) return false;
    mn_llm_call *calls = realloc(reply->calls, (reply->n_calls + 1) * sizeof *calls);
    if (!calls) return false;
    reply->calls = calls;
    mn_llm_call *call = &calls[reply->n_calls];
    *call = (mn_llm_call){strdup(id ? id : ""), strdup(name ? name : ""), strdup(arguments ? arguments : "")};
    reply->n_calls++;
    return call->id && call->name && call->arguments;
}

bool mn_llm_calls_parse(const char *text, mn_llm_reply *reply) {
    json_t *list = json_loads(text, 0, NULL);
    bool ok = true;
    for (size_t i = 0; ok && i < json_array_size(list); i++) {
        const json_t *call = json_array_get(list, i), *function = json_object_get(call, "function");
        ok = mn_llm_reply_add_call(reply, json_string_value(json_object_get(call, "id")),
                                   json_string_value(json_object_get(function, "name")),
                                   json_string_value(json_object_get(function, "arguments")));
    }
    json_decref(list);
    return ok;
}

static const char *const finish_names[] = {"stop", "length", "tool_calls", "cancelled"};

const char *mn_llm_finish_name(mn_llm_finish finish) { return finish_names[finish]; }

mn_llm_finish mn_llm_finish_of(const char *name) {
    for (int i = 0; name && i < 4; i++)
        if (!strcmp(name, finish_names[i])) return (mn_llm_finish)i;
    return MN_LLM_END;
}
