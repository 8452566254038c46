/* Keywords that put schemas together: each becomes a list of schemas without it, of which a value is accepted by one.
 */
#include "grammar/json_schema_parts.h"

#include <string.h>

/* Borrowed items in, kept list out. */
static json_t *keep_list(mn_schema_compiler *c) { return mn_schema_keep(c, json_array()); }

static mn_status fail_form(mn_schema_compiler *c, const char *keyword, const char *form) {
    return mn_schema_fail(c, MN_ERR_FORMAT, "\"%s\" is no %s.", keyword, form);
}

static mn_status of_reference(mn_schema_compiler *c, const json_t *schema, json_t *out) {
    const char *reference = json_string_value(json_object_get(schema, "$ref"));
    const json_t *target = reference ? mn_schema_resolve(c->root, reference) : NULL;
    if (!reference || *reference != '#')
        return mn_schema_unsupported(c, "$ref", "references stay within the document and begin with #");
    if (!target) return mn_schema_fail(c, MN_ERR_FORMAT, "the reference \"%.80s\" leads nowhere.", reference);
    json_array_append(out, (json_t *)target);
    return MN_OK;
}

static mn_status of_nullable(mn_schema_compiler *c, const json_t *schema, json_t *out) {
    (void)c;
    if (json_is_true(json_object_get(schema, "nullable")))
        json_array_append_new(out, json_pack("{s:s}", "type", "null"));
    return MN_OK;
}

static mn_status of_any(mn_schema_compiler *c, const json_t *schema, json_t *out) {
    json_t *list = json_object_get(schema, "anyOf");
    if (json_array_size(list) == 0) return fail_form(c, "anyOf", "list of schemas");
    json_array_extend(out, list);
    return MN_OK;
}

/* Each branch without those before and behind it that may accept the same. */
static mn_status of_one(mn_schema_compiler *c, const json_t *schema, json_t *out) {
    json_t *list = json_object_get(schema, "oneOf"), *branch, *other;
    size_t i, k;
    if (json_array_size(list) == 0) return fail_form(c, "oneOf", "list of schemas");
    json_array_foreach(list, i, branch) {
        json_t *parts = json_pack("[O]", branch);
        json_array_foreach(list, k, other) {
            if (k != i && !mn_schema_exclude(c, branch, other))
                json_array_append_new(parts, json_pack("{s:O}", "not", other));
        }
        json_array_append_new(out,
                              json_array_size(parts) == 1 ? json_incref(branch) : json_pack("{s:O}", "allOf", parts));
        json_decref(parts);
    }
    return MN_OK;
}

/* if and then, or else without if. */
static mn_status of_condition(mn_schema_compiler *c, const json_t *schema, json_t *out) {
    json_t *condition = json_object_get(schema, "if"), *then = json_object_get(schema, "then");
    json_t *otherwise = json_object_get(schema, "else");
    (void)c;
    if (!condition || (!then && !otherwise)) {
        json_array_append_new(out, json_true()); /* nothing is asked for */
        return MN_OK;
    }
    json_array_append_new(out, json_pack("{s:[O, O]}", "allOf", condition, then ? then : json_true()));
    json_array_append_new(out,
                          json_pack("{s:[{s:O}, O]}", "allOf", "not", condition, otherwise ? otherwise : json_true()));
    return MN_OK;
}

static mn_status of_not(mn_schema_compiler *c, const json_t *schema, json_t *out) {
    json_t *branches;
    MN_TRY(mn_schema_negate(c, json_object_get(schema, "not"), "not", &branches));
    json_array_extend(out, branches);
    return MN_OK;
}

/* Without the property, or with it and what it asks for: names, or a schema. */
static void depend(json_t *out, const char *name, json_t *asked) {
    json_array_append_new(out, json_pack("{s:{s:b}}", "properties", name, 0));
    if (json_is_array(asked)) {
        json_t *names = json_copy(asked);
        json_array_append_new(names, json_string(name));
        json_array_append_new(out, json_pack("{s:o}", "required", names));
    } else {
        json_array_append_new(out, json_pack("{s:[{s:[s]}, O]}", "allOf", "required", name, asked));
    }
}

/* The first of the dependencies; those that follow stay in the rest. */
static mn_status of_dependency(mn_schema_compiler *c, json_t *rest, const char *keyword, json_t *out) {
    json_t *all = json_copy(json_object_get(rest, keyword)), *asked;
    void *first = json_object_iter(all);
    if (!json_is_object(all)) {
        json_decref(all);
        return fail_form(c, keyword, "object");
    }
    if (!first) {
        json_object_del(rest, keyword);
        json_array_append_new(out, json_true());
    } else {
        char *name = strdup(json_object_iter_key(first));
        asked = json_object_iter_value(first);
        if (name) depend(out, name, asked);
        if (name) json_object_del(all, name);
        free(name);
        if (json_object_size(all))
            json_object_set(rest, keyword, all);
        else
            json_object_del(rest, keyword);
    }
    json_decref(all);
    return MN_OK;
}

/* ---- all of them ---- */

typedef mn_status branches_fn(mn_schema_compiler *c, const json_t *schema, json_t *out);

static const struct {
    const char *keyword;
    branches_fn *of;          /* NULL: a dependency, or allOf */
    const char *and_these[2]; /* further keywords that it takes */
} kinds[] = {
    {"$ref", of_reference, {NULL}},     {"nullable", of_nullable, {NULL}}, {"anyOf", of_any, {NULL}},
    {"oneOf", of_one, {NULL}},          {"not", of_not, {NULL}},           {"if", of_condition, {"then", "else"}},
    {"then", of_condition, {"else"}},   {"else", of_condition, {NULL}},    {"dependentRequired", NULL, {NULL}},
    {"dependentSchemas", NULL, {NULL}}, {"dependencies", NULL, {NULL}},
};

static mn_status add_merged(mn_schema_compiler *c, const json_t *rest, json_t *branch, json_t *out) {
    json_t *merged = branch;
    if (!mn_schema_has_only(rest, NULL)) MN_TRY(mn_schema_merge(c, rest, branch, &merged));
    if (!mn_schema_is_empty(c, merged)) json_array_append(out, merged);
    return MN_OK;
}

static mn_status merge_all(mn_schema_compiler *c, json_t *rest, json_t *parts, json_t *out) {
    json_t *merged = mn_schema_has_only(rest, NULL) ? mn_schema_keep(c, json_true()) : rest, *part;
    size_t i;
    if (json_array_size(parts) == 0) return fail_form(c, "allOf", "list of schemas");
    json_array_foreach(parts, i, part) MN_TRY(mn_schema_merge(c, merged, part, &merged));
    if (!mn_schema_is_empty(c, merged)) json_array_append(out, merged);
    return MN_OK;
}

mn_status mn_schema_branches(mn_schema_compiler *c, const json_t *schema, const char **keyword, json_t **out) {
    json_t *list = keep_list(c), *rest = mn_schema_keep(c, json_copy((json_t *)schema)), *branch;
    const size_t n_kinds = sizeof kinds / sizeof *kinds;
    size_t kind = 0, i;
    *out = NULL;
    while (kind < n_kinds && !json_object_get(schema, kinds[kind].keyword)) kind++;
    if (kind == n_kinds && !json_object_get(schema, "allOf")) return MN_OK;
    *out = keep_list(c);
    *keyword = kind < n_kinds ? kinds[kind].keyword : "allOf";
    if (kind == n_kinds) {
        json_object_del(rest, "allOf");
        return merge_all(c, rest, json_object_get(schema, "allOf"), *out);
    }
    if (kinds[kind].of) {
        json_object_del(rest, *keyword);
        for (i = 0; i < 2 && kinds[kind].and_these[i]; i++) json_object_del(rest, kinds[kind].and_these[i]);
        MN_TRY(kinds[kind].of(c, schema, list));
    } else {
        MN_TRY(of_dependency(c, rest, *keyword, list));
    }
    if (kinds[kind].of == of_nullable && !mn_schema_is_empty(c, rest)) json_array_append(*out, rest);
    if (kinds[kind].of == of_nullable) {
        json_array_extend(*out, list);
        return MN_OK;
    }
    json_array_foreach(list, i, branch) MN_TRY(add_merged(c, rest, branch, *out));
    return MN_OK;
}
