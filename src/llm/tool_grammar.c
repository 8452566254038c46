#include "llm/tool_grammar.h"

#include "sample/json_schema.h"
#include "tokenizer/tokenizer.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* A mark of a format: a token where the vocabulary has it as one that is no text, else its spelling. */
static int32_t put_mark(mn_grammar *g, const mn_tokenizer *tokenizer, int32_t from, const char *mark) {
    int32_t id = mn_tokenizer_find_special(tokenizer, mark, strlen(mark)), to = mn_grammar_state(g);
    size_t bytes = 1;
    if (id >= 0) mn_token_piece(tokenizer, id, false, &bytes);
    if (bytes > 0) return mn_grammar_text(g, from, mark, strlen(mark));
    mn_grammar_symbols(g, from, MN_SYMBOL_TOKEN + (uint32_t)id, MN_SYMBOL_TOKEN + (uint32_t)id, to);
    return to;
}

typedef struct call_grammar {
    mn_grammar *g;
    const mn_tokenizer *tokenizer;
    int32_t start, end;
} call_grammar;

/* All that a schema accepts; returns where it ends by *to. */
static mn_status put_schema(call_grammar *c, const char *schema, int32_t from, int32_t *to, mn_error *err) {
    int32_t rule;
    MN_TRY(mn_json_schema_add(c->g, schema, strlen(schema), MN_JSON_BLANKS_ONE, &rule, err));
    *to = mn_grammar_state(c->g);
    mn_grammar_call(c->g, from, rule, *to);
    return MN_OK;
}

static mn_status put_object(call_grammar *c, mn_tool_format format, const char *tools_json, mn_error *err) {
    char *schema;
    int32_t from = c->start, to = from;
    MN_TRY(mn_tool_calls_schema(format, tools_json, &schema, err));
    if (format == MN_TOOLS_MISTRAL)
        from = mn_grammar_text(c->g, put_mark(c->g, c->tokenizer, from, "[TOOL_CALLS]"), "[", 1);
    if (format == MN_TOOLS_HERMES)
        from = mn_grammar_text(c->g, put_mark(c->g, c->tokenizer, from, "<tool_call>"), "\n", 1);
    mn_status status = put_schema(c, schema, from, &to, err);
    free(schema);
    MN_TRY(status);
    if (format == MN_TOOLS_MISTRAL) to = mn_grammar_text(c->g, to, "]", 1);
    if (format == MN_TOOLS_HERMES)
        to = put_mark(c->g, c->tokenizer, mn_grammar_text(c->g, to, "\n", 1), "</tool_call>");
    mn_grammar_nothing(c->g, to, c->end);
    return MN_OK;
}

/* [TOOL_CALLS]name[ARGS]{...}: the schema's objects have the name and the arguments side by side, so that each tool is
 * asked for alone. */
static mn_status put_args(call_grammar *c, const char *tools_json, mn_error *err) {
    json_t *tools = json_loads(tools_json, 0, NULL), *tool;
    size_t i;
    char *checked; /* for the errors of a list that is none */
    int32_t open = put_mark(c->g, c->tokenizer, c->start, "[TOOL_CALLS]");
    mn_status status = mn_tool_calls_schema(MN_TOOLS_JSON, tools_json, &checked, err);
    free(checked);
    json_array_foreach(tools, i, tool) {
        json_t *function = json_object_get(tool, "function") ? json_object_get(tool, "function") : tool;
        const char *name = json_string_value(json_object_get(function, "name"));
        json_t *parameters = json_object_get(function, "parameters");
        char *schema = json_object_size(parameters) ? json_dumps(parameters, JSON_COMPACT)
                                                    : strdup("{\"type\":\"object\",\"additionalProperties\":false}");
        if (status == MN_OK && schema) {
            int32_t at = mn_grammar_text(c->g, open, name, strlen(name)), to = at;
            status = put_schema(c, schema, put_mark(c->g, c->tokenizer, at, "[ARGS]"), &to, err);
            mn_grammar_nothing(c->g, to, c->end);
        }
        if (!schema) status = mn_fail(err, MN_ERR_MEMORY, "There is no memory for the grammar of the tools.");
        free(schema);
    }
    json_decref(tools);
    return status;
}

mn_status mn_tool_calls_grammar(mn_tool_format format, const mn_tokenizer *tokenizer, const char *tools_json,
                                mn_grammar **out, mn_error *err) {
    mn_grammar *g = mn_grammar_create();
    *out = NULL;
    if (!g) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for the grammar of the tools.");
    call_grammar c = {.g = g, .tokenizer = tokenizer, .start = mn_grammar_state(g), .end = mn_grammar_state(g)};
    g->root = mn_grammar_add_rule(g, "a call", 0);
    mn_status status =
        format == MN_TOOLS_MISTRAL_ARGS ? put_args(&c, tools_json, err) : put_object(&c, format, tools_json, err);
    mn_grammar_define(g, g->root, c.start, c.end);
    if (status == MN_OK) status = mn_grammar_check(g, err);
    if (status == MN_OK)
        *out = g;
    else
        mn_grammar_destroy(g);
    return status;
}
