/* Strings of a JSON schema. */
#include "grammar/gbnf.h"
#include "grammar/json_pattern.h"
#include "grammar/json_schema_parts.h"
#include "grammar/regular.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SET_BYTES = 32 << 20, MAX_PIECES = MN_REGULAR_MAX_SETS };

static int32_t put_text(mn_schema_compiler *c, int32_t from, const char *text) {
    return mn_grammar_text(c->g, from, text, strlen(text));
}

/* ---- one condition ---- */

static mn_status put_format(mn_schema_compiler *c, mn_grammar *g, const char *format, int32_t from, int32_t to) {
    char name[64];
    snprintf(name, sizeof name, "format-%.40s", format);
    int32_t rule = mn_gbnf_find(g, name), close = mn_grammar_state(g);
    if (rule < 0)
        return mn_schema_unsupported(c, "format",
                                     "it is none of date, time, date-time, duration, uuid, ipv4, email, "
                                     "uri and hostname; write a pattern");
    mn_grammar_call(g, mn_grammar_text(g, from, "\"", 1), rule, close);
    mn_grammar_nothing(g, mn_grammar_text(g, close, "\"", 1), to);
    return MN_OK;
}

static mn_status put_pattern(mn_schema_compiler *c, mn_grammar *g, const char *pattern, int32_t from, int32_t to) {
    int32_t end;
    mn_error part;
    if (mn_json_pattern(g, from, pattern, &end, &part) != MN_OK)
        return mn_schema_fail(c, MN_ERR_UNSUPPORTED, "\"pattern\" cannot be followed: %s.", part.text);
    mn_grammar_nothing(g, end, to);
    return MN_OK;
}

/* ---- several ---- */

/* Strings that have to be in each set, or must not be in it. */
typedef struct conditions {
    mn_schema_compiler *c;
    mn_automaton *sets[MAX_PIECES];
    uint32_t wanted; /* bits */
    int n;
    int32_t to;
} conditions;

/* What one set looks like: put by its function between two states. */
typedef mn_status put_set_fn(mn_schema_compiler *c, mn_grammar *g, const json_t *value, int32_t from, int32_t to);

static mn_status put_pattern_set(mn_schema_compiler *c, mn_grammar *g, const json_t *value, int32_t from, int32_t to) {
    return put_pattern(c, g, json_string_value(value), from, to);
}

static mn_status put_format_set(mn_schema_compiler *c, mn_grammar *g, const json_t *value, int32_t from, int32_t to) {
    mn_error part;
    if (mn_schema_add_texts(g, c->blanks, &part) != MN_OK) return mn_schema_fail(c, MN_ERR_MEMORY, "%s", part.text);
    return put_format(c, g, json_string_value(value), from, to);
}

static mn_status put_values_set(mn_schema_compiler *c, mn_grammar *g, const json_t *value, int32_t from, int32_t to) {
    (void)c;
    for (size_t i = 0; i < json_array_size(value); i++) {
        const char *text = json_string_value(json_array_get(value, i));
        if (text) mn_grammar_nothing(g, mn_regular_string(g, from, text), to);
    }
    return MN_OK;
}

/* [min, max]; max < 0: any number. */
static mn_status put_lengths_set(mn_schema_compiler *c, mn_grammar *g, const json_t *value, int32_t from, int32_t to) {
    (void)c;
    int64_t min = json_integer_value(json_array_get(value, 0)), max = json_integer_value(json_array_get(value, 1));
    mn_grammar_nothing(g, mn_regular_lengths(g, from, min, max), to);
    return MN_OK;
}

static mn_status make_set(mn_schema_compiler *c, put_set_fn *put, const json_t *value, mn_automaton **out) {
    bool usable[256];
    mn_error part = {0};
    mn_grammar *g = mn_grammar_create();
    *out = NULL;
    if (!g) return mn_schema_fail(c, MN_ERR_MEMORY, "there is no memory for its strings.");
    int32_t start = mn_grammar_state(g), end = mn_grammar_state(g);
    mn_status status = put(c, g, value, start, end);
    mn_grammar_define(g, g->root = mn_grammar_add_rule(g, "a set of strings", 0), start, end);
    memset(usable, true, sizeof usable);
    if (status == MN_OK && mn_grammar_check(g, &part) != MN_OK)
        status = mn_schema_fail(c, part.status, "its strings: %s", part.text);
    if (status == MN_OK && mn_automaton_create(g, usable, SET_BYTES, out, &part) != MN_OK)
        status = mn_schema_fail(c, MN_ERR_MEMORY, "%s", part.text);
    mn_grammar_destroy(g);
    return status;
}

static mn_status add_set(conditions *k, put_set_fn *put, const json_t *value, bool wanted) {
    if (k->n == MAX_PIECES)
        return mn_schema_fail(k->c, MN_ERR_LIMIT, "its strings have more than %d conditions.", MAX_PIECES);
    MN_TRY(make_set(k->c, put, value, &k->sets[k->n]));
    if (wanted) k->wanted |= UINT32_C(1) << k->n;
    k->n++;
    return MN_OK;
}

/* A schema of one keyword that is a condition on strings; others say nothing of them. */
static mn_status add_condition(conditions *k, const json_t *schema, bool wanted) {
    const json_t *pattern = json_object_get(schema, "pattern"), *format = json_object_get(schema, "format");
    const json_t *values = json_object_get(schema, "enum");
    if (json_is_string(pattern)) MN_TRY(add_set(k, put_pattern_set, pattern, wanted));
    if (json_is_string(format)) MN_TRY(add_set(k, put_format_set, format, wanted));
    bool any = false;
    for (size_t i = 0; i < json_array_size(values); i++) any = any || json_is_string(json_array_get(values, i));
    return any ? add_set(k, put_values_set, values, wanted) : MN_OK;
}

static int32_t end_of(void *arg, uint32_t sets) {
    const conditions *k = arg;
    return sets == k->wanted ? k->to : -1;
}

static mn_status collect(conditions *k, const json_t *schema, int64_t min, int64_t max) {
    const json_t *also = json_object_get(schema, MN_SCHEMA_ALSO);
    MN_TRY(add_condition(k, schema, true));
    for (size_t i = 0; i < json_array_size(also); i++) {
        const json_t *item = json_array_get(also, i), *no = json_object_get(item, "not");
        MN_TRY(add_condition(k, no ? no : item, !no));
    }
    if (min == 0 && max == INT64_MAX) return MN_OK;
    json_t *lengths =
        mn_schema_keep(k->c, json_pack("[I, I]", (json_int_t)min, (json_int_t)(max == INT64_MAX ? -1 : max)));
    return add_set(k, put_lengths_set, lengths, true);
}

static mn_status put_conditions(mn_schema_compiler *c, const json_t *schema, int64_t min, int64_t max, int32_t from,
                                int32_t to) {
    conditions k = {.c = c, .to = to};
    mn_error part = {0};
    mn_status status = collect(&k, schema, min, max);
    if (status == MN_OK && mn_regular_put(c->g, from, k.sets, k.n, end_of, &k, &part) != MN_OK)
        status = mn_schema_fail(
            c, part.status, "its strings cannot be followed: %s; a shorter pattern or smaller lengths make it smaller.",
            part.text);
    for (int i = 0; i < k.n; i++) mn_automaton_destroy(k.sets[i]);
    return status;
}

/* ---- all of it ---- */

/* How many conditions there are beside lengths, and whether some stand in the list of others. */
static int count_conditions(const json_t *schema, bool *listed) {
    const json_t *also = json_object_get(schema, MN_SCHEMA_ALSO);
    int n = json_object_get(schema, "pattern") != NULL;
    n += json_object_get(schema, "format") != NULL;
    *listed = false;
    for (size_t i = 0; i < json_array_size(also); i++) {
        const json_t *item = json_array_get(also, i), *no = json_object_get(item, "not");
        const json_t *values = json_object_get(no, "enum");
        bool speaks = json_object_get(item, "pattern") || json_object_get(item, "format") ||
                      json_object_get(no, "pattern") || json_object_get(no, "format");
        for (size_t k = 0; k < json_array_size(values); k++)
            speaks = speaks || json_is_string(json_array_get(values, k));
        *listed = *listed || speaks;
    }
    return n;
}

mn_status mn_schema_string(mn_schema_compiler *c, const json_t *schema, int32_t from, int32_t to) {
    const json_t *pattern = json_object_get(schema, "pattern"), *format = json_object_get(schema, "format");
    int64_t min, max;
    bool listed;
    MN_TRY(mn_schema_count(c, schema, "minLength", 0, &min));
    MN_TRY(mn_schema_count(c, schema, "maxLength", INT64_MAX, &max));
    if ((pattern && !json_is_string(pattern)) || (format && !json_is_string(format)))
        return mn_schema_fail(c, MN_ERR_FORMAT, "\"pattern\" and \"format\" are texts.");
    if (max < min) return mn_schema_nothing(c, "\"maxLength\" is below \"minLength\".");
    int n = count_conditions(schema, &listed);
    if (listed || n > 1 || (n && (min > 0 || max < INT64_MAX))) return put_conditions(c, schema, min, max, from, to);
    if (pattern) return put_pattern(c, c->g, json_string_value(pattern), from, to);
    if (format) return put_format(c, c->g, json_string_value(format), from, to);
    int32_t rule = mn_gbnf_find(c->g, "char"), open = put_text(c, from, "\"");
    int32_t close = mn_grammar_repeat(c->g, open, rule, min, max == INT64_MAX ? -1 : max);
    mn_grammar_nothing(c->g, put_text(c, close, "\""), to);
    return MN_OK;
}
