#include "llm/tool_grammar.h"
#include "llm/tool_grammar_parts.h"

#include "grammar/json_schema.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

int32_t mn_call_grammar_mark(mn_call_grammar *c, int32_t from, const char *mark) {
    int32_t id = mn_tokenizer_find_special(c->tokenizer, mark, strlen(mark)), to = mn_grammar_state(c->g);
    size_t bytes = 1;
    if (id >= 0) mn_token_piece(c->tokenizer, id, false, &bytes);
    if (bytes > 0) return mn_grammar_text(c->g, from, mark, strlen(mark));
    mn_grammar_symbols(c->g, from, MN_SYMBOL_TOKEN + (uint32_t)id, MN_SYMBOL_TOKEN + (uint32_t)id, to);
    return to;
}

mn_status mn_call_grammar_object(mn_call_grammar *c, mn_tool_format format, const char *tools_json, int32_t *rule,
                                 mn_error *err) {
    char *schema;
    MN_TRY(mn_tool_calls_schema(format, tools_json, &schema, err));
    mn_status status = mn_json_schema_add(c->g, schema, strlen(schema), MN_JSON_BLANKS_ONE, rule, err);
    free(schema);
    return status;
}

/* The schema's objects have the name and the arguments side by side, so that each tool is asked for alone. */
static mn_status put_tool(mn_call_grammar *c, const json_t *tool, int32_t from, mn_call_grammar_between *between,
                          int32_t to, mn_error *err) {
    const json_t *function = json_object_get(tool, "function") ? json_object_get(tool, "function") : tool;
    const char *name = json_string_value(json_object_get(function, "name"));
    json_t *parameters = json_object_get(function, "parameters");
    char *schema = json_object_size(parameters) ? json_dumps(parameters, JSON_COMPACT)
                                                : strdup("{\"type\":\"object\",\"additionalProperties\":false}");
    int32_t rule;
    if (!schema) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for the grammar of the tools.");
    mn_status status = mn_json_schema_add(c->g, schema, strlen(schema), MN_JSON_BLANKS_ONE, &rule, err);
    free(schema);
    MN_TRY(status);
    mn_grammar_call(c->g, between(c, mn_grammar_text(c->g, from, name, strlen(name))), rule, to);
    return MN_OK;
}

int32_t mn_call_grammar_args_mark(mn_call_grammar *c, int32_t from) { return mn_call_grammar_mark(c, from, "[ARGS]"); }

mn_status mn_call_grammar_each(mn_call_grammar *c, const char *tools_json, int32_t from,
                               mn_call_grammar_between *between, int32_t to, mn_error *err) {
    char *checked; /* for the errors of a list that is none */
    MN_TRY(mn_tool_calls_schema(MN_TOOLS_JSON, tools_json, &checked, err));
    free(checked);
    json_t *tools = json_loads(tools_json, 0, NULL), *tool;
    mn_status status = MN_OK;
    size_t i;
    json_array_foreach(tools, i, tool) if (status == MN_OK) status = put_tool(c, tool, from, between, to, err);
    json_decref(tools);
    return status;
}

mn_status mn_call_grammar_begin(mn_call_grammar *c, const mn_tokenizer *tokenizer, mn_error *err) {
    mn_grammar *g = mn_grammar_create();
    if (!g) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for the grammar of the tools.");
    *c = (mn_call_grammar){g, tokenizer, mn_grammar_state(g), mn_grammar_state(g)};
    g->root = mn_grammar_add_rule(g, "a call", 0);
    return MN_OK;
}

mn_status mn_call_grammar_end(mn_call_grammar *c, mn_status status, mn_grammar **out, mn_error *err) {
    *out = NULL;
    mn_grammar_define(c->g, c->g->root, c->start, c->end);
    if (status == MN_OK) status = mn_grammar_check(c->g, err);
    if (status == MN_OK)
        *out = c->g;
    else
        mn_grammar_destroy(c->g);
    return status;
}

/* One call and nothing else. */
static mn_status put_call(mn_call_grammar *c, mn_tool_format format, const char *tools_json, mn_error *err) {
    int32_t from = c->start, to, rule;
    if (format == MN_TOOLS_HARMONY) return mn_harmony_put_call(c, tools_json, err);
    if (format == MN_TOOLS_MISTRAL_ARGS)
        return mn_call_grammar_each(c, tools_json, mn_call_grammar_mark(c, from, "[TOOL_CALLS]"),
                                    mn_call_grammar_args_mark, c->end, err);
    MN_TRY(mn_call_grammar_object(c, format, tools_json, &rule, err));
    if (format == MN_TOOLS_MISTRAL) from = mn_grammar_text(c->g, mn_call_grammar_mark(c, from, "[TOOL_CALLS]"), "[", 1);
    if (format == MN_TOOLS_HERMES) from = mn_grammar_text(c->g, mn_call_grammar_mark(c, from, "<tool_call>"), "\n", 1);
    mn_grammar_call(c->g, from, rule, to = mn_grammar_state(c->g));
    if (format == MN_TOOLS_MISTRAL) to = mn_grammar_text(c->g, to, "]", 1);
    if (format == MN_TOOLS_HERMES) to = mn_call_grammar_mark(c, mn_grammar_text(c->g, to, "\n", 1), "</tool_call>");
    mn_grammar_nothing(c->g, to, c->end);
    return MN_OK;
}

mn_status mn_tool_calls_grammar(mn_tool_format format, const mn_tokenizer *tokenizer, const char *tools_json,
                                mn_grammar **out, mn_error *err) {
    mn_call_grammar c = {0};
    *out = NULL;
    MN_TRY(mn_call_grammar_begin(&c, tokenizer, err));
    return mn_call_grammar_end(&c, put_call(&c, format, tools_json, err), out, err);
}
