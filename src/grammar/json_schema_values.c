/* Schemas that have few values, or none, or none in common. */
#include "grammar/json_schema_parts.h"

#include <math.h>
#include <string.h>

enum { MAX_DEPTH = 16 };

static const json_t *followed(const mn_schema_compiler *c, const json_t *schema) {
    for (int hops = 0; hops < 32 && json_is_string(json_object_get(schema, "$ref")); hops++)
        schema = mn_schema_resolve(c->root, json_string_value(json_object_get(schema, "$ref")));
    return schema;
}

/* ---- the values of a schema ---- */

static void add_value(json_t *out, json_t *value) {
    for (size_t i = 0; i < json_array_size(out); i++)
        if (mn_schema_same(json_array_get(out, i), value)) return;
    json_array_append(out, value);
}

static void add_all(json_t *out, const json_t *values) {
    for (size_t i = 0; i < json_array_size(values); i++) add_value(out, json_array_get(values, i));
}

static bool add_integers(const json_t *schema, size_t most, json_t *out) {
    const json_t *low = json_object_get(schema, "minimum"), *high = json_object_get(schema, "maximum");
    const json_t *above = json_object_get(schema, "exclusiveMinimum"),
                 *below = json_object_get(schema, "exclusiveMaximum");
    double first = json_is_number(low) ? ceil(json_number_value(low)) : -INFINITY;
    double last = json_is_number(high) ? floor(json_number_value(high)) : INFINITY;
    if (json_is_number(above)) first = fmax(first, floor(json_number_value(above)) + 1);
    if (json_is_number(below)) last = fmin(last, ceil(json_number_value(below)) - 1);
    if (!isfinite(first) || !isfinite(last) || fabs(first) > 1e15 || last - first >= (double)most) return false;
    for (double x = first; x <= last; x++) json_array_append_new(out, json_integer((json_int_t)x));
    return true;
}

static bool add_type(const json_t *schema, const char *type, size_t most, json_t *out) {
    if (!strcmp(type, "integer")) return add_integers(schema, most, out);
    if (!strcmp(type, "null")) json_array_append_new(out, json_null());
    if (!strcmp(type, "boolean")) {
        json_array_append_new(out, json_true());
        json_array_append_new(out, json_false());
    }
    return !strcmp(type, "null") || !strcmp(type, "boolean");
}

static bool add_types(const json_t *schema, size_t most, json_t *out) {
    const json_t *types = json_object_get(schema, "type");
    if (json_is_string(types)) return add_type(schema, json_string_value(types), most, out);
    for (size_t i = 0; i < json_array_size(types); i++) {
        const char *type = json_string_value(json_array_get(types, i));
        if (!type || !add_type(schema, type, most, out)) return false;
    }
    return json_is_array(types);
}

static bool collect(mn_schema_compiler *c, const json_t *schema, size_t most, int depth, json_t *out);

/* The values of one of the parts that have to hold together: what the others refuse is taken out later. */
static bool collect_part(mn_schema_compiler *c, const json_t *parts, size_t most, int depth, json_t *out) {
    for (size_t i = 0; i < json_array_size(parts); i++) {
        json_t *some = json_array();
        bool found = collect(c, json_array_get(parts, i), most, depth + 1, some);
        if (found) add_all(out, some);
        json_decref(some);
        if (found) return true;
    }
    return false;
}

static bool collect_branches(mn_schema_compiler *c, const json_t *branches, size_t most, int depth, json_t *out) {
    for (size_t i = 0; i < json_array_size(branches); i++) {
        json_t *some = json_array();
        bool found = collect(c, json_array_get(branches, i), most, depth + 1, some);
        add_all(out, some);
        json_decref(some);
        if (!found || json_array_size(out) > most) return false;
    }
    return json_array_size(branches) > 0;
}

/* Values among which all are that the schema accepts; false: nothing lists them. */
static bool collect(mn_schema_compiler *c, const json_t *schema, size_t most, int depth, json_t *out) {
    json_t *single = json_object_get(schema, "const"), *list = json_object_get(schema, "enum");
    const json_t *reference = json_object_get(schema, "$ref");
    if (json_is_false(schema)) return true;
    if (!json_is_object(schema) || depth > MAX_DEPTH) return false;
    if (single) {
        json_array_append(out, single);
    } else if (json_is_array(list)) {
        if (json_array_size(list) > most) return false;
        add_all(out, list);
    } else if (!add_types(schema, most, out)) {
        json_array_clear(out);
        if (json_is_string(reference)) {
            const json_t *target = mn_schema_resolve(c->root, json_string_value(reference));
            if (target && collect(c, target, most, depth + 1, out)) goto found;
        }
        if (!collect_part(c, json_object_get(schema, "allOf"), most, depth, out) &&
            !collect_branches(c, json_object_get(schema, "anyOf"), most, depth, out) &&
            !collect_branches(c, json_object_get(schema, "oneOf"), most, depth, out))
            return false;
    }
found:
    if (json_is_true(json_object_get(schema, "nullable"))) {
        json_t *null = json_null();
        add_value(out, null);
    }
    return json_array_size(out) <= most;
}

json_t *mn_schema_values(mn_schema_compiler *c, const json_t *schema, size_t most) {
    json_t *all = json_array(), *out = mn_schema_keep(c, json_array());
    bool known = collect(c, schema, most, 0, all);
    for (size_t i = 0; known && i < json_array_size(all); i++)
        if (mn_schema_accepts(c, schema, json_array_get(all, i)) == MN_YES)
            json_array_append(out, json_array_get(all, i));
    json_decref(all);
    return known ? out : NULL;
}

/* Whether a schema lists values of which all are certainly refused by another. */
static bool refuses_all(mn_schema_compiler *c, const json_t *listing, const json_t *other) {
    json_t *all = json_array();
    bool none = collect(c, listing, 256, 0, all);
    for (size_t i = 0; none && i < json_array_size(all); i++)
        none = mn_schema_accepts(c, other, json_array_get(all, i)) == MN_NO;
    json_decref(all);
    return none;
}

/* ---- none at all ---- */

static bool is_empty(mn_schema_compiler *c, const json_t *schema, int depth) {
    const json_t *types = json_object_get(schema, "type"), *required = json_object_get(schema, "required");
    if (json_is_false(schema)) return true;
    if (!json_is_object(schema) || depth > 3) return false;
    if (json_is_array(types) && json_array_size(types) == 0) return true;
    if (refuses_all(c, schema, schema)) return true;
    if (!json_is_string(types) || strcmp(json_string_value(types), "object") != 0) return false;
    for (size_t i = 0; i < json_array_size(required); i++) {
        const char *name = json_string_value(json_array_get(required, i));
        const json_t *own = name ? json_object_get(json_object_get(schema, "properties"), name) : NULL;
        if (own && is_empty(c, own, depth + 1)) return true;
    }
    return false;
}

bool mn_schema_is_empty(mn_schema_compiler *c, const json_t *schema) { return is_empty(c, schema, 0); }

/* ---- none in common ---- */

/* The types a schema may accept, a bit for each; integers are numbers. */
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
    const json_t *types = json_object_get(schema, "type"), *list = json_object_get(schema, "enum");
    const json_t *single = json_object_get(schema, "const");
    unsigned bits = single ? value_bit(single) : 0;
    for (size_t i = 0; !single && i < json_array_size(list); i++) bits |= value_bit(json_array_get(list, i));
    if (!bits && json_is_string(types)) bits = type_bit(json_string_value(types));
    for (size_t i = 0; !single && !list && i < json_array_size(types); i++)
        bits |= json_is_string(json_array_get(types, i)) ? type_bit(json_string_value(json_array_get(types, i))) : 0x3f;
    if (json_is_true(json_object_get(schema, "nullable"))) bits |= bits ? type_bit("null") : 0;
    return bits ? bits : 0x3f;
}

static bool requires(const json_t *schema, const char *name) {
    const json_t *required = json_object_get(schema, "required");
    for (size_t i = 0; i < json_array_size(required); i++) {
        const char *item = json_string_value(json_array_get(required, i));
        if (item && !strcmp(item, name)) return true;
    }
    return false;
}

static bool exclude(mn_schema_compiler *c, const json_t *a, const json_t *b, int depth) {
    a = followed(c, a);
    b = followed(c, b);
    if (!json_is_object(a) || !json_is_object(b) || depth > 8) return json_is_false(a) || json_is_false(b);
    unsigned common = types_of(a) & types_of(b);
    if (!common || refuses_all(c, a, b) || refuses_all(c, b, a)) return true;
    const char *name;
    json_t *schema;
    if (common != type_bit("object")) return false;
    json_object_foreach(json_object_get(a, "properties"), name, schema) {
        const json_t *other = json_object_get(json_object_get(b, "properties"), name);
        if (other && requires(a, name) && requires(b, name) && exclude(c, schema, other, depth + 1)) return true;
    }
    return false;
}

bool mn_schema_exclude(mn_schema_compiler *c, const json_t *a, const json_t *b) { return exclude(c, a, b, 0); }
