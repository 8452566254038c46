/* Objects of a JSON schema: named properties in the schema's order, then any others by the patterns of their names. */
#include "base/checked.h"
#include "grammar/json_schema_parts.h"
#include "grammar/regular.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PATTERNS = 12, KEY_SET_BYTES = 32 << 20 };

static int32_t put_text(mn_schema_compiler *c, int32_t from, const char *text) {
    return mn_grammar_text(c->g, from, text, strlen(text));
}

typedef struct property {
    const char *name;
    const json_t *schema;
    bool required;
} property;

typedef struct object {
    property *list;
    size_t n, n_possible; /* n_possible: whose schema is not false */
    const json_t *more;   /* the schema of names that no pattern matches; NULL = there are none */
    const json_t *patterns, *names;
    int64_t min, max; /* properties; max INT64_MAX: any number */
} object;

/* ---- named properties ---- */

static mn_status check_form(mn_schema_compiler *c, const json_t *schema) {
    const json_t *more = json_object_get(schema, "additionalProperties");
    const json_t *required = json_object_get(schema, "required");
    static const char *const objects[] = {"properties", "patternProperties"};
    for (size_t i = 0; i < 2; i++) {
        const json_t *value = json_object_get(schema, objects[i]);
        if (value && !json_is_object(value))
            return mn_schema_fail(c, MN_ERR_FORMAT, "\"%s\" is no object.", objects[i]);
    }
    if (more && !json_is_boolean(more) && !json_is_object(more))
        return mn_schema_fail(c, MN_ERR_FORMAT, "\"additionalProperties\" is no schema.");
    if (required && !json_is_array(required)) return mn_schema_fail(c, MN_ERR_FORMAT, "\"required\" is no list.");
    for (size_t i = 0; i < json_array_size(required); i++)
        if (!json_is_string(json_array_get(required, i)))
            return mn_schema_fail(c, MN_ERR_FORMAT, "\"required\" holds what is no name.");
    return MN_OK;
}

/* Where properties are given and nothing is said of others, there are none. Those that must not be there (false) give
 * nothing. */
static const json_t *schema_of_others(const json_t *schema) {
    const json_t *more = json_object_get(schema, "additionalProperties");
    const char *name;
    json_t *value;
    bool named = json_object_size(json_object_get(schema, "patternProperties")) > 0;
    json_object_foreach(json_object_get(schema, "properties"), name, value) named = named || !json_is_false(value);
    if (more) return json_is_false(more) ? NULL : more;
    return named ? NULL : json_true();
}

/* What a property of this name has to be: its own schema and those of the patterns that match it, else that of
 * others. */
static mn_status schema_of_name(mn_schema_compiler *c, const object *o, const char *name, json_t *own, bool required,
                                const json_t **out) {
    json_t *all = mn_schema_keep(c, json_array()), *schema, *text = mn_schema_keep(c, json_string(name));
    const char *pattern;
    if (own) json_array_append(all, own);
    json_object_foreach((json_t *)o->patterns, pattern, schema) {
        mn_verdict verdict = mn_schema_matches(c, pattern, name);
        if (verdict == MN_UNSURE)
            return mn_schema_unsupported(c, "patternProperties", "a pattern of it cannot be followed");
        if (verdict == MN_YES) json_array_append(all, schema);
    }
    mn_verdict named_so = o->names ? mn_schema_accepts(c, o->names, text) : MN_YES;
    if (named_so == MN_UNSURE)
        return mn_schema_unsupported(c, "propertyNames", "it cannot be told whether a name of \"properties\" is one");
    size_t n = json_array_size(all);
    *out = n == 0 ? o->more : n == 1 ? json_array_get(all, 0) : mn_schema_keep(c, json_pack("{s:O}", "allOf", all));
    if (!*out || named_so == MN_NO) {
        *out = json_false();
        if (required) return mn_schema_nothing(c, "\"%.80s\" is required, but no property is called so.", name);
    }
    return MN_OK;
}

static bool is_required(const json_t *schema, const char *name) {
    const json_t *required = json_object_get(schema, "required");
    for (size_t i = 0; i < json_array_size(required); i++)
        if (!strcmp(json_string_value(json_array_get(required, i)), name)) return true;
    return false;
}

static mn_status add_property(mn_schema_compiler *c, const json_t *schema, object *o, const char *name, json_t *own) {
    property p = {.name = name, .required = is_required(schema, name)};
    MN_TRY(schema_of_name(c, o, name, own, p.required, &p.schema));
    o->n_possible += !json_is_false(p.schema);
    o->list[o->n++] = p;
    return MN_OK;
}

static mn_status take_properties(mn_schema_compiler *c, const json_t *schema, object *o) {
    const json_t *properties = json_object_get(schema, "properties"), *required = json_object_get(schema, "required");
    const char *name;
    json_t *value;
    MN_TRY(check_form(c, schema));
    o->patterns = json_object_get(schema, "patternProperties");
    o->names = json_object_get(schema, "propertyNames");
    o->more = schema_of_others(schema);
    if (json_is_true(o->names)) o->names = NULL;
    o->list = calloc(json_object_size(properties) + json_array_size(required) + 1, sizeof *o->list);
    if (!o->list) return mn_schema_fail(c, MN_ERR_MEMORY, "there is no memory for its properties.");
    json_object_foreach((json_t *)properties, name, value) MN_TRY(add_property(c, schema, o, name, value));
    for (size_t i = 0; i < json_array_size(required); i++) {
        size_t k = 0;
        name = json_string_value(json_array_get(required, i));
        while (k < o->n && strcmp(o->list[k].name, name) != 0) k++;
        if (k == o->n) MN_TRY(add_property(c, schema, o, name, NULL));
    }
    MN_TRY(mn_schema_count(c, schema, "minProperties", 0, &o->min));
    return mn_schema_count(c, schema, "maxProperties", INT64_MAX, &o->max);
}

/* Colon and value. */
static mn_status put_value(mn_schema_compiler *c, const json_t *schema, const char *step, int32_t from, int32_t to) {
    int32_t value, behind = mn_grammar_state(c->g);
    MN_TRY(mn_schema_rule_of(c, schema, step, &value));
    mn_schema_call(c, put_text(c, from, ":"), "b", behind);
    mn_grammar_call(c->g, behind, value, to);
    return MN_OK;
}

/* Blanks, key, colon, value: a rule, since it follows a comma or none. */
static mn_status member_rule(mn_schema_compiler *c, const property *p, int32_t *rule) {
    char step[128];
    int32_t start = mn_grammar_state(c->g), end = mn_grammar_state(c->g), open = mn_grammar_state(c->g);
    mn_schema_call(c, start, "s", open);
    snprintf(step, sizeof step, "properties/%.100s", p->name);
    MN_TRY(put_value(c, p->schema, step, mn_regular_string(c->g, open, p->name), end));
    *rule = mn_grammar_add_rule(c->g, "a property", 0);
    mn_grammar_define(c->g, *rule, start, end);
    return MN_OK;
}

/* ---- other properties ---- */

/* Names by the sets they are in: set 0 is of names that have their own place, then the patterns, then propertyNames. */
typedef struct keys {
    mn_schema_compiler *c;
    const object *o;
    mn_automaton *sets[MAX_PATTERNS + 2];
    int n_sets, n_patterns;
    int32_t behind[1 << MAX_PATTERNS]; /* state behind the names that match these patterns; 0 = not met, -1 = none */
    uint32_t met[1 << MAX_PATTERNS];
    int n_met;
} keys;

static int32_t behind_key(void *arg, uint32_t sets) {
    keys *k = arg;
    uint32_t patterns = (sets >> 1) & ((UINT32_C(1) << k->n_patterns) - 1);
    bool is_other = !(sets & 1) && (!k->o->names || sets >> (1 + k->n_patterns));
    if (!is_other || (!patterns && !k->o->more)) return -1;
    if (!k->behind[patterns]) {
        k->behind[patterns] = mn_grammar_state(k->c->g);
        k->met[k->n_met++] = patterns;
    }
    return k->behind[patterns];
}

static json_t *schema_of_patterns(keys *k, uint32_t patterns) {
    json_t *all = json_array(), *schema;
    const char *pattern;
    int i = 0;
    json_object_foreach((json_t *)k->o->patterns, pattern, schema) if (patterns >> i++ & 1)
        json_array_append(all, schema);
    json_t *out = json_array_size(all) == 1 ? json_incref(json_array_get(all, 0)) : json_pack("{s:O}", "allOf", all);
    json_decref(all);
    return mn_schema_keep(k->c, out);
}

static mn_status set_of_pattern(keys *k, const char *pattern) {
    json_t *schema = mn_schema_keep(k->c, json_pack("{s:s, s:s}", "type", "string", "pattern", pattern));
    if (k->n_patterns == MAX_PATTERNS)
        return mn_schema_unsupported(k->c, "patternProperties", "there are more than 12 of them");
    MN_TRY(mn_schema_strings(k->c, schema, &k->sets[k->n_sets]));
    k->n_patterns++;
    k->n_sets++;
    return MN_OK;
}

static mn_status take_sets(keys *k) {
    json_t *names = json_array(), *schema, *value;
    const char *pattern;
    for (size_t i = 0; i < k->o->n; i++) json_array_append_new(names, json_string(k->o->list[i].name));
    schema = json_pack("{s:o}", "enum", names);
    if (!json_array_size(names)) json_array_append_new(names, json_null());
    MN_TRY(mn_schema_strings(k->c, mn_schema_keep(k->c, schema), &k->sets[k->n_sets++]));
    json_object_foreach((json_t *)k->o->patterns, pattern, value) MN_TRY(set_of_pattern(k, pattern));
    if (!k->o->names) return MN_OK;
    schema = mn_schema_keep(k->c, json_pack("{s:[O, {s:s}]}", "allOf", k->o->names, "type", "string"));
    return mn_schema_strings(k->c, schema, &k->sets[k->n_sets++]);
}

static mn_status put_keys(keys *k, int32_t open, int32_t end) {
    mn_schema_compiler *c = k->c;
    mn_error part = {0};
    MN_TRY(take_sets(k));
    if (mn_regular_put(c->g, open, k->sets, k->n_sets, behind_key, k, &part) != MN_OK)
        return mn_schema_fail(c, part.status, "the names of its properties cannot be followed: %s.", part.text);
    for (int i = 0; i < k->n_met; i++) {
        uint32_t patterns = k->met[i];
        const json_t *schema = patterns ? schema_of_patterns(k, patterns) : k->o->more;
        MN_TRY(put_value(c, schema, patterns ? "patternProperties" : "additionalProperties", k->behind[patterns], end));
    }
    return MN_OK;
}

static mn_status other_rule(mn_schema_compiler *c, const object *o, int32_t *rule) {
    int32_t start = mn_grammar_state(c->g), end = mn_grammar_state(c->g), open = mn_grammar_state(c->g);
    keys *k = calloc(1, sizeof *k);
    if (!k) return mn_schema_fail(c, MN_ERR_MEMORY, "there is no memory for its properties.");
    k->c = c;
    k->o = o;
    mn_schema_call(c, start, "s", open);
    mn_status status = put_keys(k, open, end);
    for (int i = 0; i < k->n_sets; i++) mn_automaton_destroy(k->sets[i]);
    free(k);
    *rule = mn_grammar_add_rule(c->g, "an additional property", 0);
    mn_grammar_define(c->g, *rule, start, end);
    return status;
}

/* ---- all of them ---- */

static mn_status check_counts(mn_schema_compiler *c, const object *o) {
    int64_t n_required = 0, n_named = (int64_t)o->n_possible;
    for (size_t i = 0; i < o->n; i++) n_required += o->list[i].required;
    bool has_others = o->more || json_object_size(o->patterns);
    if (o->min > o->max || n_required > o->max || (!has_others && o->min > n_named))
        return mn_schema_nothing(c, "no number of properties is enough and not too many.");
    if (o->min > n_named + has_others)
        return mn_schema_unsupported(
            c, "minProperties",
            "it is above the number of properties by name, and of others only one is sure to be "
            "there once; name more of them");
    return MN_OK;
}

/* Members as a rule without and with a comma before it. */
typedef struct member {
    int32_t first, later;
} member;

static void make_member(mn_schema_compiler *c, int32_t rule, member *out) {
    int32_t start = mn_grammar_state(c->g), end = mn_grammar_state(c->g);
    mn_grammar_call(c->g, put_text(c, start, ","), rule, end);
    *out = (member){rule, mn_grammar_add_rule(c->g, "a further property", 0)};
    mn_grammar_define(c->g, out->later, start, end);
}

/* States by how many properties came before. */
typedef struct row {
    int32_t *states;
    int64_t top;     /* the last of them, */
    bool is_counted; /* and whether it stands for that number alone, or for more too */
} row;

static void put_named(mn_schema_compiler *c, const member *m, bool required, const row *from, row *to) {
    for (int64_t i = 0; i <= from->top; i++) to->states[i] = mn_grammar_state(c->g);
    for (int64_t i = 0; i <= from->top; i++) {
        int64_t next = MN_MIN(i + 1, from->top);
        if (!required) mn_grammar_nothing(c->g, from->states[i], to->states[i]);
        if (i < from->top || !from->is_counted)
            mn_grammar_call(c->g, from->states[i], i ? m->later : m->first, to->states[next]);
    }
}

/* Properties without a name: only one is sure to be another than the rest. */
static mn_status put_others(mn_schema_compiler *c, const object *o, const row *r, int32_t end) {
    int32_t rule = -1;
    member m;
    MN_TRY(other_rule(c, o, &rule));
    make_member(c, rule, &m);
    for (int64_t i = MN_MAX(o->min - 1, 0); i <= r->top; i++) {
        int64_t left = o->max == INT64_MAX ? -1 : o->max - i, needed = i < o->min;
        int32_t at = r->states[i];
        if (left == 0) continue;
        if (i == 0) {
            int32_t behind = mn_grammar_state(c->g);
            mn_grammar_call(c->g, at, m.first, behind);
            at = behind;
            needed = 0;
            left -= left > 0;
        }
        mn_grammar_nothing(c->g, mn_grammar_repeat(c->g, at, m.later, needed, left), end);
    }
    return MN_OK;
}

static mn_status put_members(mn_schema_compiler *c, const object *o, row *a, row *b, int32_t from, int32_t to) {
    int32_t close = mn_grammar_state(c->g), behind = mn_grammar_state(c->g);
    for (int64_t i = 0; i <= a->top; i++) a->states[i] = mn_grammar_state(c->g);
    mn_grammar_nothing(c->g, put_text(c, from, "{"), a->states[0]);
    for (size_t i = 0; i < o->n; i++) {
        const property *p = &o->list[i];
        int32_t rule = -1;
        member m;
        if (json_is_false(p->schema)) continue;
        MN_TRY(member_rule(c, p, &rule));
        make_member(c, rule, &m);
        put_named(c, &m, p->required, a, b);
        row done = *a;
        *a = *b;
        *b = done;
    }
    for (int64_t i = o->min; i <= a->top; i++) mn_grammar_nothing(c->g, a->states[i], close);
    if (o->more || json_object_size(o->patterns)) MN_TRY(put_others(c, o, a, close));
    mn_schema_call(c, close, "s", behind);
    mn_grammar_nothing(c->g, put_text(c, behind, "}"), to);
    return MN_OK;
}

static mn_status put_object(mn_schema_compiler *c, const object *o, int32_t from, int32_t to) {
    bool counts = o->min > 1 || o->max < INT64_MAX;
    int64_t top = counts ? MN_MIN(o->max, (int64_t)o->n_possible) : MN_MIN((int64_t)o->n_possible, 1);
    row a = {calloc((size_t)top + 1, sizeof *a.states), top, counts},
        b = {calloc((size_t)top + 1, sizeof *b.states), top, counts};
    mn_status status = a.states && b.states
                           ? put_members(c, o, &a, &b, from, to)
                           : mn_schema_fail(c, MN_ERR_MEMORY, "there is no memory for its properties.");
    free(a.states);
    free(b.states);
    return status;
}

static mn_status check_required(mn_schema_compiler *c, const object *o, bool *possible) {
    *possible = true;
    for (size_t i = 0; i < o->n && *possible; i++)
        *possible = !o->list[i].required || !json_is_false(o->list[i].schema);
    return *possible ? MN_OK : mn_schema_nothing(c, "a property is required and accepts nothing.");
}

mn_status mn_schema_object(mn_schema_compiler *c, const json_t *schema, int32_t from, int32_t to) {
    object o = {0};
    bool possible;
    mn_status status = take_properties(c, schema, &o);
    if (status == MN_OK) status = check_required(c, &o, &possible);
    if (status == MN_OK && possible) {
        status = check_counts(c, &o);
        if (status == MN_OK) status = put_object(c, &o, from, to);
    }
    free(o.list);
    return status;
}
