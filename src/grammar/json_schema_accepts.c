/* Whether a value is accepted by a schema, by the standard's words: for lists of values beside other keywords, and for
 * names of properties. */
#include "grammar/json_pattern.h"
#include "grammar/json_schema_parts.h"
#include "grammar/regular.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 64, MATCHER_BYTES = 8 << 20 };

static mn_verdict verdict(bool yes) { return yes ? MN_YES : MN_NO; }
static mn_verdict opposite(mn_verdict v) { return (mn_verdict)(-(int)v); }
static mn_verdict and (mn_verdict a, mn_verdict b) { return a < b ? a : b; }
static mn_verdict or (mn_verdict a, mn_verdict b) { return a > b ? a : b; }

bool mn_schema_same(const json_t *a, const json_t *b) {
    return json_equal(a, b) || (json_is_number(a) && json_is_number(b) && json_number_value(a) == json_number_value(b));
}

/* ---- strings ---- */

static bool make_matcher(mn_schema_compiler *c, const char *pattern) {
    bool usable[256];
    int32_t end;
    mn_grammar *g = mn_grammar_create();
    if (!g) return false;
    int32_t start = mn_grammar_state(g);
    mn_automaton_destroy(c->matcher);
    free(c->matcher_pattern);
    c->matcher = NULL;
    c->matcher_pattern = NULL;
    memset(usable, true, sizeof usable);
    if (mn_json_pattern(g, start, pattern, &end, NULL) == MN_OK) {
        mn_grammar_nothing(g, mn_grammar_text(g, start, "\x01", 1), end); /* so that it is never empty */
        mn_grammar_define(g, g->root = mn_grammar_add_rule(g, "a pattern", 0), start, end);
        if (mn_grammar_check(g, NULL) == MN_OK &&
            mn_automaton_create(g, usable, MATCHER_BYTES, &c->matcher, NULL) == MN_OK)
            c->matcher_pattern = strdup(pattern);
    }
    mn_grammar_destroy(g);
    return c->matcher_pattern != NULL;
}

/* The spelling of a text, byte by byte: there is one. */
static mn_verdict run_matcher(mn_automaton *a, const char *text) {
    mn_grammar *g = mn_grammar_create();
    if (!g) return MN_UNSURE;
    int32_t state = mn_grammar_state(g), end = mn_regular_string(g, state, text), at = mn_automaton_start(a);
    bool failed = g->failed != MN_OK;
    while (!failed && at >= 0 && state != end && g->edge_of[state] >= 0) {
        const mn_grammar_edge *e = &g->edges[g->edge_of[state]];
        if (e->first <= e->last) at = mn_automaton_step(a, at, e->first);
        state = e->to;
    }
    failed = failed || state != end || at == MN_AUTOMATON_FULL;
    mn_grammar_destroy(g);
    if (at == MN_AUTOMATON_DEAD) return MN_NO;
    return failed ? MN_UNSURE : verdict(mn_automaton_accepts(a, at));
}

mn_verdict mn_schema_matches(mn_schema_compiler *c, const char *pattern, const char *text) {
    if (!c->matcher_pattern || strcmp(c->matcher_pattern, pattern) != 0)
        if (!make_matcher(c, pattern)) return MN_UNSURE;
    return run_matcher(c->matcher, text);
}

static double characters(const char *text) {
    double n = 0;
    for (; *text; text++) n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

/* ---- one keyword ---- */

typedef struct question {
    mn_schema_compiler *c;
    const json_t *schema, *value;
    int depth;
} question;

static mn_verdict ask(question q, const json_t *schema, const json_t *value);

static bool is_of_type(const json_t *value, const char *type) {
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

static mn_verdict of_type(question q, const json_t *types) {
    if (json_is_string(types)) return verdict(is_of_type(q.value, json_string_value(types)));
    bool found = false;
    for (size_t i = 0; i < json_array_size(types); i++) {
        const char *type = json_string_value(json_array_get(types, i));
        found = found || (type && is_of_type(q.value, type));
    }
    return verdict(found);
}

static mn_verdict of_list(question q, const json_t *list) {
    bool found = false;
    for (size_t i = 0; !found && i < json_array_size(list); i++)
        found = mn_schema_same(json_array_get(list, i), q.value);
    return verdict(found);
}

static mn_verdict of_number(question q, const char *key, const json_t *bound) {
    double x = json_number_value(q.value), limit = json_number_value(bound);
    if (json_is_boolean(bound)) return MN_YES; /* draft 4; the bound itself is asked for its exclusion */
    if (!json_is_number(bound)) return MN_UNSURE;
    bool above = json_is_true(json_object_get(q.schema, "exclusiveMinimum"));
    bool below = json_is_true(json_object_get(q.schema, "exclusiveMaximum"));
    if (!strcmp(key, "minimum")) return verdict(above ? x > limit : x >= limit);
    if (!strcmp(key, "maximum")) return verdict(below ? x < limit : x <= limit);
    if (!strcmp(key, "exclusiveMinimum")) return verdict(x > limit);
    if (!strcmp(key, "exclusiveMaximum")) return verdict(x < limit);
    return verdict(mn_schema_is_multiple(q.value, bound));
}

static mn_verdict of_string(question q, const char *key, const json_t *asked) {
    const char *text = json_string_value(q.value);
    if (!strcmp(key, "minLength")) return verdict(characters(text) >= json_number_value(asked));
    if (!strcmp(key, "maxLength")) return verdict(characters(text) <= json_number_value(asked));
    if (!strcmp(key, "pattern") && json_is_string(asked)) return mn_schema_matches(q.c, json_string_value(asked), text);
    return MN_UNSURE; /* format */
}

static mn_verdict of_all(question q, const json_t *list) {
    mn_verdict all = json_is_array(list) ? MN_YES : MN_UNSURE;
    for (size_t i = 0; i < json_array_size(list); i++) all = and(all, ask(q, json_array_get(list, i), q.value));
    return all;
}

static mn_verdict of_any(question q, const json_t *list) {
    mn_verdict any = MN_NO;
    for (size_t i = 0; i < json_array_size(list); i++) any = or (any, ask(q, json_array_get(list, i), q.value));
    return any;
}

static mn_verdict of_one(question q, const json_t *list) {
    int n_yes = 0, n_unsure = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        mn_verdict one = ask(q, json_array_get(list, i), q.value);
        n_yes += one == MN_YES;
        n_unsure += one == MN_UNSURE;
    }
    if (n_yes > 1) return MN_NO;
    return n_unsure ? MN_UNSURE : verdict(n_yes == 1);
}

static mn_verdict of_condition(question q, const json_t *condition) {
    const json_t *then = json_object_get(q.schema, "then"), *otherwise = json_object_get(q.schema, "else");
    mn_verdict holds = ask(q, condition, q.value), yes = then ? ask(q, then, q.value) : MN_YES;
    mn_verdict no = otherwise ? ask(q, otherwise, q.value) : MN_YES;
    return and(or (opposite(holds), yes), or (holds, no));
}

/* ---- objects ---- */

static mn_verdict of_names(question q, const json_t *names) {
    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));
        if (name && !json_object_get(q.value, name)) return MN_NO;
    }
    return MN_YES;
}

/* Each property by its own schema, those of patterns, else that of others. */
static mn_verdict of_properties(question q) {
    const json_t *own = json_object_get(q.schema, "properties"),
                 *more = json_object_get(q.schema, "additionalProperties");
    mn_verdict all = MN_YES;
    const char *name, *pattern;
    json_t *value, *schema;
    json_object_foreach((json_t *)q.value, name, value) {
        bool known = json_object_get(own, name) != NULL, unsure = false;
        if (known) all = and(all, ask(q, json_object_get(own, name), value));
        json_object_foreach(json_object_get(q.schema, "patternProperties"), pattern, schema) {
            mn_verdict matches = mn_schema_matches(q.c, pattern, name);
            unsure = unsure || matches == MN_UNSURE;
            known = known || matches == MN_YES;
            if (matches == MN_YES) all = and(all, ask(q, schema, value));
        }
        if (!known && more && !unsure) all = and(all, ask(q, more, value));
        if (unsure) all = and(all, MN_UNSURE);
    }
    return all;
}

static mn_verdict of_property_names(question q, const json_t *schema) {
    mn_verdict all = MN_YES;
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)q.value, name, value) {
        json_t *text = json_string(name);
        all = and(all, ask(q, schema, text));
        json_decref(text);
    }
    return all;
}

static mn_verdict of_dependencies(question q, const json_t *asked) {
    mn_verdict all = MN_YES;
    const char *name;
    json_t *what;
    json_object_foreach((json_t *)asked, name, what) {
        if (!json_object_get(q.value, name)) continue;
        all = and(all, json_is_array(what) ? of_names(q, what) : ask(q, what, q.value));
    }
    return all;
}

static mn_verdict of_object(question q, const char *key, const json_t *asked) {
    double n = (double)json_object_size(q.value);
    if (!strcmp(key, "required")) return of_names(q, asked);
    if (!strcmp(key, "minProperties")) return verdict(n >= json_number_value(asked));
    if (!strcmp(key, "maxProperties")) return verdict(n <= json_number_value(asked));
    if (!strcmp(key, "propertyNames")) return of_property_names(q, asked);
    if (!strncmp(key, "depend", 6)) return of_dependencies(q, asked);
    /* The three keywords are looked at once. */
    bool own = json_object_get(q.schema, "properties"), patterns = json_object_get(q.schema, "patternProperties");
    if ((own && strcmp(key, "properties") != 0) || (!own && patterns && strcmp(key, "patternProperties") != 0))
        return MN_YES;
    return of_properties(q);
}

/* ---- arrays ---- */

static mn_verdict of_items(question q) {
    const json_t *leading = json_object_get(q.schema, "prefixItems"), *items = json_object_get(q.schema, "items");
    mn_verdict all = MN_YES;
    if (json_is_array(items)) {
        leading = items;
        items = json_object_get(q.schema, "additionalItems");
    }
    for (size_t i = 0; i < json_array_size(q.value); i++) {
        const json_t *own = i < json_array_size(leading) ? json_array_get(leading, i) : items;
        if (own) all = and(all, ask(q, own, json_array_get(q.value, i)));
    }
    return all;
}

static mn_verdict of_contains(question q, const json_t *wanted) {
    const json_t *min = json_object_get(q.schema, "minContains"), *max = json_object_get(q.schema, "maxContains");
    double n_yes = 0, n_unsure = 0, least = min ? json_number_value(min) : 1;
    double most = max ? json_number_value(max) : INFINITY;
    for (size_t i = 0; i < json_array_size(q.value); i++) {
        mn_verdict counts = ask(q, wanted, json_array_get(q.value, i));
        n_yes += counts == MN_YES;
        n_unsure += counts == MN_UNSURE;
    }
    if (n_yes + n_unsure < least || n_yes > most) return MN_NO;
    return n_yes >= least && n_yes + n_unsure <= most ? MN_YES : MN_UNSURE;
}

static mn_verdict of_array(question q, const char *key, const json_t *asked) {
    size_t n = json_array_size(q.value);
    if (!strcmp(key, "minItems")) return verdict((double)n >= json_number_value(asked));
    if (!strcmp(key, "maxItems")) return verdict((double)n <= json_number_value(asked));
    if (!strcmp(key, "contains")) return of_contains(q, asked);
    if (!strcmp(key, "uniqueItems") && json_is_true(asked)) {
        for (size_t i = 0; i < n; i++)
            for (size_t k = 0; k < i; k++)
                if (mn_schema_same(json_array_get(q.value, i), json_array_get(q.value, k))) return MN_NO;
        return MN_YES;
    }
    bool leading = json_object_get(q.schema, "prefixItems");
    return !strcmp(key, leading ? "prefixItems" : "items") ? of_items(q) : MN_YES;
}

/* ---- all keywords ---- */

static bool is_one_of(const char *key, const char *words) {
    const char *found = strstr(words, key);
    size_t n = strlen(key);
    return found && (found == words || found[-1] == ' ') && (found[n] == ' ' || !found[n]);
}

static mn_verdict of_reference(question q, const json_t *reference) {
    const char *text = json_string_value(reference);
    const json_t *target = text ? mn_schema_resolve(q.c->root, text) : NULL;
    return target ? ask(q, target, q.value) : MN_UNSURE;
}

static mn_verdict of_keyword(question q, const char *key, const json_t *asked) {
    if (!strcmp(key, "type")) return of_type(q, asked);
    if (!strcmp(key, "enum")) return of_list(q, asked);
    if (!strcmp(key, "const")) return verdict(mn_schema_same(asked, q.value));
    if (!strcmp(key, "$ref")) return of_reference(q, asked);
    if (!strcmp(key, "allOf") || !strcmp(key, MN_SCHEMA_ALSO)) return of_all(q, asked);
    if (!strcmp(key, "anyOf")) return of_any(q, asked);
    if (!strcmp(key, "oneOf")) return of_one(q, asked);
    if (!strcmp(key, "not")) return opposite(ask(q, asked, q.value));
    if (!strcmp(key, "if")) return of_condition(q, asked);
    if (is_one_of(key, "then else nullable minContains maxContains additionalItems")) return MN_YES;
    if (is_one_of(key, "minimum maximum exclusiveMinimum exclusiveMaximum multipleOf"))
        return json_is_number(q.value) ? of_number(q, key, asked) : MN_YES;
    if (is_one_of(key, "minLength maxLength pattern format"))
        return json_is_string(q.value) ? of_string(q, key, asked) : MN_YES;
    if (is_one_of(key, "minItems maxItems items prefixItems contains uniqueItems"))
        return json_is_array(q.value) ? of_array(q, key, asked) : MN_YES;
    if (is_one_of(key, "required minProperties maxProperties properties patternProperties additionalProperties "
                       "propertyNames dependentRequired dependentSchemas dependencies"))
        return json_is_object(q.value) ? of_object(q, key, asked) : MN_YES;
    return mn_schema_is_annotation(key) ? MN_YES : MN_UNSURE;
}

static mn_verdict ask(question q, const json_t *schema, const json_t *value) {
    question inner = {q.c, schema, value, q.depth + 1};
    mn_verdict all = MN_YES;
    const char *key;
    json_t *asked;
    if (json_is_boolean(schema)) return verdict(json_is_true(schema));
    if (!json_is_object(schema) || inner.depth > MAX_DEPTH || q.c->steps_left-- <= 0) return MN_UNSURE;
    if (json_is_true(json_object_get(schema, "nullable")) && json_is_null(value)) return MN_YES;
    json_object_foreach((json_t *)schema, key, asked) {
        if (all != MN_NO) all = and(all, of_keyword(inner, key, asked));
    }
    return all;
}

mn_verdict mn_schema_accepts(mn_schema_compiler *c, const json_t *schema, const json_t *value) {
    return ask((question){.c = c}, schema, value);
}
