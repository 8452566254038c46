/* What a schema does not accept, as schemas: one keyword after the other turned into its opposite. Where a keyword has
 * none here, what only it would refuse is left out: fewer answers, and none that is wrong. */
#include "grammar/json_schema_parts.h"

#include <string.h>

static json_t *typed(const char *type, json_t *schema) {
    json_object_set_new(schema, "type", json_string(type));
    return schema;
}

static json_t *not_of(json_t *schema) { return json_pack("{s:O}", "not", schema); }

/* A condition for the list beside the keywords. */
static json_t *also_not(const char *keyword, json_t *value) {
    return json_pack("{s:[{s:{s:O}}]}", MN_SCHEMA_ALSO, "not", keyword, value);
}

/* ---- the opposite of one keyword; what they add to out is a branch each ---- */

typedef bool opposite_fn(const json_t *schema, json_t *value, json_t *out); /* false: there is none */

static bool of_type(const json_t *schema, json_t *value, json_t *out) {
    static const char *const names[] = {"object", "array", "string", "boolean", "null"};
    json_t *list = json_is_array(value) ? json_incref(value) : json_pack("[O]", value), *others = json_array(), *item;
    bool numbers = false, integers = false;
    size_t i;
    (void)schema;
    json_array_foreach(list, i, item) {
        const char *name = json_string_value(item);
        numbers = numbers || (name && !strcmp(name, "number"));
        integers = integers || (name && !strcmp(name, "integer"));
    }
    for (size_t k = 0; k < 5; k++) {
        bool known = false;
        json_array_foreach(list, i, item) {
            const char *name = json_string_value(item);
            known = known || (name && !strcmp(name, names[k]));
        }
        if (!known) json_array_append_new(others, json_string(names[k]));
    }
    if (!numbers && !integers) json_array_append_new(others, json_string("number"));
    if (integers && !numbers) {
        json_t *integer = json_string("integer");
        json_array_append_new(out, typed("number", also_not("type", integer)));
        json_decref(integer);
    }
    if (json_array_size(others)) json_array_append_new(out, json_pack("{s:O}", "type", others));
    json_decref(list);
    json_decref(others);
    return true;
}

static bool of_enum(const json_t *schema, json_t *value, json_t *out) {
    (void)schema;
    json_array_append_new(out, also_not("enum", value));
    return true;
}

static bool of_const(const json_t *schema, json_t *value, json_t *out) {
    json_t *list = json_pack("[O]", value);
    of_enum(schema, list, out);
    json_decref(list);
    return true;
}

static bool of_bound(const char *opposite, json_t *value, json_t *out) {
    if (!json_is_number(value)) return false;
    json_array_append_new(out, typed("number", json_pack("{s:O}", opposite, value)));
    return true;
}

/* exclusive...: true, of draft 4, is no bound of its own. */
static bool of_minimum(const json_t *schema, json_t *value, json_t *out) {
    bool left_out = json_is_true(json_object_get(schema, "exclusiveMinimum"));
    return of_bound(left_out ? "maximum" : "exclusiveMaximum", value, out);
}

static bool of_maximum(const json_t *schema, json_t *value, json_t *out) {
    bool left_out = json_is_true(json_object_get(schema, "exclusiveMaximum"));
    return of_bound(left_out ? "minimum" : "exclusiveMinimum", value, out);
}

static bool of_above(const json_t *schema, json_t *value, json_t *out) {
    (void)schema;
    return json_is_boolean(value) || of_bound("maximum", value, out);
}

static bool of_below(const json_t *schema, json_t *value, json_t *out) {
    (void)schema;
    return json_is_boolean(value) || of_bound("minimum", value, out);
}

static bool of_multiple(const json_t *schema, json_t *value, json_t *out) {
    (void)schema;
    json_array_append_new(out, typed("number", also_not("multipleOf", value)));
    return true;
}

static bool of_pattern(const json_t *schema, json_t *value, json_t *out) {
    (void)schema;
    json_array_append_new(out, typed("string", also_not("pattern", value)));
    return true;
}

/* min... n is max... n - 1 of the same. */
static bool fewer(const char *type, const char *keyword, json_t *value, json_t *out) {
    double n = json_number_value(value);
    if (n > 0) json_array_append_new(out, typed(type, json_pack("{s:f}", keyword, n - 1)));
    return json_is_number(value);
}

static bool more(const char *type, const char *keyword, json_t *value, json_t *out) {
    json_array_append_new(out, typed(type, json_pack("{s:f}", keyword, json_number_value(value) + 1)));
    return json_is_number(value);
}

static bool of_min_length(const json_t *s, json_t *value, json_t *out) {
    (void)s;
    return fewer("string", "maxLength", value, out);
}

static bool of_max_length(const json_t *s, json_t *value, json_t *out) {
    (void)s;
    return more("string", "minLength", value, out);
}

static bool of_min_items(const json_t *s, json_t *value, json_t *out) {
    (void)s;
    return fewer("array", "maxItems", value, out);
}

static bool of_max_items(const json_t *s, json_t *value, json_t *out) {
    (void)s;
    return more("array", "minItems", value, out);
}

static bool of_min_properties(const json_t *s, json_t *value, json_t *out) {
    (void)s;
    return fewer("object", "maxProperties", value, out);
}

static bool of_max_properties(const json_t *s, json_t *value, json_t *out) {
    (void)s;
    return more("object", "minProperties", value, out);
}

static bool of_required(const json_t *schema, json_t *value, json_t *out) {
    json_t *name;
    size_t i;
    (void)schema;
    json_array_foreach(value, i, name) {
        if (!json_is_string(name)) return false;
        json_array_append_new(out, typed("object", json_pack("{s:{s:b}}", "properties", json_string_value(name), 0)));
    }
    return true;
}

static bool of_properties(const json_t *schema, json_t *value, json_t *out) {
    const char *name;
    json_t *own;
    (void)schema;
    json_object_foreach(value, name, own) {
        if (json_is_true(own)) continue;
        json_t *other = json_pack("{s:{s:o}, s:[s]}", "properties", name, not_of(own), "required", name);
        json_array_append_new(out, typed("object", other));
    }
    return json_is_object(value);
}

static bool of_dependent_required(const json_t *schema, json_t *value, json_t *out) {
    const char *name;
    json_t *names, *item;
    size_t i;
    (void)schema;
    json_object_foreach(value, name, names) json_array_foreach(names, i, item) {
        const char *missing = json_string_value(item);
        if (missing && strcmp(missing, name) != 0)
            json_array_append_new(
                out, typed("object", json_pack("{s:{s:b}, s:[s]}", "properties", missing, 0, "required", name)));
    }
    return json_is_object(value);
}

/* Some item is not accepted; those behind leading ones are told by no keyword. */
static bool of_items(const json_t *schema, json_t *value, json_t *out) {
    if (json_is_array(value) || json_object_get(schema, "prefixItems")) return false;
    json_array_append_new(out, typed("array", json_pack("{s:o, s:i}", "contains", not_of(value), "minContains", 1)));
    return true;
}

static bool of_leading(const json_t *schema, json_t *value, json_t *out) {
    (void)schema;
    for (size_t i = 0; i < json_array_size(value); i++) {
        json_t *leading = json_array();
        for (size_t k = 0; k < i; k++) json_array_append_new(leading, json_true());
        json_array_append_new(leading, not_of(json_array_get(value, i)));
        json_array_append_new(
            out, typed("array", json_pack("{s:o, s:I}", "prefixItems", leading, "minItems", (json_int_t)i + 1)));
    }
    return true;
}

static bool of_contains(const json_t *schema, json_t *value, json_t *out) {
    const json_t *min = json_object_get(schema, "minContains"), *max = json_object_get(schema, "maxContains");
    double least = min ? json_number_value(min) : 1;
    if (least == 1)
        json_array_append_new(out, typed("array", json_pack("{s:o}", "items", not_of(value))));
    else if (least > 1)
        json_array_append_new(out, typed("array", json_pack("{s:O, s:i, s:f}", "contains", value, "minContains", 0,
                                                            "maxContains", least - 1)));
    if (max)
        json_array_append_new(
            out, typed("array", json_pack("{s:O, s:f}", "contains", value, "minContains", json_number_value(max) + 1)));
    return true;
}

static bool of_any(const json_t *schema, json_t *value, json_t *out) {
    json_t *all = json_array(), *branch;
    size_t i;
    (void)schema;
    json_array_foreach(value, i, branch) json_array_append_new(all, not_of(branch));
    json_array_append_new(out, json_pack("{s:o}", "allOf", all));
    return true;
}

static bool of_all(const json_t *schema, json_t *value, json_t *out) {
    json_t *part;
    size_t i;
    (void)schema;
    json_array_foreach(value, i, part) json_array_append_new(out, not_of(part));
    return true;
}

/* None of them, or two. */
static bool of_one(const json_t *schema, json_t *value, json_t *out) {
    of_any(schema, value, out);
    for (size_t i = 0; i < json_array_size(value); i++)
        for (size_t k = 0; k < i; k++)
            json_array_append_new(out,
                                  json_pack("{s:[O, O]}", "allOf", json_array_get(value, k), json_array_get(value, i)));
    return true;
}

static bool of_not(const json_t *schema, json_t *value, json_t *out) {
    (void)schema;
    json_array_append(out, value);
    return true;
}

static bool of_condition(const json_t *schema, json_t *value, json_t *out) {
    json_t *then = json_object_get(schema, "then"), *otherwise = json_object_get(schema, "else");
    if (then) json_array_append_new(out, json_pack("{s:[O, {s:O}]}", "allOf", value, "not", then));
    if (otherwise) json_array_append_new(out, json_pack("{s:[{s:O}, {s:O}]}", "allOf", "not", value, "not", otherwise));
    return true;
}

static bool of_nothing(const json_t *schema, json_t *value, json_t *out) {
    (void)schema;
    (void)value;
    (void)out;
    return true;
}

static const struct {
    const char *keyword;
    opposite_fn *of;
} opposites[] = {
    {"type", of_type},
    {"enum", of_enum},
    {"const", of_const},
    {"minimum", of_minimum},
    {"maximum", of_maximum},
    {"exclusiveMinimum", of_above},
    {"exclusiveMaximum", of_below},
    {"multipleOf", of_multiple},
    {"pattern", of_pattern},
    {"minLength", of_min_length},
    {"maxLength", of_max_length},
    {"minItems", of_min_items},
    {"maxItems", of_max_items},
    {"minProperties", of_min_properties},
    {"maxProperties", of_max_properties},
    {"required", of_required},
    {"properties", of_properties},
    {"dependentRequired", of_dependent_required},
    {"items", of_items},
    {"prefixItems", of_leading},
    {"contains", of_contains},
    {"minContains", of_nothing},
    {"maxContains", of_nothing},
    {"anyOf", of_any},
    {"allOf", of_all},
    {"oneOf", of_one},
    {"not", of_not},
    {"if", of_condition},
    {"then", of_nothing},
    {"else", of_nothing},
};

/* ---- all of them ---- */

static const json_t *followed(mn_schema_compiler *c, const json_t *schema) {
    for (int hops = 0; hops < 32 && schema && mn_schema_has_only(schema, "$ref"); hops++) {
        const char *reference = json_string_value(json_object_get(schema, "$ref"));
        if (!reference) break;
        schema = mn_schema_resolve(c->root, reference);
    }
    return schema;
}

static bool add_opposite(const json_t *schema, const char *key, json_t *value, json_t *out) {
    for (size_t i = 0; i < sizeof opposites / sizeof *opposites; i++)
        if (!strcmp(opposites[i].keyword, key)) return opposites[i].of(schema, value, out);
    return mn_schema_is_annotation(key);
}

static mn_status negate_object(mn_schema_compiler *c, const json_t *schema, const char *keyword, json_t *out) {
    const char *key, *without = NULL;
    json_t *value;
    json_object_foreach((json_t *)schema, key, value) {
        if (!strcmp(key, "$ref") && json_is_string(value)) {
            json_t *target = (json_t *)mn_schema_resolve(c->root, json_string_value(value));
            if (target) json_array_append_new(out, not_of(target));
        } else if (!add_opposite(schema, key, value, out)) {
            without = key;
        }
    }
    if (!without || json_array_size(out) > 0) return MN_OK;
    char why[200];
    snprintf(why, sizeof why, "what \"%.60s\" refuses cannot be asked for; say what is accepted instead", without);
    return mn_schema_unsupported(c, keyword, why);
}

mn_status mn_schema_negate(mn_schema_compiler *c, const json_t *schema, const char *keyword, json_t **out) {
    *out = mn_schema_keep(c, json_array());
    schema = followed(c, schema);
    if (json_is_true(schema)) return MN_OK;
    if (json_is_false(schema)) {
        json_array_append_new(*out, json_true());
        return MN_OK;
    }
    if (!json_is_object(schema)) return mn_schema_fail(c, MN_ERR_FORMAT, "\"%s\" is no schema.", keyword);
    if (!json_is_true(json_object_get(schema, "nullable"))) return negate_object(c, schema, keyword, *out);
    json_t *rest = json_copy((json_t *)schema);
    json_object_del(rest, "nullable");
    json_array_append_new(*out, json_pack("{s:[{s:o}, {s:{s:s}}]}", "allOf", "not", rest, "not", "type", "null"));
    return MN_OK;
}
