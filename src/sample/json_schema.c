#include "sample/json_schema.h"

#include "sample/gbnf.h"
#include "sample/json_schema_parts.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 128, MAX_RULES = 20000 };

/* What schemas without particulars accept, and the texts of formats. In `s`, all blanks that are written. */
static const char prelude[] =
    "s ::= (\" \" | \"\\n\" \" \"{0,20})?\n"
    "value ::= object | array | string | number | \"true\" | \"false\" | \"null\"\n"
    "object ::= \"{\" (s member (\",\" s member)*)? s \"}\"\n"
    "member ::= string \":\" \" \"? value\n"
    "array ::= \"[\" (s value (\",\" s value)*)? s \"]\"\n"
    "string ::= \"\\\"\" char* \"\\\"\"\n"
    "char ::= [^\"\\\\\\x00-\\x1f] | \"\\\\\" ([\"\\\\/bfnrt] | \"u\" unicode)\n"
    "unicode ::= [1-9a-cA-Ce-fE-F] hex{3} | [dD] [0-7] hex{2} |\n"
    "  \"0\" ([1-9a-fA-F] hex{2} | \"0\" ([1-9a-fA-F] hex | \"0\" [1-9a-fA-F]))\n"
    "hex ::= [0-9a-fA-F]\n"
    "whole ::= \"0\" | [1-9] [0-9]{0,15}\n"
    "integer ::= \"-\"? whole\n"
    "fraction ::= \".\" [0-9]{1,16}\n"
    "bounded-fraction ::= \".\" [0-9]{1,6}\n"
    "nonzero-fraction ::= \".\" \"0\"{0,3} [1-9] [0-9]{0,2}\n"
    "zero-fraction ::= \".\" \"0\"{1,4}\n"
    "number ::= integer fraction? ([eE] [-+]? [0-9]{1,2})?\n"
    "format-date ::= [0-9]{4} \"-\" ((\"0\" [13578] | \"1\" [02]) \"-\" (day | \"29\" | \"3\" [01]) |\n"
    "  (\"0\" [469] | \"11\") \"-\" (day | \"29\" | \"30\") | \"02-\" day)\n"
    "day ::= \"0\" [1-9] | \"1\" [0-9] | \"2\" [0-8]\n"
    "format-time ::= hour \":\" [0-5] [0-9] \":\" [0-5] [0-9] (\".\" [0-9]{1,6})? (\"Z\" | [-+] hour \":\" [0-5] "
    "[0-9])\n"
    "hour ::= [01] [0-9] | \"2\" [0-3]\n"
    "format-date-time ::= format-date \"T\" format-time\n"
    "format-duration ::= \"P\" (count [YMWD] (\"T\" count [HMS])? | \"T\" count [HMS])\n"
    "count ::= [0-9]{1,6}\n"
    "format-uuid ::= hex{8} \"-\" hex{4} \"-\" hex{4} \"-\" hex{4} \"-\" hex{12}\n"
    "format-ipv4 ::= octet (\".\" octet){3}\n"
    "octet ::= [0-9] | [1-9] [0-9] | \"1\" [0-9]{2} | \"2\" [0-4] [0-9] | \"25\" [0-5]\n"
    "format-hostname ::= label (\".\" label){0,4}\n"
    "label ::= [a-z0-9]+ (\"-\" [a-z0-9]+){0,4}\n"
    "format-email ::= atom (\".\" atom){0,3} \"@\" label (\".\" label){1,4}\n"
    "atom ::= [A-Za-z0-9_+-]{1,24}\n"
    "format-uri ::= [a-z] [a-z0-9]{0,9} \"://\" format-hostname (\":\" [1-9] [0-9]{0,3})? uri-path\n"
    "uri-path ::= (\"/\" [A-Za-z0-9._~-]{0,60}){0,12} (\"?\" [A-Za-z0-9=&._~-]{0,200})?\n";

/* ---- sentences ---- */

mn_status mn_schema_fail(mn_schema_compiler *c, mn_status status, const char *format, ...) {
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return mn_fail(c->err, status, "the schema at %.160s: %s", c->place.data, text);
}

mn_status mn_schema_unsupported(mn_schema_compiler *c, const char *keyword, const char *why) {
    return mn_schema_fail(c, MN_ERR_UNSUPPORTED, "the keyword \"%.80s\" is not supported%s%s.", keyword,
                          why ? ": " : "", why ? why : "");
}

mn_status mn_schema_count(mn_schema_compiler *c, const json_t *schema, const char *keyword, int64_t standard,
                          int64_t *out) {
    const json_t *value = json_object_get(schema, keyword);
    *out = standard;
    if (!value) return MN_OK;
    double number = json_number_value(value);
    if (!json_is_number(value) || !(number >= 0) || number != floor(number))
        return mn_schema_fail(c, MN_ERR_FORMAT, "\"%s\" is no whole number of at least 0.", keyword);
    if (number > MN_GRAMMAR_MAX_STATES)
        return mn_schema_fail(c, MN_ERR_LIMIT, "\"%s\" is above %d, the most that is taken here.", keyword,
                              MN_GRAMMAR_MAX_STATES);
    *out = (int64_t)number;
    return MN_OK;
}

/* ---- rules ---- */

void mn_schema_call(mn_schema_compiler *c, int32_t from, const char *name, int32_t to) {
    int32_t rule = mn_gbnf_find(c->g, name);
    if (rule >= 0) mn_grammar_call(c->g, from, rule, to);
}

static mn_status put_schema(mn_schema_compiler *c, const json_t *schema, int32_t from, int32_t to);

static bool note_rule(mn_schema_compiler *c, const json_t *schema, int32_t rule) {
    if ((c->n_done & (c->n_done - 1)) == 0) {
        size_t wanted = c->n_done ? 2 * c->n_done : 1;
        mn_schema_rule *larger = realloc(c->done, wanted * sizeof *larger);
        if (!larger) return false;
        c->done = larger;
    }
    c->done[c->n_done++] = (mn_schema_rule){schema, rule};
    return true;
}

mn_status mn_schema_rule_of(mn_schema_compiler *c, const json_t *schema, const char *step, int32_t *rule) {
    for (size_t i = 0; i < c->n_done; i++)
        if (c->done[i].schema == schema) {
            *rule = c->done[i].rule;
            return MN_OK;
        }
    size_t place_bytes = c->place.bytes;
    if (c->depth >= MAX_DEPTH) return mn_schema_fail(c, MN_ERR_LIMIT, "it is nested more than %d deep.", MAX_DEPTH);
    if (*step == '#')
        mn_strbuf_reset(&c->place);
    else
        mn_strbuf_putc(&c->place, '/');
    mn_strbuf_puts(&c->place, step);
    char name[256];
    snprintf(name, sizeof name, "the schema at %.200s", c->place.data);
    *rule = mn_grammar_add_rule(c->g, name, 0);
    if (c->n_done == MAX_RULES) return mn_schema_fail(c, MN_ERR_LIMIT, "it has more than %d parts.", MAX_RULES);
    if (c->g->failed || !note_rule(c, schema, *rule)) return mn_schema_fail(c, MN_ERR_LIMIT, "it is too large.");
    int32_t start = mn_grammar_state(c->g), end = mn_grammar_state(c->g);
    c->depth++;
    MN_TRY(put_schema(c, schema, start, end));
    c->depth--;
    mn_grammar_define(c->g, *rule, start, end);
    if (*step == '#') return MN_OK; /* its caller puts the place back */
    c->place.bytes = place_bytes;
    c->place.data[place_bytes] = 0;
    return MN_OK;
}

/* ---- what a schema says ---- */

static mn_status put_reference(mn_schema_compiler *c, const json_t *schema, int32_t from, int32_t to) {
    const char *reference = json_string_value(json_object_get(schema, "$ref"));
    const json_t *target = reference ? mn_schema_resolve(c->root, reference) : NULL;
    int32_t rule;
    if (!reference || *reference != '#')
        return mn_schema_unsupported(c, "$ref", "references stay within the document and begin with #");
    if (!target) return mn_schema_fail(c, MN_ERR_FORMAT, "the reference \"%.80s\" leads nowhere.", reference);
    char *place = strdup(c->place.data);
    if (!place) return mn_schema_fail(c, MN_ERR_MEMORY, "there is no memory for it.");
    mn_status status = mn_schema_rule_of(c, target, reference, &rule);
    if (status == MN_OK) {
        mn_strbuf_reset(&c->place);
        mn_strbuf_puts(&c->place, place);
        mn_grammar_call(c->g, from, rule, to);
    }
    free(place);
    return status;
}

static bool has_type(const json_t *value, const char *type) {
    double number = json_number_value(value);
    switch (json_typeof(value)) {
    case JSON_OBJECT: return !strcmp(type, "object");
    case JSON_ARRAY: return !strcmp(type, "array");
    case JSON_STRING: return !strcmp(type, "string");
    case JSON_NULL: return !strcmp(type, "null");
    case JSON_TRUE:
    case JSON_FALSE: return !strcmp(type, "boolean");
    default: return !strcmp(type, "number") || (!strcmp(type, "integer") && number == floor(number));
    }
}

static bool is_of_types(const json_t *value, const json_t *types) {
    if (!types) return true;
    if (json_is_string(types)) return has_type(value, json_string_value(types));
    for (size_t i = 0; i < json_array_size(types); i++) {
        const char *type = json_string_value(json_array_get(types, i));
        if (type && has_type(value, type)) return true;
    }
    return false;
}

static mn_status put_literal(mn_schema_compiler *c, const json_t *value, int32_t from, int32_t to) {
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    if (!text) return mn_schema_fail(c, MN_ERR_MEMORY, "there is no memory for a value of it.");
    mn_grammar_nothing(c->g, mn_grammar_text(c->g, from, text, strlen(text)), to);
    free(text);
    return MN_OK;
}

/* enum and const, of which `type` takes a part. */
static mn_status put_values(mn_schema_compiler *c, const json_t *schema, int32_t from, int32_t to) {
    const json_t *values = json_object_get(schema, "enum"), *single = json_object_get(schema, "const");
    const json_t *types = json_object_get(schema, "type");
    const char *key;
    json_t *value;
    int n_put = 0;
    json_object_foreach((json_t *)schema, key, value) {
        bool known = !strcmp(key, "enum") || !strcmp(key, "const") || !strcmp(key, "type") || !strcmp(key, "nullable");
        if (!known && !mn_schema_is_annotation(key))
            return mn_schema_unsupported(c, key, "it stands beside enum or const");
    }
    if (values && !json_is_array(values)) return mn_schema_fail(c, MN_ERR_FORMAT, "\"enum\" is no list.");
    for (size_t i = 0; values && i < json_array_size(values); i++) {
        const json_t *item = json_array_get(values, i);
        if (!is_of_types(item, types) || (single && !json_equal(item, single))) continue;
        MN_TRY(put_literal(c, item, from, to));
        n_put++;
    }
    if (!values && is_of_types(single, types)) {
        MN_TRY(put_literal(c, single, from, to));
        n_put++;
    }
    return n_put ? MN_OK : mn_schema_fail(c, MN_ERR_FORMAT, "no value of \"enum\" or \"const\" is of its type.");
}

/* The schema without one keyword, put together with each branch of it. */
static mn_status put_branches(mn_schema_compiler *c, const json_t *schema, const char *keyword, int32_t from,
                              int32_t to) {
    const json_t *branches = json_object_get(schema, keyword);
    size_t n = json_array_size(branches);
    if (n == 0) return mn_schema_fail(c, MN_ERR_FORMAT, "\"%s\" is no list of schemas.", keyword);
    json_t *rest = json_copy((json_t *)schema);
    json_object_del(rest, keyword);
    json_array_append_new(c->made, rest);
    for (size_t i = 0; i < n; i++) {
        const json_t *branch = json_array_get(branches, i);
        for (size_t k = 0; !strcmp(keyword, "oneOf") && k < i; k++)
            if (!mn_schema_exclude(c, json_array_get(branches, k), branch, 0))
                return mn_schema_unsupported(c, "oneOf", "two branches may accept one value; anyOf takes them");
        json_t *merged;
        char step[32];
        int32_t rule;
        MN_TRY(mn_schema_merge(c, rest, branch, &merged));
        snprintf(step, sizeof step, "%s/%zu", keyword, i);
        MN_TRY(mn_schema_rule_of(c, merged, step, &rule));
        mn_grammar_call(c->g, from, rule, to);
    }
    return MN_OK;
}

static mn_status put_all(mn_schema_compiler *c, const json_t *schema, int32_t from, int32_t to) {
    const json_t *parts = json_object_get(schema, "allOf");
    if (json_array_size(parts) == 0) return mn_schema_fail(c, MN_ERR_FORMAT, "\"allOf\" is no list of schemas.");
    json_t *merged = json_copy((json_t *)schema);
    json_object_del(merged, "allOf");
    json_array_append_new(c->made, merged);
    for (size_t i = 0; i < json_array_size(parts); i++)
        MN_TRY(mn_schema_merge(c, merged, json_array_get(parts, i), &merged));
    int32_t rule;
    MN_TRY(mn_schema_rule_of(c, merged, "allOf", &rule));
    mn_grammar_call(c->g, from, rule, to);
    return MN_OK;
}

static mn_status put_type(mn_schema_compiler *c, const json_t *schema, const char *type, int32_t from, int32_t to) {
    mn_grammar *g = c->g;
    if (!strcmp(type, "object")) return mn_schema_object(c, schema, from, to);
    if (!strcmp(type, "array")) return mn_schema_array(c, schema, from, to);
    if (!strcmp(type, "string")) return mn_schema_string(c, schema, from, to);
    if (!strcmp(type, "integer") || !strcmp(type, "number")) return mn_schema_number(c, schema, *type == 'i', from, to);
    if (!strcmp(type, "null")) {
        mn_grammar_nothing(g, mn_grammar_text(g, from, "null", 4), to);
    } else if (!strcmp(type, "boolean")) {
        mn_grammar_nothing(g, mn_grammar_text(g, from, "true", 4), to);
        mn_grammar_nothing(g, mn_grammar_text(g, from, "false", 5), to);
    } else {
        return mn_schema_fail(c, MN_ERR_FORMAT, "\"%.80s\" is no type of JSON.", type);
    }
    return MN_OK;
}

/* Keywords, and the type that they speak of; NULL: of all. */
static const struct {
    const char *keyword, *type;
} keywords[] = {
    {"type", NULL},           {"enum", NULL},           {"const", NULL},
    {"nullable", NULL},       {"$ref", NULL},           {"anyOf", NULL},
    {"oneOf", NULL},          {"allOf", NULL},          {"properties", "object"},
    {"required", "object"},   {"items", "array"},       {"additionalProperties", "object"},
    {"maxItems", "array"},    {"prefixItems", "array"}, {"minProperties", "object"},
    {"maxLength", "string"},  {"minItems", "array"},    {"maxProperties", "object"},
    {"format", "string"},     {"minLength", "string"},  {"additionalItems", "array"},
    {"minimum", "number"},    {"pattern", "string"},    {"exclusiveMinimum", "number"},
    {"multipleOf", "number"}, {"maximum", "number"},    {"exclusiveMaximum", "number"},
};

static int keyword_of(const char *key) {
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
        if (!strcmp(keywords[i].keyword, key)) return (int)i;
    return -1;
}

static mn_status check_keywords(mn_schema_compiler *c, const json_t *schema) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)schema, key,
                        value) if (keyword_of(key) < 0 &&
                                   !mn_schema_is_annotation(key)) return mn_schema_unsupported(c, key, NULL);
    return MN_OK;
}

/* Without a type: those that its keywords speak of. */
static mn_status put_implied(mn_schema_compiler *c, const json_t *schema, int32_t from, int32_t to) {
    static const char *const types[] = {"object", "array", "string", "number"};
    int n_put = 0;
    for (size_t t = 0; t < 4; t++) {
        const char *key;
        json_t *value;
        bool implied = false;
        json_object_foreach((json_t *)schema, key, value) {
            int known = keyword_of(key);
            implied = implied || (known >= 0 && keywords[known].type && !strcmp(keywords[known].type, types[t]));
        }
        if (implied) MN_TRY(put_type(c, schema, types[t], from, to));
        n_put += implied;
    }
    if (n_put == 0) mn_schema_call(c, from, "value", to);
    return MN_OK;
}

static mn_status put_types(mn_schema_compiler *c, const json_t *schema, int32_t from, int32_t to) {
    const json_t *types = json_object_get(schema, "type");
    if (!types) return put_implied(c, schema, from, to);
    if (json_is_string(types)) return put_type(c, schema, json_string_value(types), from, to);
    if (json_array_size(types) == 0)
        return mn_schema_fail(c, MN_ERR_FORMAT, "\"type\" is no name and no list of names.");
    for (size_t i = 0; i < json_array_size(types); i++) {
        const char *type = json_string_value(json_array_get(types, i));
        if (!type) return mn_schema_fail(c, MN_ERR_FORMAT, "\"type\" is no name and no list of names.");
        MN_TRY(put_type(c, schema, type, from, to));
    }
    return MN_OK;
}

static mn_status put_schema(mn_schema_compiler *c, const json_t *schema, int32_t from, int32_t to) {
    if (json_is_true(schema)) {
        mn_schema_call(c, from, "value", to);
        return MN_OK;
    }
    if (json_is_false(schema)) return mn_schema_fail(c, MN_ERR_FORMAT, "it is false, which accepts nothing.");
    if (!json_is_object(schema)) return mn_schema_fail(c, MN_ERR_FORMAT, "it is no object.");
    MN_TRY(check_keywords(c, schema));
    if (json_is_true(json_object_get(schema, "nullable")))
        mn_grammar_nothing(c->g, mn_grammar_text(c->g, from, "null", 4), to);
    if (json_object_get(schema, "$ref")) {
        bool alone = true;
        const char *key;
        json_t *value;
        json_object_foreach((json_t *)schema, key, value) alone =
            alone && (!strcmp(key, "$ref") || !strcmp(key, "nullable") || mn_schema_is_annotation(key));
        return alone ? put_reference(c, schema, from, to)
                     : mn_schema_unsupported(c, "$ref", "keywords beside it; allOf puts them together");
    }
    if (json_object_get(schema, "allOf")) return put_all(c, schema, from, to);
    if (json_object_get(schema, "anyOf")) return put_branches(c, schema, "anyOf", from, to);
    if (json_object_get(schema, "oneOf")) return put_branches(c, schema, "oneOf", from, to);
    if (json_object_get(schema, "enum") || json_object_get(schema, "const")) return put_values(c, schema, from, to);
    return put_types(c, schema, from, to);
}

/* ---- all of it ---- */

mn_status mn_json_schema_add(mn_grammar *g, const char *text, size_t bytes, int32_t *rule, mn_error *err) {
    json_error_t where;
    int32_t root = g->root;
    mn_schema_compiler c = {.g = g, .place = MN_STRBUF_INIT, .err = err, .made = json_array()};
    c.root = json_loadb(text, bytes, JSON_DECODE_ANY, &where);
    mn_status status = MN_OK;
    if (!c.root) status = mn_fail(err, MN_ERR_FORMAT, "the schema is no JSON: line %d: %s.", where.line, where.text);
    if (status == MN_OK && mn_gbnf_find(g, "format-uri") < 0) status = mn_gbnf_add(g, prelude, sizeof prelude - 1, err);
    g->root = root;
    if (status == MN_OK) status = mn_schema_rule_of(&c, c.root, "#", rule);
    json_decref(c.made);
    json_decref(c.root);
    mn_strbuf_release(&c.place);
    free(c.done);
    return status;
}

mn_status mn_json_schema_parse(const char *text, size_t bytes, mn_grammar **out, mn_error *err) {
    mn_grammar *g = mn_grammar_create();
    *out = NULL;
    if (!g) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for a schema.");
    mn_status status = mn_json_schema_add(g, text, bytes, &g->root, err);
    if (status == MN_OK) status = mn_grammar_check(g, err);
    if (status == MN_OK)
        *out = g;
    else
        mn_grammar_destroy(g);
    return status;
}
