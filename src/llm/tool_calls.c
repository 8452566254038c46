/* Calls of functions in what a model wrote. */
#include "llm/tool_calls.h"

#include "llm/tool_harmony.h"
#include "llm/wire.h"

#include <stdlib.h>
#include <string.h>

/* Adds the call that a JSON value describes; false where it is none. */
static bool add_json(mn_llm_reply *reply, const json_t *value, bool *no_memory) {
    const json_t *function = json_object_get(value, "function");
    if (json_is_object(function)) value = function;
    const char *name = json_string_value(json_object_get(value, "name"));
    const json_t *arguments = json_object_get(value, "arguments");
    if (!arguments) arguments = json_object_get(value, "parameters");
    if (!name || !*name || (arguments && !json_is_object(arguments) && !json_is_string(arguments))) return false;
    char id[24], *text = json_is_object(arguments) ? json_dumps(arguments, JSON_COMPACT) : NULL;
    snprintf(id, sizeof id, "call_%zu", reply->n_calls);
    const char *given = text ? text : json_is_string(arguments) ? json_string_value(arguments) : "{}";
    if (!mn_llm_reply_add_call(reply, id, name, given)) *no_memory = true;
    free(text);
    return !*no_memory;
}

/* A call or a list of calls at p; *end behind it. */
static bool add_at(mn_llm_reply *reply, const char *p, const char **end, bool *no_memory) {
    json_error_t error;
    json_t *value = json_loads(p, JSON_DISABLE_EOF_CHECK, &error);
    bool ok = false;
    if (json_is_array(value)) {
        ok = json_array_size(value) > 0;
        for (size_t i = 0; ok && i < json_array_size(value); i++)
            ok = add_json(reply, json_array_get(value, i), no_memory);
    } else if (value) {
        ok = add_json(reply, value, no_memory);
    }
    json_decref(value);
    if (ok) *end = p + error.position;
    return ok;
}

static const char *skip_blanks(const char *p) { return p + strspn(p, " \t\r\n"); }

/* Takes out of the text what lies in [begin, end). */
static void cut(char *begin, const char *end) { memmove(begin, end, strlen(end) + 1); }

static void take_hermes(mn_llm_reply *reply, bool *no_memory) {
    static const char open[] = "<tool_call>", close[] = "</tool_call>";
    for (char *at = reply->content; (at = strstr(at, open));) {
        const char *end;
        if (!add_at(reply, skip_blanks(at + sizeof open - 1), &end, no_memory)) {
            at += sizeof open - 1;
            continue;
        }
        end = skip_blanks(end);
        if (!strncmp(end, close, sizeof close - 1)) end += sizeof close - 1;
        cut(at, end);
    }
}

/* name[ARGS]{...} */
static bool add_named(mn_llm_reply *reply, const char *p, const char **end, bool *no_memory) {
    static const char mark[] = "[ARGS]";
    const char *args = strstr(p, mark);
    json_error_t error;
    char name[128];
    if (!args || args == p || (size_t)(args - p) >= sizeof name || memchr(p, ' ', (size_t)(args - p))) return false;
    snprintf(name, sizeof name, "%.*s", (int)(args - p), p);
    json_t *value = json_loads(args + sizeof mark - 1, JSON_DISABLE_EOF_CHECK, &error);
    json_t *call = json_is_object(value) ? json_pack("{s:s, s:O}", "name", name, "arguments", value) : NULL;
    bool ok = call && add_json(reply, call, no_memory);
    json_decref(call);
    json_decref(value);
    if (ok) *end = args + sizeof mark - 1 + error.position;
    return ok;
}

static void take_mistral(mn_llm_reply *reply, bool *no_memory) {
    static const char mark[] = "[TOOL_CALLS]";
    char *at = strstr(reply->content, mark);
    while (at) {
        const char *end, *p = skip_blanks(at + sizeof mark - 1);
        if (!(*p == '[' || *p == '{' ? add_at(reply, p, &end, no_memory) : add_named(reply, p, &end, no_memory)))
            return;
        cut(at, end);
        at = strstr(at, mark);
    }
}

/* The whole answer is a call. */
static void take_bare(mn_llm_reply *reply, bool *no_memory) {
    static const char tag[] = "<|python_tag|>", fence[] = "```";
    const char *p = skip_blanks(reply->content), *end;
    if (!strncmp(p, tag, sizeof tag - 1)) p = skip_blanks(p + sizeof tag - 1);
    if (!strncmp(p, fence, 3)) p = skip_blanks(p + 3 + strcspn(p + 3, "\n"));
    if ((*p != '{' && *p != '[') || !add_at(reply, p, &end, no_memory)) return;
    end = skip_blanks(end);
    while (!strncmp(end, fence, 3) || *end == ';') end = skip_blanks(end + (*end == ';' ? 1 : 3));
    cut(reply->content, end);
}

bool mn_tool_calls_take(mn_tool_format format, mn_llm_reply *reply) {
    bool no_memory = false;
    if (!reply->content) return true;
    if (format == MN_TOOLS_HARMONY) return mn_harmony_take(reply);
    take_hermes(reply, &no_memory);
    if (!reply->n_calls) take_bare(reply, &no_memory); /* first: its texts may hold a mark */
    if (!reply->n_calls) take_mistral(reply, &no_memory);
    if (reply->n_calls) {
        const char *text = skip_blanks(reply->content);
        cut(reply->content, text);
        reply->finish = MN_LLM_CALLS;
    }
    return !no_memory;
}
