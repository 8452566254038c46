/* Schemas put together (allOf), and found by reference. */
#include "grammar/json_digits.h"
#include "grammar/json_schema_parts.h"

#include <stdlib.h>
#include <string.h>

static bool is_among(const char *word, const char *const *list) {
    for (; *list; list++)
        if (!strcmp(word, *list)) return true;
    return false;
}

bool mn_schema_is_annotation(const char *keyword) {
    static const char *const annotations[] = {
        "$schema", "$id",          "id",       "$comment",    "$anchor",          "$vocabulary",
        "$defs",   "definitions",  "title",    "description", "default",          "examples",
        "example", "deprecated",   "readOnly", "writeOnly",   "contentMediaType", "contentEncoding",
        "strict",  "externalDocs", "xml",      NULL};
    return is_among(keyword, annotations) || !strncmp(keyword, "x-", 2);
}

/* ---- references ---- */

/* A step of a JSON pointer (RFC 6901), within a URI: ~1 is /, ~0 is ~, %25 is %. */
static bool take_step(const char **at, char *out, size_t out_bytes) {
    size_t n = 0;
    const char *p = *at;
    for (; *p && *p != '/'; p++) {
        char c = *p;
        if (n + 1 == out_bytes) return false;
        if (c == '~' && (p[1] == '0' || p[1] == '1')) c = *++p == '0' ? '~' : '/';
        if (c == '%' && p[1] && p[2]) {
            const char hex[3] = {p[1], p[2], 0};
            c = (char)strtol(hex, NULL, 16);
            p += 2;
        }
        out[n++] = c;
    }
    out[n] = 0;
    *at = p;
    return true;
}

const json_t *mn_schema_resolve(const json_t *root, const char *reference) {
    const json_t *at = root;
    char step[256];
    if (*reference++ != '#') return NULL;
    while (at && *reference == '/') {
        reference++;
        if (!take_step(&reference, step, sizeof step)) return NULL;
        char *end;
        long index = strtol(step, &end, 10);
        at = json_is_array(at) && *step && !*end && index >= 0 ? json_array_get(at, (size_t)index)
                                                               : json_object_get(at, step);
    }
    return *reference ? NULL : at;
}

bool mn_schema_has_only(const json_t *schema, const char *keyword) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)schema, key, value) {
        bool is_it = keyword && !strcmp(key, keyword);
        if (!is_it && !mn_schema_is_annotation(key)) return false;
    }
    return true;
}

/* ---- keywords ---- */

static void add_parts(json_t *list, json_t *schema) {
    json_t *parts = mn_schema_has_only(schema, "allOf") ? json_object_get(schema, "allOf") : NULL, *part;
    json_t *one = json_pack("[O]", schema);
    size_t i, k;
    json_array_foreach(json_array_size(parts) ? parts : one, i, part) {
        bool known = json_is_true(part);
        for (k = 0; !known && k < json_array_size(list); k++) known = json_equal(json_array_get(list, k), part);
        if (!known) json_array_append(list, part);
    }
    json_decref(one);
}

/* What both schemas accept, each part once, so that schemas which call each other do not grow for ever. */
static json_t *both(json_t *a, json_t *b) {
    json_t *list = json_array(), *out;
    if (json_is_false(a) || json_is_false(b)) {
        out = json_false();
    } else {
        add_parts(list, a);
        add_parts(list, b);
        out = json_array_size(list) == 0   ? json_true()
              : json_array_size(list) == 1 ? json_incref(json_array_get(list, 0))
                                           : json_pack("{s:O}", "allOf", list);
    }
    json_decref(list);
    return out;
}

/* Items of a that are in b too, or all that are in one of them. Each may be a single item. */
static json_t *combine(json_t *a, json_t *b, bool all) {
    json_t *x = json_is_array(a) ? json_copy(a) : json_pack("[O]", a),
           *y = json_is_array(b) ? json_incref(b) : json_pack("[O]", b);
    json_t *out = all ? json_incref(x) : json_array();
    for (size_t i = 0; i < json_array_size(y); i++) {
        json_t *item = json_array_get(y, i);
        bool found = false;
        for (size_t k = 0; k < json_array_size(x); k++) found = found || mn_schema_same(json_array_get(x, k), item);
        if (found != all) json_array_append(out, item);
    }
    json_decref(x);
    json_decref(y);
    return out;
}

/* number and integer have the integers in common. */
static json_t *combine_types(json_t *a, json_t *b) {
    json_t *out = combine(a, b, false), *integer = json_string("integer"), *number = json_string("number");
    json_t *x = combine(a, integer, false), *y = combine(b, integer, false);
    json_t *u = combine(a, number, false), *v = combine(b, number, false);
    bool mixed = (json_array_size(x) && json_array_size(v)) || (json_array_size(y) && json_array_size(u));
    json_t *known = combine(out, integer, false);
    if (mixed && !json_array_size(known) && !(json_array_size(u) && json_array_size(v)))
        json_array_append(out, integer);
    json_t *const drop[] = {integer, number, x, y, u, v, known};
    for (size_t i = 0; i < sizeof drop / sizeof *drop; i++) json_decref(drop[i]);
    return out;
}

/* Members of either; those of both are put together by the function. */
static json_t *merge_members(json_t *a, json_t *b, json_t *(*together)(json_t *, json_t *)) {
    json_t *out = json_copy(a), *value;
    const char *name;
    json_object_foreach(b, name, value) {
        json_t *known = json_object_get(out, name);
        json_object_set_new(out, name,
                            known && !json_equal(known, value) ? together(known, value) : json_incref(value));
    }
    return out;
}

static json_t *all_of(json_t *a, json_t *b) { return combine(a, b, true); }

static json_t *merge_multiple(json_t *a, json_t *b) {
    if (!json_is_number(a) || !json_is_number(b)) return NULL;
    if (mn_schema_is_multiple(a, b)) return json_incref(a);
    if (mn_schema_is_multiple(b, a)) return json_incref(b);
    if (!json_is_integer(a) || !json_is_integer(b)) return NULL;
    json_int_t x = json_integer_value(a), y = json_integer_value(b), product;
    if (x <= 0 || y <= 0 || __builtin_mul_overflow(x / mn_gcd(x, y), y, &product)) return NULL;
    return json_integer(product);
}

/* A keyword that both have; NULL where it cannot be put together. */
static json_t *merge_keyword(const char *key, json_t *a, json_t *b) {
    static const char *const lower[] = {"minimum",       "exclusiveMinimum", "minLength", "minItems",
                                        "minProperties", "minContains",      NULL};
    static const char *const upper[] = {"maximum",       "exclusiveMaximum", "maxLength", "maxItems",
                                        "maxProperties", "maxContains",      NULL};
    static const char *const members[] = {"properties", "patternProperties", "dependentSchemas", NULL};
    static const char *const schemas[] = {"items", "additionalProperties", "propertyNames", NULL};
    bool numbers = json_is_number(a) && json_is_number(b), objects = json_is_object(a) && json_is_object(b);
    if (json_equal(a, b) || !strcmp(key, "prefixItems")) return json_incref(a); /* merge_leading has those */
    if (numbers && is_among(key, lower)) return json_incref(json_number_value(a) > json_number_value(b) ? a : b);
    if (numbers && is_among(key, upper)) return json_incref(json_number_value(a) < json_number_value(b) ? a : b);
    if (!strcmp(key, "const") && mn_schema_same(a, b)) return json_incref(a);
    if (!strcmp(key, "type")) return combine_types(a, b);
    if (!strcmp(key, "enum")) return combine(a, b, false);
    if (!strcmp(key, "required") || !strcmp(key, "allOf") || !strcmp(key, MN_SCHEMA_ALSO)) return combine(a, b, true);
    if (objects && is_among(key, members)) return merge_members(a, b, both);
    if (objects && !strcmp(key, "dependentRequired")) return merge_members(a, b, all_of);
    if (is_among(key, schemas)) return both(a, b);
    if (!strcmp(key, "uniqueItems")) return json_boolean(json_is_true(a) || json_is_true(b));
    if (!strcmp(key, "multipleOf")) return merge_multiple(a, b);
    if (mn_schema_is_annotation(key)) return json_incref(b);
    return NULL;
}

static void append(json_t *schema, const char *list, json_t *item) {
    json_t *old = json_object_get(schema, list), *more = json_pack("[o]", item);
    json_object_set_new(schema, list, old ? combine(old, more, true) : json_incref(more));
    json_decref(more);
}

/* A keyword of which a schema has one already: it goes to a list of further ones. False where there is none. */
static bool put_beside(json_t *merged, const char *key, json_t *value) {
    static const char *const branching[] = {"$ref", "anyOf", "oneOf", "not", "dependencies", "contains", NULL};
    static const char *const conditions[] = {"pattern", "format", NULL};
    if (!strcmp(key, "contains")) return false;
    if (is_among(key, branching))
        append(merged, "allOf", json_pack("{s:O}", key, value));
    else if (is_among(key, conditions))
        append(merged, MN_SCHEMA_ALSO, json_pack("{s:O}", key, value));
    else
        return false;
    return true;
}

/* ---- objects that allow no others ---- */

static bool is_matched(mn_schema_compiler *c, const json_t *schema, const char *name) {
    const char *pattern;
    json_t *value;
    json_object_foreach(json_object_get(schema, "patternProperties"), pattern, value) {
        if (mn_schema_matches(c, pattern, name) != MN_NO) return true;
    }
    return json_object_get(json_object_get(schema, "properties"), name) != NULL;
}

/* additionalProperties: false, as a condition on names. */
static json_t *names_of(const json_t *closed) {
    json_t *own = json_array(), *list = json_pack("[{s:o}]", "enum", own), *schema;
    const char *name;
    json_object_foreach(json_object_get(closed, "properties"), name, schema)
        json_array_append_new(own, json_string(name));
    json_object_foreach(json_object_get(closed, "patternProperties"), name, schema)
        json_array_append_new(list, json_pack("{s:s}", "pattern", name));
    return json_pack("{s:o}", "anyOf", list);
}

/* What `closed` says of others holds for the other's properties that it does not name. */
static mn_status close_properties(mn_schema_compiler *c, const json_t *closed, const json_t *other, json_t *merged) {
    json_t *more = json_object_get(closed, "additionalProperties"), *schema;
    json_t *patterns = json_object_get(other, "patternProperties"), *own = json_object_get(closed, "patternProperties");
    json_t *named = json_object_get(other, "properties");
    const char *name;
    if (!more || json_is_true(more)) return MN_OK;
    if (json_object_size(patterns) && !json_equal(patterns, own)) {
        if (!json_is_false(more))
            return mn_schema_unsupported(c, "additionalProperties",
                                         "another part has patterns of properties; put both into one part");
        json_t *names = names_of(closed), *known = json_object_get(merged, "propertyNames");
        json_object_set_new(merged, "propertyNames", known ? both(known, names) : json_incref(names));
        json_decref(names);
    }
    json_t *properties = json_copy(json_object_get(merged, "properties"));
    json_object_foreach(named, name, schema) {
        if (!is_matched(c, closed, name))
            json_object_set_new(properties, name, both(json_object_get(properties, name), more));
    }
    if (properties) json_object_set_new(merged, "properties", properties);
    return MN_OK;
}

/* ---- arrays ---- */

/* Lists of items as they are written since 2020-12. */
static void modernise(json_t *schema) {
    json_t *items = json_object_get(schema, "items");
    if (!json_is_array(items)) return;
    json_object_set(schema, "prefixItems", items);
    if (json_object_get(schema, "additionalItems"))
        json_object_set(schema, "items", json_object_get(schema, "additionalItems"));
    else
        json_object_del(schema, "items");
    json_object_del(schema, "additionalItems");
}

static json_t *item_of(const json_t *schema, size_t i) {
    const json_t *leading = json_object_get(schema, "prefixItems");
    json_t *rest = json_object_get(schema, "items");
    return i < json_array_size(leading) ? json_array_get(leading, i) : rest ? rest : json_true();
}

/* Items by their place; without leading ones of either, `items` are merged as all keywords are. */
static void merge_leading(const json_t *a, const json_t *b, json_t *merged) {
    size_t x = json_array_size(json_object_get(a, "prefixItems")),
           y = json_array_size(json_object_get(b, "prefixItems"));
    json_t *leading = json_array();
    for (size_t i = 0; i < (x > y ? x : y); i++) json_array_append_new(leading, both(item_of(a, i), item_of(b, i)));
    if (x || y) json_object_set(merged, "prefixItems", leading);
    json_decref(leading);
}

/* ---- all of it ---- */

/* A copy without annotations, in which keywords stand alone that count for others elsewhere. */
static json_t *plain_copy(const json_t *schema) {
    json_t *out = json_object(), *value;
    const char *key;
    json_object_foreach((json_t *)schema, key, value) {
        if (!mn_schema_is_annotation(key)) json_object_set(out, key, value);
    }
    modernise(out);
    if (!json_object_get(out, "contains")) {
        json_object_del(out, "minContains");
        json_object_del(out, "maxContains");
    } else if (!json_object_get(out, "minContains")) {
        json_object_set_new(out, "minContains", json_integer(1));
    }
    if (json_is_true(json_object_get(out, "nullable"))) {
        json_object_del(out, "nullable");
        return json_pack("{s:[o, {s:s}]}", "anyOf", out, "type", "null");
    }
    json_object_del(out, "nullable");
    return out;
}

/* if, then and else belong together. */
static void take_apart_condition(json_t *merged, json_t *b) {
    static const char *const keys[] = {"if", "then", "else"};
    bool has_one = false, other = false;
    for (int i = 0; i < 3; i++) {
        has_one = has_one || json_object_get(merged, keys[i]);
        other = other || json_object_get(b, keys[i]);
    }
    if (!has_one || !other) return;
    json_t *condition = json_object();
    for (int i = 0; i < 3; i++) {
        json_t *value = json_object_get(b, keys[i]);
        if (value) json_object_set(condition, keys[i], value);
        json_object_del(b, keys[i]);
    }
    append(merged, "allOf", condition);
}

static mn_status merge(mn_schema_compiler *c, json_t *a, json_t *b, json_t *merged) {
    const char *key;
    json_t *value;
    take_apart_condition(merged, b);
    json_object_foreach(b, key, value) {
        json_t *known = json_object_get(merged, key),
               *common = known ? merge_keyword(key, known, value) : json_incref(value);
        if (common)
            json_object_set_new(merged, key, common);
        else if (!strcmp(key, "const"))
            json_object_set_new(merged, "type", json_array()); /* no value is both */
        else if (!put_beside(merged, key, value))
            return mn_schema_unsupported(c, key, "parts that are to hold together differ in it; put them into one");
    }
    merge_leading(a, b, merged);
    MN_TRY(close_properties(c, a, b, merged));
    return close_properties(c, b, a, merged);
}

mn_status mn_schema_merge(mn_schema_compiler *c, const json_t *a, const json_t *b, json_t **out) {
    *out = NULL;
    if (json_is_false(a) || json_is_false(b)) {
        *out = json_false();
        return MN_OK;
    }
    if (json_is_true(a) || json_is_true(b)) {
        *out = (json_t *)(json_is_true(a) ? b : a);
        return MN_OK;
    }
    if (!json_is_object(a) || !json_is_object(b)) return mn_schema_fail(c, MN_ERR_FORMAT, "a part of it is no schema.");
    json_t *x = mn_schema_keep(c, plain_copy(a)), *y = mn_schema_keep(c, plain_copy(b));
    *out = mn_schema_keep(c, json_copy(x));
    return merge(c, x, y, *out);
}
