/* The functions of an agent: which there are, their schemas, and calling one safely. */
#include "memory/agent_inside.h"

#include "graph/turns.h"

#include <stdlib.h>
#include <string.h>

static const mn_function *const tables[] = {mn_core_functions, mn_search_functions};

const mn_function *mn_function_find(const char *name, mn_function_set set) {
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const mn_function *f = tables[t]; f->name; f++)
            if ((f->sets & set) && !strcmp(f->name, name)) return f;
    return NULL;
}

/* ---- schemas ---- */

static json_t *tool_of(const mn_function *f, bool with_heartbeat) {
    json_t *properties = json_loads(f->properties, 0, NULL);
    if (properties && with_heartbeat)
        json_object_set_new(properties, "request_heartbeat",
                            json_pack("{s:s, s:s}", "type", "boolean", "description", "go on after the result"));
    return json_pack("{s:s, s:{s:s, s:s, s:{s:s, s:o, s:o}}}", "type", "function", "function", "name", f->name,
                     "description", f->about, "parameters", "type", "object", "properties", properties, "required",
                     json_loads(f->required, 0, NULL));
}

char *mn_functions_json(mn_function_set set, bool with_heartbeat) {
    json_t *list = json_array();
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const mn_function *f = tables[t]; f->name; f++)
            if (f->sets & set) json_array_append_new(list, tool_of(f, with_heartbeat));
    char *text = json_dumps(list, JSON_COMPACT);
    json_decref(list);
    return text;
}

/* ---- arguments ---- */

mn_status mn_argument_text(const json_t *arguments, const char *name, const char **out, mn_error *err) {
    *out = json_string_value(json_object_get(arguments, name));
    return *out ? MN_OK : mn_fail(err, MN_ERR_ARGUMENT, "The argument \"%s\", a text, is missing.", name);
}

int64_t mn_argument_int(const json_t *arguments, const char *name, int64_t min, int64_t max, int64_t otherwise) {
    const json_t *value = json_object_get(arguments, name);
    int64_t n = json_is_integer(value) ? (int64_t)json_integer_value(value) : otherwise;
    if (json_is_string(value)) n = strtoll(json_string_value(value), NULL, 10);
    return n < min ? min : n > max ? max : n;
}

mn_status mn_argument_time(const json_t *arguments, const char *name, bool end, int64_t *out, mn_error *err) {
    enum { DAY = 24 * 60 * 60 };
    const char *text = json_string_value(json_object_get(arguments, name));
    *out = 0;
    if (!text || !*text) return MN_OK;
    int64_t time = mn_turn_time(text);
    if (time == MN_NO_TIME)
        return mn_fail(err, MN_ERR_ARGUMENT,
                       "\"%.60s\" is no date: %s is written like 2023-05-08 or 2023-05-08T13:56:00.", text, name);
    *out = end && time % DAY == 0 ? time + DAY - 1 : time;
    return MN_OK;
}

/* ---- calling ---- */

/* What the model is told of, instead of the caller. */
static bool is_told(mn_status status) {
    return status == MN_ERR_ARGUMENT || status == MN_ERR_FORMAT || status == MN_ERR_LIMIT;
}

static mn_status no_function(const char *name, mn_function_set set, mn_error *err) {
    mn_strbuf names = MN_STRBUF_INIT;
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const mn_function *f = tables[t]; f->name; f++)
            if (f->sets & set) mn_strbuf_printf(&names, "%s%s", names.bytes ? ", " : "", f->name);
    mn_status status =
        mn_fail(err, MN_ERR_ARGUMENT, "There is no function \"%.60s\"; there are: %s.", name, names.data);
    mn_strbuf_release(&names);
    return status;
}

static mn_status run(mn_agent *a, mn_function_set set, const char *name, const char *text, mn_function_result *out,
                     mn_error *err) {
    const mn_function *f = mn_function_find(name, set);
    if (!f) return no_function(name, set, err);
    json_t *arguments = *text ? json_loads(text, 0, NULL) : json_object();
    mn_status status = json_is_object(arguments)
                           ? f->run(a, arguments, out, err)
                           : mn_fail(err, MN_ERR_ARGUMENT, "The arguments of %s are no JSON object.", name);
    json_decref(arguments);
    return status;
}

/* {"status", "message", "time"}; what is no UTF-8 is marked. */
static char *result_json(bool failed, const char *message) {
    mn_memory_date now;
    char *clean = mn_clean_text(message, strlen(message));
    json_t *object = clean ? json_pack("{s:s, s:s, s:s}", "status", failed ? "Failed" : "OK", "message", clean, "time",
                                       mn_memory_date_text(now, mn_memory_now()))
                           : NULL;
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    free(clean);
    return text;
}

/* Nothing that the function wrote stays; the transaction goes on with the result alone. */
static mn_status undo(mn_agent *a, mn_function_result *out, mn_error *err) {
    mn_block_list blocks;
    free(out->said);
    out->said = NULL;
    out->edits_blocks = out->is_finished = false;
    if (a->is_rehearsal) return MN_OK; /* it has written nothing */
    mn_store_rollback(a->store);
    MN_TRY(mn_store_begin(a->store, err));
    MN_TRY(mn_core_list(a->store, a->row.id, &blocks, err));
    mn_block_list_release(&a->blocks);
    a->blocks = blocks;
    return MN_OK;
}

mn_status mn_function_call(mn_agent *a, mn_function_set set, const char *name, const char *arguments,
                           mn_function_result *out, char **result, bool *failed, mn_error *err) {
    mn_error why;
    *out = (mn_function_result){.text = MN_STRBUF_INIT};
    *result = NULL;
    mn_status status = run(a, set, name, arguments, out, &why);
    *failed = is_told(status);
    if (*failed)
        status = undo(a, out, err);
    else if (status != MN_OK && err)
        *err = why;
    if (status == MN_OK) {
        *result = result_json(*failed, *failed ? why.text : out->text.data);
        if (!*result || out->text.failed) status = mn_fail(err, MN_ERR_MEMORY, "There is no memory for a result.");
    }
    mn_strbuf_release(&out->text);
    if (status != MN_OK) {
        free(out->said);
        out->said = NULL;
    }
    return status;
}
