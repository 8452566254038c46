/* Calls of functions as models of each format write them. */
#include "llm/tool_calls.h"
#include "llm/tool_harmony.h"
#include "llm/wire.h"

#include <stdlib.h>
#include <string.h>

mn_tool_format mn_tool_format_of(const char *source) {
    if (!source) return MN_TOOLS_JSON;
    if (strstr(source, "<|channel|>commentary") && strstr(source, "functions.")) return MN_TOOLS_HARMONY;
    if (strstr(source, "[TOOL_CALLS]")) return strstr(source, "[ARGS]") ? MN_TOOLS_MISTRAL_ARGS : MN_TOOLS_MISTRAL;
    if (strstr(source, "<tool_call>")) return MN_TOOLS_HERMES;
    if (strstr(source, "<|start_header_id|>") && strstr(source, "\"parameters\"")) return MN_TOOLS_LLAMA3;
    return MN_TOOLS_JSON;
}

const char *mn_tool_format_name(mn_tool_format format) {
    static const char *const names[] = {"json", "hermes", "llama3", "mistral", "mistral-args", "harmony"};
    return names[format];
}

mn_tool_format mn_tool_format_in(const char *answer) {
    return mn_harmony_begins(answer) ? MN_TOOLS_HARMONY : MN_TOOLS_JSON;
}

/* ---- writing ---- */

/* What a JSON value is in a text; NULL is {}. */
static void put_json(mn_strbuf *out, const json_t *value) {
    char *text = value ? json_dumps(value, JSON_ENCODE_ANY) : NULL;
    mn_strbuf_puts(out, text ? text : "{}");
    free(text);
}

static void put_name(mn_strbuf *out, const char *name) {
    json_t *value = json_string(name);
    put_json(out, value);
    json_decref(value);
}

static void put_object(mn_tool_format format, const mn_llm_call *call, mn_strbuf *out) {
    json_t *arguments = json_loads(call->arguments, 0, NULL);
    mn_strbuf_puts(out, "{\"name\": ");
    put_name(out, call->name);
    mn_strbuf_puts(out, format == MN_TOOLS_LLAMA3 ? ", \"parameters\": " : ", \"arguments\": ");
    put_json(out, json_is_object(arguments) ? arguments : NULL);
    mn_strbuf_puts(out, "}");
    json_decref(arguments);
}

static void put_list(mn_tool_format format, const mn_llm_call *calls, size_t n_calls, mn_strbuf *out) {
    for (size_t i = 0; i < n_calls; i++) {
        mn_strbuf_puts(out, i ? ", " : "[");
        put_object(format, &calls[i], out);
    }
    mn_strbuf_puts(out, "]");
}

static void put_args(const mn_llm_call *call, mn_strbuf *out) {
    json_t *arguments = json_loads(call->arguments, 0, NULL);
    mn_strbuf_printf(out, "[TOOL_CALLS]%s[ARGS]", call->name);
    put_json(out, json_is_object(arguments) ? arguments : NULL);
    json_decref(arguments);
}

void mn_tool_calls_write(mn_tool_format format, const mn_llm_call *calls, size_t n_calls, mn_strbuf *out) {
    if (!n_calls) return;
    if (format == MN_TOOLS_MISTRAL) {
        mn_strbuf_puts(out, "[TOOL_CALLS]");
        put_list(format, calls, n_calls, out);
    } else if ((format == MN_TOOLS_JSON || format == MN_TOOLS_LLAMA3) && n_calls > 1) {
        put_list(format, calls, n_calls, out);
    } else {
        for (size_t i = 0; i < n_calls; i++) {
            if (format == MN_TOOLS_HARMONY) {
                mn_harmony_write(&calls[i], i == 0, out);
                continue;
            }
            if (i) mn_strbuf_puts(out, "\n");
            if (format == MN_TOOLS_MISTRAL_ARGS) {
                put_args(&calls[i], out);
                continue;
            }
            mn_strbuf_puts(out, format == MN_TOOLS_HERMES ? "<tool_call>\n" : "");
            put_object(format, &calls[i], out);
            mn_strbuf_puts(out, format == MN_TOOLS_HERMES ? "\n</tool_call>" : "");
        }
    }
}

/* ---- what there is to call ---- */

static const json_t *function_of(const json_t *tool) {
    const json_t *function = json_object_get(tool, "function");
    return json_is_object(function) ? function : tool;
}

static json_t *call_schema(mn_tool_format format, const json_t *function) {
    const char *key = format == MN_TOOLS_LLAMA3 ? "parameters" : "arguments";
    json_t *given = json_object_get(function, "parameters"), *parameters = json_incref(given);
    if (!json_object_size(given)) { /* a function without any */
        json_decref(parameters);
        parameters = json_pack("{s:s, s:b}", "type", "object", "additionalProperties", 0);
    }
    json_t *schema = json_pack("{s:s, s:{s:{s:O}, s:o}, s:[s, s], s:b}", "type", "object", "properties", "name",
                               "const", json_object_get(function, "name"), key, parameters, "required", "name", key,
                               "additionalProperties", 0);
    return schema;
}

/* References in parameters are to definitions beside them: these come to the root, where "#/$defs/x" finds them. */
static void lift_definitions(json_t *schema, const json_t *function) {
    static const char *const keys[] = {"$defs", "definitions"};
    for (size_t k = 0; k < 2; k++) {
        json_t *defs = json_object_get(json_object_get(function, "parameters"), keys[k]);
        if (!json_is_object(defs)) continue;
        if (!json_object_get(schema, keys[k])) json_object_set_new(schema, keys[k], json_object());
        json_object_update_missing(json_object_get(schema, keys[k]), defs);
    }
}

mn_status mn_tool_calls_schema(mn_tool_format format, const char *tools_json, char **out, mn_error *err) {
    json_error_t where;
    json_t *tools = json_loads(tools_json, 0, &where), *schema = json_object(), *calls = json_array();
    size_t n = json_array_size(tools), i = 0;
    *out = NULL;
    json_object_set_new(schema, "anyOf", calls);
    for (; i < n; i++) {
        const json_t *function = function_of(json_array_get(tools, i));
        const char *name = json_string_value(json_object_get(function, "name"));
        if (!name || !*name || json_array_append_new(calls, call_schema(format, function))) break;
        lift_definitions(schema, function);
    }
    if (i == n && n > 0) *out = json_dumps(schema, JSON_COMPACT);
    json_decref(schema);
    json_decref(tools);
    if (*out) return MN_OK;
    if (!n) return mn_fail(err, MN_ERR_FORMAT, "the tools are no list of functions in JSON.");
    return mn_fail(err, MN_ERR_FORMAT, "tool %zu of %zu is no function with a name.", i + 1, n);
}

void mn_tool_calls_prompt(const char *tools_json, mn_strbuf *out) {
    json_t *tools = json_loads(tools_json, 0, NULL);
    mn_strbuf_puts(out, "Functions that can be called:\n");
    for (size_t i = 0; i < json_array_size(tools); i++) {
        put_json(out, function_of(json_array_get(tools, i)));
        mn_strbuf_puts(out, "\n");
    }
    mn_strbuf_puts(out, "A call is one JSON object and nothing else: {\"name\": NAME, \"arguments\": {...}}");
    json_decref(tools);
}
