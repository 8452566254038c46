#include "grammar/json_schema.h"

#include "grammar/gbnf.h"
#include "grammar/json_schema_parts.h"
#include "grammar/regular.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { MAX_DEPTH = 128, MAX_RULES = 20000, MAX_STEPS = 1 << 22, SET_BYTES = 32 << 20 };

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

mn_status mn_schema_nothing(mn_schema_compiler *c, const char *format, ...) {
    char text[160];
    va_list arguments;
    if (c->nothing[0]) return MN_OK;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    snprintf(c->nothing, sizeof c->nothing, "the schema at %.140s: %s", c->place.data, text);
    return MN_OK;
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

json_t *mn_schema_keep(mn_schema_compiler *c, json_t *schema) {
    json_array_append_new(c->made, schema);
    return schema;
}

/* Of texts that differ in the order of keys it is the same. */
static uint64_t hash_of(const json_t *schema) {
    char *text = json_dumps(schema, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);
    uint64_t hash = text ? XXH3_64bits(text, strlen(text)) : 0;
    free(text);
    return hash;
}

static bool note_rule(mn_schema_compiler *c, const json_t *schema, uint64_t hash, int32_t rule) {
    if ((c->n_done & (c->n_done - 1)) == 0) {
        size_t wanted = c->n_done ? 2 * c->n_done : 1;
        mn_schema_rule *larger = realloc(c->done, wanted * sizeof *larger);
        if (!larger) return false;
        c->done = larger;
    }
    c->done[c->n_done++] = (mn_schema_rule){schema, hash, rule};
    return true;
}

/* The rule of this schema or one like it: schemas that are put together and lead back to themselves end there. */
static bool is_done(const mn_schema_compiler *c, const json_t *schema, uint64_t hash, int32_t *rule) {
    for (size_t i = 0; i < c->n_done; i++)
        if (c->done[i].schema == schema || (c->done[i].hash == hash && json_equal(c->done[i].schema, schema))) {
            *rule = c->done[i].rule;
            return true;
        }
    return false;
}

mn_status mn_schema_rule_of(mn_schema_compiler *c, const json_t *schema, const char *step, int32_t *rule) {
    uint64_t hash = hash_of(schema);
    if (is_done(c, schema, hash, rule)) return MN_OK;
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
    if (c->g->failed || !note_rule(c, schema, hash, *rule)) return mn_schema_fail(c, MN_ERR_LIMIT, "it is too large.");
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

mn_status mn_schema_literal(mn_schema_compiler *c, const json_t *value, int32_t from, int32_t to) {
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    if (!text) return mn_schema_fail(c, MN_ERR_MEMORY, "there is no memory for a value of it.");
    mn_grammar_nothing(c->g, mn_grammar_text(c->g, from, text, strlen(text)), to);
    free(text);
    return MN_OK;
}

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* Texts that are sorted and share their first `at` bytes, as a tree: a state for each beginning, however many there
 * are. */
static void put_tree(mn_grammar *g, char *const *texts, size_t n, size_t at, int32_t from, int32_t to) {
    for (size_t i = 0, k; i < n && !g->failed; i = k) {
        uint8_t byte = (uint8_t)texts[i][at];
        for (k = i + 1; k < n && (uint8_t)texts[k][at] == byte;) k++;
        if (!byte) {
            mn_grammar_nothing(g, from, to);
        } else if (k == i + 1) {
            mn_grammar_nothing(g, mn_grammar_text(g, from, texts[i] + at, strlen(texts[i] + at)), to);
        } else {
            size_t end = at + 1; /* no deeper than there are texts */
            while (texts[i][end] && texts[i][end] == texts[k - 1][end]) end++;
            put_tree(g, texts + i, k - i, end, mn_grammar_text(g, from, texts[i] + at, end - at), to);
        }
    }
}

static mn_status put_texts(mn_schema_compiler *c, const json_t *values, int32_t from, int32_t to) {
    size_t n = json_array_size(values), made = 0;
    char **texts = calloc(n + 1, sizeof *texts);
    for (; texts && made < n; made++)
        if (!(texts[made] = json_dumps(json_array_get(values, made), JSON_ENCODE_ANY | JSON_COMPACT))) break;
    bool complete = texts && made == n;
    if (complete) {
        qsort(texts, n, sizeof *texts, by_text);
        put_tree(c->g, texts, n, 0, from, to);
    }
    for (size_t i = 0; texts && i < n; i++) free(texts[i]);
    free(texts);
    return complete ? MN_OK : mn_schema_fail(c, MN_ERR_MEMORY, "there is no memory for its values.");
}

/* enum and const: those values that all other keywords accept. */
static mn_status put_values(mn_schema_compiler *c, const json_t *schema, int32_t from, int32_t to) {
    const json_t *list = json_object_get(schema, "enum");
    json_t *single = json_object_get(schema, "const"), *rest = mn_schema_keep(c, json_copy((json_t *)schema));
    json_t *values = single ? mn_schema_keep(c, json_pack("[O]", single)) : (json_t *)list;
    json_t *accepted = mn_schema_keep(c, json_array());
    if (list && !json_is_array(list)) return mn_schema_fail(c, MN_ERR_FORMAT, "\"enum\" is no list.");
    json_object_del(rest, single ? "const" : "enum");
    for (size_t i = 0; i < json_array_size(values); i++) {
        if (mn_schema_accepts(c, rest, json_array_get(values, i)) == MN_YES)
            json_array_append(accepted, json_array_get(values, i));
    }
    if (json_array_size(accepted)) return put_texts(c, accepted, from, to);
    return mn_schema_nothing(c, "no value of \"enum\" or \"const\" is accepted by what stands beside it.");
}

/* Each of the schemas that a keyword makes of this one. */
static mn_status put_branches(mn_schema_compiler *c, const json_t *branches, const char *keyword, int32_t from,
                              int32_t to) {
    for (size_t i = 0; i < json_array_size(branches); i++) {
        char step[48];
        int32_t rule;
        snprintf(step, sizeof step, "%s/%zu", keyword, i);
        MN_TRY(mn_schema_rule_of(c, json_array_get(branches, i), step, &rule));
        mn_grammar_call(c->g, from, rule, to);
    }
    if (json_array_size(branches)) return MN_OK;
    return mn_schema_nothing(c, "what \"%s\" asks for and what stands beside it exclude each other.", keyword);
}

/* ---- types ---- */

/* Whether a condition beside the keywords leaves this value out. */
static bool is_left_out(const json_t *schema, const json_t *value) {
    const json_t *also = json_object_get(schema, MN_SCHEMA_ALSO);
    for (size_t i = 0; i < json_array_size(also); i++) {
        const json_t *list = json_object_get(json_object_get(json_array_get(also, i), "not"), "enum");
        for (size_t k = 0; k < json_array_size(list); k++)
            if (mn_schema_same(json_array_get(list, k), value)) return true;
    }
    return false;
}

static void put_word(mn_schema_compiler *c, const json_t *schema, const char *word, json_t *value, int32_t from,
                     int32_t to) {
    if (!is_left_out(schema, value)) mn_grammar_nothing(c->g, mn_grammar_text(c->g, from, word, strlen(word)), to);
    json_decref(value);
}

/* Objects and arrays that are no given ones are not held. */
static mn_status check_left_out(mn_schema_compiler *c, const json_t *schema, json_type type) {
    const json_t *also = json_object_get(schema, MN_SCHEMA_ALSO);
    json_t *rest = mn_schema_keep(c, json_copy((json_t *)schema));
    json_object_del(rest, MN_SCHEMA_ALSO);
    for (size_t i = 0; i < json_array_size(also); i++) {
        const json_t *list = json_object_get(json_object_get(json_array_get(also, i), "not"), "enum");
        for (size_t k = 0; k < json_array_size(list); k++) {
            const json_t *value = json_array_get(list, k);
            if (json_typeof(value) == type && mn_schema_accepts(c, rest, value) != MN_NO)
                return mn_schema_unsupported(c, "not",
                                             "it leaves out a certain object or array; say by its parts what "
                                             "sets it apart");
        }
    }
    return MN_OK;
}

static mn_status put_type(mn_schema_compiler *c, const json_t *schema, const char *type, int32_t from, int32_t to) {
    bool is_object = !strcmp(type, "object");
    if (is_object || !strcmp(type, "array")) {
        MN_TRY(check_left_out(c, schema, is_object ? JSON_OBJECT : JSON_ARRAY));
        return is_object ? mn_schema_object(c, schema, from, to) : mn_schema_array(c, schema, from, to);
    }
    if (!strcmp(type, "string")) return mn_schema_string(c, schema, from, to);
    if (!strcmp(type, "integer") || !strcmp(type, "number")) return mn_schema_number(c, schema, *type == 'i', from, to);
    if (!strcmp(type, "null")) {
        put_word(c, schema, "null", json_null(), from, to);
    } else if (!strcmp(type, "boolean")) {
        put_word(c, schema, "true", json_true(), from, to);
        put_word(c, schema, "false", json_false(), from, to);
    } else {
        return mn_schema_fail(c, MN_ERR_FORMAT, "\"%.80s\" is no type of JSON.", type);
    }
    return MN_OK;
}

/* Keywords, and the type that they speak of; NULL: of all. */
static const struct {
    const char *keyword, *type;
} keywords[] = {
    {"type", NULL},
    {"enum", NULL},
    {"const", NULL},
    {"nullable", NULL},
    {"$ref", NULL},
    {"anyOf", NULL},
    {"oneOf", NULL},
    {"allOf", NULL},
    {"not", NULL},
    {"if", NULL},
    {"then", NULL},
    {"else", NULL},
    {MN_SCHEMA_ALSO, NULL},
    {"properties", "object"},
    {"patternProperties", "object"},
    {"additionalProperties", "object"},
    {"propertyNames", "object"},
    {"required", "object"},
    {"dependentRequired", "object"},
    {"dependentSchemas", "object"},
    {"dependencies", "object"},
    {"minProperties", "object"},
    {"maxProperties", "object"},
    {"items", "array"},
    {"prefixItems", "array"},
    {"additionalItems", "array"},
    {"contains", "array"},
    {"minContains", "array"},
    {"maxContains", "array"},
    {"uniqueItems", "array"},
    {"minItems", "array"},
    {"maxItems", "array"},
    {"minLength", "string"},
    {"maxLength", "string"},
    {"pattern", "string"},
    {"format", "string"},
    {"minimum", "number"},
    {"maximum", "number"},
    {"exclusiveMinimum", "number"},
    {"exclusiveMaximum", "number"},
    {"multipleOf", "number"},
};

/* Keywords that are not there, and what to write for them. */
static const struct {
    const char *keyword, *why;
} absent[] = {
    {"unevaluatedProperties", "name all properties in one part and write additionalProperties"},
    {"unevaluatedItems", "write prefixItems and items"},
    {"$dynamicRef", "write $ref"},
    {"$recursiveRef", "write $ref"},
    {"contentSchema", "a string's content is not looked at; write a pattern"},
    {"discriminator", "write oneOf, with a const in the property that tells the branches apart"},
};

static int keyword_of(const char *key) {
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
        if (!strcmp(keywords[i].keyword, key)) return (int)i;
    return -1;
}

static const char *remedy_of(const char *key) {
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
        if (!strcmp(absent[i].keyword, key)) return absent[i].why;
    return NULL;
}

static mn_status check_keywords(mn_schema_compiler *c, const json_t *schema) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)schema, key, value) {
        if (keyword_of(key) >= 0 || mn_schema_is_annotation(key)) continue;
        return mn_schema_unsupported(c, key, remedy_of(key));
    }
    return MN_OK;
}

/* Without a type: those that its keywords speak of, else all. */
static mn_status put_implied(mn_schema_compiler *c, const json_t *schema, int32_t from, int32_t to) {
    static const char *const types[] = {"object", "array", "string", "number", "boolean", "null"};
    bool implied[6] = {false}, any = false;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)schema, key, value) {
        int known = keyword_of(key);
        for (size_t t = 0; known >= 0 && keywords[known].type && t < 4; t++)
            if (!strcmp(keywords[known].type, types[t])) implied[t] = any = true;
    }
    if (!any && mn_schema_has_only(schema, NULL)) {
        mn_schema_call(c, from, "value", to);
        return MN_OK;
    }
    for (size_t t = 0; t < 6; t++)
        if (!any || implied[t]) MN_TRY(put_type(c, schema, types[t], from, to));
    return MN_OK;
}

static mn_status put_types(mn_schema_compiler *c, const json_t *schema, int32_t from, int32_t to) {
    const json_t *types = json_object_get(schema, "type");
    if (!types) return put_implied(c, schema, from, to);
    if (json_is_string(types)) return put_type(c, schema, json_string_value(types), from, to);
    if (!json_is_array(types)) return mn_schema_fail(c, MN_ERR_FORMAT, "\"type\" is no name and no list of names.");
    if (json_array_size(types) == 0) return mn_schema_nothing(c, "no type is left that it may have.");
    for (size_t i = 0; i < json_array_size(types); i++) {
        const char *type = json_string_value(json_array_get(types, i));
        if (!type) return mn_schema_fail(c, MN_ERR_FORMAT, "\"type\" is no name and no list of names.");
        MN_TRY(put_type(c, schema, type, from, to));
    }
    return MN_OK;
}

static mn_status put_schema(mn_schema_compiler *c, const json_t *schema, int32_t from, int32_t to) {
    const char *keyword;
    json_t *branches;
    if (json_is_true(schema)) {
        mn_schema_call(c, from, "value", to);
        return MN_OK;
    }
    if (json_is_false(schema)) return mn_schema_nothing(c, "it is false, which accepts nothing.");
    if (!json_is_object(schema)) return mn_schema_fail(c, MN_ERR_FORMAT, "it is no object.");
    MN_TRY(check_keywords(c, schema));
    if (mn_schema_has_only(schema, "$ref") && json_object_get(schema, "$ref"))
        return put_reference(c, schema, from, to);
    MN_TRY(mn_schema_branches(c, schema, &keyword, &branches));
    if (branches) return put_branches(c, branches, keyword, from, to);
    if (json_object_get(schema, "enum") || json_object_get(schema, "const")) return put_values(c, schema, from, to);
    return put_types(c, schema, from, to);
}

/* ---- all of it ---- */

static void release(mn_schema_compiler *c) {
    mn_strbuf_release(&c->place);
    mn_automaton_destroy(c->matcher);
    free(c->matcher_pattern);
    free(c->done);
}

mn_status mn_schema_strings(mn_schema_compiler *c, const json_t *schema, mn_automaton **out) {
    bool usable[256];
    mn_error part = {0};
    mn_schema_compiler inner = {.g = mn_grammar_create(),
                                .blanks = c->blanks,
                                .root = c->root,
                                .made = c->made,
                                .place = MN_STRBUF_INIT,
                                .depth = c->depth,
                                .steps_left = c->steps_left,
                                .err = c->err};
    int32_t rule;
    *out = NULL;
    if (!inner.g) return mn_schema_fail(c, MN_ERR_MEMORY, "there is no memory for its strings.");
    mn_strbuf_puts(&inner.place, c->place.data);
    mn_status status = mn_schema_add_texts(inner.g, c->blanks, c->err);
    if (status == MN_OK) status = mn_schema_rule_of(&inner, schema, "names", &rule);
    if (status == MN_OK) {
        int32_t start = mn_grammar_state(inner.g), end = mn_grammar_text(inner.g, start, "\x01", 1); /* never empty */
        mn_grammar_call(inner.g, start, rule, end);
        mn_grammar_define(inner.g, inner.g->root = mn_grammar_add_rule(inner.g, "names", 0), start, end);
        memset(usable, true, sizeof usable);
        status = mn_grammar_check(inner.g, &part);
        if (status == MN_OK) status = mn_automaton_create(inner.g, usable, SET_BYTES, out, &part);
        if (status != MN_OK) status = mn_schema_fail(c, status, "%s", part.text);
    }
    c->steps_left = inner.steps_left;
    mn_grammar_destroy(inner.g);
    release(&inner);
    return status;
}

/* nothing [320]: why a part accepts nothing, if one does. */
static mn_status add(mn_grammar *g, const char *text, size_t bytes, mn_json_blanks blanks, int32_t *rule, char *nothing,
                     mn_error *err) {
    json_error_t where;
    int32_t root = g->root;
    mn_schema_compiler c = {
        .g = g, .blanks = blanks, .place = MN_STRBUF_INIT, .err = err, .made = json_array(), .steps_left = MAX_STEPS};
    c.root = json_loadb(text, bytes, JSON_DECODE_ANY, &where);
    mn_status status = MN_OK;
    if (!c.root) status = mn_fail(err, MN_ERR_FORMAT, "the schema is no JSON: line %d: %s.", where.line, where.text);
    if (status == MN_OK) status = mn_schema_add_texts(g, blanks, err);
    g->root = root;
    if (status == MN_OK) status = mn_schema_rule_of(&c, c.root, "#", rule);
    memcpy(nothing, c.nothing, sizeof c.nothing);
    json_decref(c.made);
    json_decref(c.root);
    release(&c);
    return status;
}

mn_status mn_json_schema_add(mn_grammar *g, const char *text, size_t bytes, mn_json_blanks blanks, int32_t *rule,
                             mn_error *err) {
    char nothing[sizeof((mn_schema_compiler *)0)->nothing];
    return add(g, text, bytes, blanks, rule, nothing, err);
}

mn_status mn_json_schema_parse(const char *text, size_t bytes, mn_json_blanks blanks, mn_grammar **out, mn_error *err) {
    mn_grammar *g = mn_grammar_create();
    char nothing[sizeof((mn_schema_compiler *)0)->nothing];
    *out = NULL;
    if (!g) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for a schema.");
    mn_status status = add(g, text, bytes, blanks, &g->root, nothing, err);
    if (status == MN_OK) {
        status = mn_grammar_check(g, err);
        if (status != MN_OK && nothing[0] && !mn_grammar_ends(g)) status = mn_fail(err, MN_ERR_FORMAT, "%s", nothing);
    }
    if (status == MN_OK)
        *out = g;
    else
        mn_grammar_destroy(g);
    return status;
}
