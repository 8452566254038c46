/* Schemas put together (allOf), told apart (oneOf), and found by reference. */
#include "base/checked.h"
#include "sample/json_schema_parts.h"

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

/* ---- putting together ---- */

static json_t *both(json_t *a, json_t *b) { return json_pack("{s:[O, O]}", "allOf", a, b); }

/* Items of a that are in b too, or all that are in one of them. Each may be a single item. */
static json_t *combine(json_t *a, json_t *b, bool all) {
    json_t *x = json_is_array(a) ? json_copy(a) : json_pack("[O]", a),
           *y = json_is_array(b) ? json_incref(b) : json_pack("[O]", b);
    json_t *out = all ? json_incref(x) : json_array();
    for (size_t i = 0; i < json_array_size(y); i++) {
        json_t *item = json_array_get(y, i);
        bool found = false;
        for (size_t k = 0; k < json_array_size(x); k++) found = found || json_equal(json_array_get(x, k), item);
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

static json_t *merge_properties(json_t *a, json_t *b) {
    json_t *out = json_copy(a);
    const char *name;
    json_t *schema;
    json_object_foreach(b, name, schema) {
        json_t *known = json_object_get(out, name);
        json_object_set_new(out, name, known && !json_equal(known, schema) ? both(known, schema) : json_incref(schema));
    }
    return out;
}

/* A keyword that both have; NULL where it cannot be put together. */
static json_t *merge_keyword(const char *key, json_t *a, json_t *b) {
    static const char *const lower[] = {"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties", NULL};
    static const char *const upper[] = {"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties", NULL};
    bool numbers = json_is_number(a) && json_is_number(b);
    if (json_equal(a, b)) return json_incref(a);
    if (numbers && is_among(key, lower)) return json_incref(json_number_value(a) > json_number_value(b) ? a : b);
    if (numbers && is_among(key, upper)) return json_incref(json_number_value(a) < json_number_value(b) ? a : b);
    if (!strcmp(key, "type")) return combine_types(a, b);
    if (!strcmp(key, "enum")) return combine(a, b, false);
    if (!strcmp(key, "required")) return combine(a, b, true);
    if (!strcmp(key, "properties")) return merge_properties(a, b);
    if (!strcmp(key, "items") || (!strcmp(key, "additionalProperties") && json_is_object(a) && json_is_object(b)))
        return both(a, b);
    if (mn_schema_is_annotation(key)) return json_incref(b);
    return NULL;
}

/* Where one part closes its objects, the other's properties have to be among its own. */
static bool agrees_on_closed(const json_t *closed, const json_t *other) {
    const json_t *more = json_object_get(closed, "additionalProperties");
    const char *name;
    json_t *schema;
    if (!more || json_is_true(more)) return true;
    json_object_foreach(json_object_get(other, "properties"), name,
                        schema) if (!json_object_get(json_object_get(closed, "properties"), name)) return false;
    return true;
}

static bool says_nothing_but(const json_t *schema, const char *keyword) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)schema, key,
                        value) if (strcmp(key, keyword) != 0 && !mn_schema_is_annotation(key)) return false;
    return true;
}

/* What a reference names, unless there is nothing to put together with it: it may lead back here. */
static mn_status follow(mn_schema_compiler *c, const json_t *a, const json_t **b) {
    for (int hops = 0; json_object_get(*b, "$ref") && !says_nothing_but(a, "$ref"); hops++) {
        const char *reference = json_string_value(json_object_get(*b, "$ref"));
        const json_t *target = reference ? mn_schema_resolve(c->root, reference) : NULL;
        if (!says_nothing_but(*b, "$ref")) return mn_schema_unsupported(c, "$ref", "keywords beside it");
        if (!target || hops > 32)
            return mn_schema_fail(c, MN_ERR_FORMAT, "the reference \"%.80s\" leads nowhere.",
                                  reference ? reference : "");
        *b = target;
    }
    return MN_OK;
}

mn_status mn_schema_merge(mn_schema_compiler *c, const json_t *a, const json_t *b, json_t **out) {
    MN_TRY(follow(c, a, &b));
    if (json_is_true(b)) b = NULL;
    if (b && !json_is_object(b))
        return mn_schema_fail(c, MN_ERR_FORMAT, "a part of it is no schema that accepts anything.");
    if (!agrees_on_closed(a, b) || !agrees_on_closed(b, a))
        return mn_schema_unsupported(c, "additionalProperties", "it shuts out properties of another part");
    json_t *merged = json_copy((json_t *)a);
    json_array_append_new(c->made, merged);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)b, key, value) {
        json_t *known = json_object_get(merged, key);
        json_t *common = known ? merge_keyword(key, known, value) : json_incref(value);
        if (!common) return mn_schema_unsupported(c, key, "parts that are to hold together differ in it");
        json_object_set_new(merged, key, common);
    }
    *out = merged;
    return MN_OK;
}

/* ---- telling apart ---- */

static bool value_is_among(const json_t *value, const json_t *list) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        if (json_equal(item, value)) return true;
        if (json_is_number(item) && json_is_number(value) && json_number_value(item) == json_number_value(value))
            return true;
    }
    return false;
}

/* The values that a schema lists, as an array; NULL = it lists none. The caller drops it. */
static json_t *values_of(const json_t *schema) {
    json_t *single = json_object_get(schema, "const"), *list = json_object_get(schema, "enum");
    if (single) return json_pack("[O]", single);
    return json_is_array(list) ? json_incref(list) : NULL;
}

static bool values_exclude(const json_t *a, const json_t *b) {
    json_t *x = values_of(a), *y = values_of(b);
    bool apart = x && y;
    for (size_t i = 0; apart && i < json_array_size(x); i++) apart = !value_is_among(json_array_get(x, i), y);
    json_decref(x);
    json_decref(y);
    return apart;
}

/* The types a schema may accept, one bit for each letter group: o(bject) a(rray) s(tring) n(umber) b(oolean) l (null).
 */
static unsigned type_bit(const char *type) {
    static const char *const names[] = {"object", "array", "string", "number", "boolean", "null"};
    if (!strcmp(type, "integer")) type = "number";
    for (unsigned i = 0; i < 6; i++)
        if (!strcmp(type, names[i])) return 1u << i;
    return 0x3f;
}

static unsigned value_bit(const json_t *value) {
    static const char *const names[] = {"object", "array", "string", "number", "number", "boolean", "boolean", "null"};
    return type_bit(names[json_typeof(value)]);
}

static unsigned types_of(const json_t *schema) {
    const json_t *types = json_object_get(schema, "type");
    json_t *values = values_of(schema);
    unsigned bits = 0;
    if (values)
        for (size_t i = 0; i < json_array_size(values); i++) bits |= value_bit(json_array_get(values, i));
    else if (json_is_string(types))
        bits = type_bit(json_string_value(types));
    else
        for (size_t i = 0; i < json_array_size(types); i++)
            bits |=
                json_is_string(json_array_get(types, i)) ? type_bit(json_string_value(json_array_get(types, i))) : 0x3f;
    json_decref(values);
    if (json_is_true(json_object_get(schema, "nullable"))) bits |= bits ? type_bit("null") : 0;
    return bits ? bits : 0x3f;
}

static const json_t *followed(const mn_schema_compiler *c, const json_t *schema) {
    for (int hops = 0; hops < 32 && json_is_string(json_object_get(schema, "$ref")); hops++)
        schema = mn_schema_resolve(c->root, json_string_value(json_object_get(schema, "$ref")));
    return schema;
}

static bool requires(const json_t *schema, const char *name) {
    const json_t *required = json_object_get(schema, "required");
    for (size_t i = 0; i < json_array_size(required); i++) {
        const char *item = json_string_value(json_array_get(required, i));
        if (item && !strcmp(item, name)) return true;
    }
    return false;
}

bool mn_schema_exclude(const mn_schema_compiler *c, const json_t *a, const json_t *b, int depth) {
    a = followed(c, a);
    b = followed(c, b);
    if (!a || !b || depth > 8) return false;
    unsigned common = types_of(a) & types_of(b);
    if (!common || values_exclude(a, b)) return true;
    const char *name;
    json_t *schema;
    if (common != type_bit("object")) return false;
    json_object_foreach(json_object_get(a, "properties"), name, schema) {
        const json_t *other = json_object_get(json_object_get(b, "properties"), name);
        if (other && requires(a, name) && requires(b, name) && mn_schema_exclude(c, schema, other, depth + 1))
            return true;
    }
    return false;
}
