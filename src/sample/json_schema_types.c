/* Objects, arrays and strings of a JSON schema as rules. */
#include "base/checked.h"
#include "sample/gbnf.h"
#include "sample/json_pattern.h"
#include "sample/json_schema_parts.h"
#include "tokenizer/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int32_t put_text(mn_schema_compiler *c, int32_t from, const char *text) {
    return mn_grammar_text(c->g, from, text, strlen(text));
}

static int32_t put_blanks(mn_schema_compiler *c, int32_t from) {
    int32_t to = mn_grammar_state(c->g);
    mn_schema_call(c, from, "s", to);
    return to;
}

/* ---- keys of additional properties ---- */

/* A property's schema and whether it has to be there. */
typedef struct property {
    const char *name;
    const json_t *schema;
    bool required;
} property;

static int by_name(const void *a, const void *b) {
    return strcmp(((const property *)a)->name, ((const property *)b)->name);
}

/* Characters that a free key writes as they are: it has no escapes, so that it cannot spell a name in another way. */
static void put_plain(mn_grammar *g, int32_t from, uint32_t first, uint32_t last, int32_t to) {
    static const uint32_t plain[][2] = {{0x20, '"' - 1}, {'"' + 1, '\\' - 1}, {'\\' + 1, 0x10ffff}};
    for (size_t i = 0; i < 3; i++) {
        uint32_t low = MN_MAX(first, plain[i][0]), high = MN_MIN(last, plain[i][1]);
        if (low <= high) mn_grammar_characters(g, from, low, high, to);
    }
}

/* The rest of a key that is none of the names, which are sorted and share their first `at` bytes: a character with
 * which none goes on leads to `tail`, where anything may follow. */
static void put_other_keys(mn_grammar *g, const property *names, size_t n, size_t at, int32_t from, int32_t tail,
                           int32_t to) {
    uint32_t next = 0; /* all below is dealt with */
    bool is_name = false;
    for (size_t i = 0, k; i < n; i = k) {
        const char *rest = names[i].name + at;
        int32_t c;
        k = i + 1;
        if (!*rest) {
            is_name = true;
            continue;
        }
        size_t bytes = mn_utf8_next(rest, strlen(rest), &c);
        while (k < n && !strncmp(names[k].name + at, rest, bytes)) k++;
        int32_t branch = mn_grammar_state(g);
        if (c > 0) put_plain(g, from, next, (uint32_t)c - 1, tail);
        put_plain(g, from, (uint32_t)c, (uint32_t)c, branch);
        next = (uint32_t)c + 1;
        put_other_keys(g, names + i, k - i, at + bytes, branch, tail, to);
    }
    put_plain(g, from, next, 0x10ffff, tail);
    if (!is_name) mn_grammar_nothing(g, mn_grammar_text(g, from, "\"", 1), to);
}

/* ---- objects ---- */

typedef struct object {
    property *list;
    size_t n;
    const json_t *more; /* the schema of additional properties; NULL = there are none */
} object;

static mn_status take_required(mn_schema_compiler *c, const json_t *schema, object *o) {
    const json_t *required = json_object_get(schema, "required"), *any = json_true();
    if (required && !json_is_array(required)) return mn_schema_fail(c, MN_ERR_FORMAT, "\"required\" is no list.");
    for (size_t i = 0; i < json_array_size(required); i++) {
        const char *name = json_string_value(json_array_get(required, i));
        size_t k = 0;
        if (!name) return mn_schema_fail(c, MN_ERR_FORMAT, "\"required\" holds what is no name.");
        while (k < o->n && strcmp(o->list[k].name, name) != 0) k++;
        if (k == o->n) {
            const json_t *more = json_object_get(schema, "additionalProperties");
            if (json_is_false(more))
                return mn_schema_fail(c, MN_ERR_FORMAT, "\"%.80s\" is required, but no property is called so.", name);
            o->list[o->n++] = (property){.name = name, .schema = more ? more : any};
        }
        o->list[k].required = true;
    }
    return MN_OK;
}

static mn_status take_properties(mn_schema_compiler *c, const json_t *schema, object *o) {
    const json_t *properties = json_object_get(schema, "properties");
    const json_t *more = json_object_get(schema, "additionalProperties");
    const char *name;
    json_t *value;
    if (properties && !json_is_object(properties))
        return mn_schema_fail(c, MN_ERR_FORMAT, "\"properties\" is no object.");
    if (more && !json_is_boolean(more) && !json_is_object(more))
        return mn_schema_fail(c, MN_ERR_FORMAT, "\"additionalProperties\" is no schema.");
    size_t most = json_object_size(properties) + json_array_size(json_object_get(schema, "required"));
    o->list = calloc(most + 1, sizeof *o->list);
    if (!o->list) return mn_schema_fail(c, MN_ERR_MEMORY, "there is no memory for its properties.");
    json_object_foreach((json_t *)properties, name, value) o->list[o->n++] = (property){name, value, false};
    MN_TRY(take_required(c, schema, o));
    o->more = more ? more : properties ? NULL : json_true();
    if (json_is_false(o->more)) o->more = NULL;
    return MN_OK;
}

/* How many properties there are is decided by which have to be there. */
static mn_status check_counts(mn_schema_compiler *c, const json_t *schema, const object *o) {
    int64_t min, max, n_required = 0;
    MN_TRY(mn_schema_count(c, schema, "minProperties", 0, &min));
    MN_TRY(mn_schema_count(c, schema, "maxProperties", INT64_MAX, &max));
    for (size_t i = 0; i < o->n; i++) n_required += o->list[i].required;
    if (min > n_required) return mn_schema_unsupported(c, "minProperties", "it is above the number of required ones");
    if (max < INT64_MAX && (o->more || max < (int64_t)o->n))
        return mn_schema_unsupported(c, "maxProperties", "more properties than that may come");
    return MN_OK;
}

/* Blanks, key, colon, value: a rule, since it follows a comma or none. */
static mn_status member_rule(mn_schema_compiler *c, const property *p, int32_t *rule) {
    char step[128];
    int32_t start = mn_grammar_state(c->g), end = mn_grammar_state(c->g), value;
    json_t *name = json_string(p->name);
    char *key = name ? json_dumps(name, JSON_ENCODE_ANY) : NULL;
    json_decref(name);
    if (!key) return mn_schema_fail(c, MN_ERR_MEMORY, "there is no memory for its properties.");
    int32_t colon = put_text(c, put_text(c, put_blanks(c, start), key), ":"), blank = put_text(c, colon, " ");
    free(key);
    snprintf(step, sizeof step, "properties/%.100s", p->name);
    MN_TRY(mn_schema_rule_of(c, p->schema, step, &value));
    mn_grammar_call(c->g, colon, value, end);
    mn_grammar_call(c->g, blank, value, end);
    *rule = mn_grammar_add_rule(c->g, "a property", 0);
    mn_grammar_define(c->g, *rule, start, end);
    return MN_OK;
}

static mn_status more_rule(mn_schema_compiler *c, object *o, int32_t *rule) {
    mn_grammar *g = c->g;
    int32_t start = mn_grammar_state(g), end = mn_grammar_state(g), key = mn_grammar_state(g), value;
    int32_t open = put_text(c, put_blanks(c, start), "\""), tail = mn_grammar_state(g);
    qsort(o->list, o->n, sizeof *o->list, by_name);
    put_other_keys(g, o->list, o->n, 0, open, tail, key);
    put_plain(g, tail, 0x20, 0x10ffff, tail);
    mn_grammar_nothing(g, put_text(c, tail, "\""), key);
    int32_t colon = put_text(c, key, ":"), blank = put_text(c, colon, " ");
    MN_TRY(mn_schema_rule_of(c, o->more, "additionalProperties", &value));
    mn_grammar_call(g, colon, value, end);
    mn_grammar_call(g, blank, value, end);
    *rule = mn_grammar_add_rule(g, "an additional property", 0);
    mn_grammar_define(g, *rule, start, end);
    return MN_OK;
}

/* Two rows of states: before the first member, and behind one, where a comma comes first. */
static mn_status put_members(mn_schema_compiler *c, object *o, int32_t from, int32_t to) {
    mn_grammar *g = c->g;
    int32_t first = put_text(c, from, "{"), later = mn_grammar_state(g), rule = -1;
    for (size_t i = 0; i < o->n; i++) {
        const property *p = &o->list[i];
        if (json_is_false(p->schema) && !p->required) continue;
        int32_t next_first = mn_grammar_state(g), next_later = mn_grammar_state(g);
        MN_TRY(member_rule(c, p, &rule));
        mn_grammar_call(g, first, rule, next_later);
        mn_grammar_call(g, put_text(c, later, ","), rule, next_later);
        if (!p->required) {
            mn_grammar_nothing(g, first, next_first);
            mn_grammar_nothing(g, later, next_later);
        }
        first = next_first;
        later = next_later;
    }
    if (o->more) {
        int32_t loop = mn_grammar_state(g);
        MN_TRY(more_rule(c, o, &rule));
        mn_grammar_call(g, first, rule, loop);
        mn_grammar_nothing(g, later, loop);
        mn_grammar_call(g, put_text(c, loop, ","), rule, loop);
        later = loop;
    }
    mn_grammar_nothing(g, put_text(c, put_blanks(c, first), "}"), to);
    mn_grammar_nothing(g, put_text(c, put_blanks(c, later), "}"), to);
    return MN_OK;
}

mn_status mn_schema_object(mn_schema_compiler *c, const json_t *schema, int32_t from, int32_t to) {
    object o = {0};
    mn_status status = take_properties(c, schema, &o);
    if (status == MN_OK) status = check_counts(c, schema, &o);
    if (status == MN_OK) status = put_members(c, &o, from, to);
    free(o.list);
    return status;
}

/* ---- arrays ---- */

static mn_status item_rule(mn_schema_compiler *c, const json_t *schema, const char *step, int32_t *rule) {
    int32_t start = mn_grammar_state(c->g), end = mn_grammar_state(c->g), value;
    MN_TRY(mn_schema_rule_of(c, schema, step, &value));
    mn_grammar_call(c->g, put_blanks(c, start), value, end);
    *rule = mn_grammar_add_rule(c->g, "an item", 0);
    mn_grammar_define(c->g, *rule, start, end);
    return MN_OK;
}

/* "," and an item. */
static int32_t further_rule(mn_schema_compiler *c, int32_t item) {
    int32_t start = mn_grammar_state(c->g), end = mn_grammar_state(c->g);
    int32_t rule = mn_grammar_add_rule(c->g, "a further item", 0);
    mn_grammar_call(c->g, put_text(c, start, ","), item, end);
    mn_grammar_define(c->g, rule, start, end);
    return rule;
}

typedef struct array {
    const json_t *leading; /* a list: prefixItems */
    const json_t *rest;    /* NULL = none */
    int64_t min, max;      /* max INT64_MAX: any number */
} array;

static mn_status take_array(mn_schema_compiler *c, const json_t *schema, array *a) {
    const json_t *items = json_object_get(schema, "items"), *more = json_object_get(schema, "additionalItems");
    a->leading = json_object_get(schema, "prefixItems");
    a->rest = items ? items : json_true();
    if (json_is_array(items)) { /* until 2019-09 */
        a->leading = items;
        a->rest = more ? more : json_true();
    } else if (more && !json_is_true(more)) {
        return mn_schema_unsupported(c, "additionalItems", "it stands beside no list of items");
    }
    if (a->leading && !json_is_array(a->leading))
        return mn_schema_fail(c, MN_ERR_FORMAT, "\"prefixItems\" is no list of schemas.");
    if (json_is_false(a->rest)) a->rest = NULL;
    MN_TRY(mn_schema_count(c, schema, "minItems", 0, &a->min));
    MN_TRY(mn_schema_count(c, schema, "maxItems", INT64_MAX, &a->max));
    int64_t most = a->rest ? INT64_MAX : (int64_t)json_array_size(a->leading);
    if (a->min > MN_MIN(a->max, most))
        return mn_schema_fail(c, MN_ERR_FORMAT, "\"minItems\" is above the number of items that there may be.");
    return MN_OK;
}

/* Items behind the leading ones: `from` is behind the n-th item, or behind the bracket when n is 0. */
static mn_status put_rest(mn_schema_compiler *c, const array *a, int64_t n, int32_t from, int32_t close) {
    mn_grammar *g = c->g;
    int32_t item;
    if (n >= a->min) mn_grammar_nothing(g, from, close);
    if (!a->rest || n >= a->max) return MN_OK;
    MN_TRY(item_rule(c, a->rest, "items", &item));
    if (n == 0) {
        int32_t behind = mn_grammar_state(g);
        mn_grammar_call(g, from, item, behind);
        from = behind;
        n = 1;
    }
    int64_t max = a->max == INT64_MAX ? -1 : a->max - n;
    int32_t end = mn_grammar_repeat(g, from, further_rule(c, item), MN_MAX(a->min - n, 0), max);
    mn_grammar_nothing(g, end, close);
    return MN_OK;
}

mn_status mn_schema_array(mn_schema_compiler *c, const json_t *schema, int32_t from, int32_t to) {
    array a;
    MN_TRY(take_array(c, schema, &a));
    mn_grammar *g = c->g;
    int32_t at = put_text(c, from, "["), close = mn_grammar_state(g);
    int64_t n = 0, n_leading = MN_MIN((int64_t)json_array_size(a.leading), a.max);
    for (; n < n_leading; n++) {
        char step[48];
        int32_t item, next = mn_grammar_state(g);
        if (n >= a.min) mn_grammar_nothing(g, at, close);
        snprintf(step, sizeof step, "prefixItems/%lld", (long long)n);
        MN_TRY(item_rule(c, json_array_get(a.leading, (size_t)n), step, &item));
        mn_grammar_call(g, n ? put_text(c, at, ",") : at, item, next);
        at = next;
    }
    MN_TRY(put_rest(c, &a, n, at, close));
    mn_grammar_nothing(g, put_text(c, put_blanks(c, close), "]"), to);
    return MN_OK;
}

/* ---- strings ---- */

static mn_status put_format(mn_schema_compiler *c, const char *format, int32_t from, int32_t to) {
    char name[64];
    snprintf(name, sizeof name, "format-%.40s", format);
    if (mn_gbnf_find(c->g, name) < 0) return mn_schema_unsupported(c, "format", format);
    int32_t open = put_text(c, from, "\""), close = mn_grammar_state(c->g);
    mn_schema_call(c, open, name, close);
    mn_grammar_nothing(c->g, put_text(c, close, "\""), to);
    return MN_OK;
}

static mn_status put_pattern(mn_schema_compiler *c, const char *pattern, int32_t from, int32_t to) {
    int32_t end;
    mn_error part;
    if (mn_json_pattern(c->g, from, pattern, &end, &part) != MN_OK)
        return mn_schema_fail(c, MN_ERR_UNSUPPORTED, "\"pattern\" cannot be followed: %s.", part.text);
    mn_grammar_nothing(c->g, end, to);
    return MN_OK;
}

mn_status mn_schema_string(mn_schema_compiler *c, const json_t *schema, int32_t from, int32_t to) {
    const json_t *pattern = json_object_get(schema, "pattern"), *format = json_object_get(schema, "format");
    int64_t min, max;
    MN_TRY(mn_schema_count(c, schema, "minLength", 0, &min));
    MN_TRY(mn_schema_count(c, schema, "maxLength", INT64_MAX, &max));
    if ((pattern && !json_is_string(pattern)) || (format && !json_is_string(format)))
        return mn_schema_fail(c, MN_ERR_FORMAT, "\"pattern\" and \"format\" are texts.");
    if ((pattern && format) || ((pattern || format) && (min > 0 || max < INT64_MAX)))
        return mn_schema_unsupported(c, pattern ? "pattern" : "format", "another bound of the string stands beside it");
    if (pattern) return put_pattern(c, json_string_value(pattern), from, to);
    if (format) return put_format(c, json_string_value(format), from, to);
    if (max < min) return mn_schema_fail(c, MN_ERR_FORMAT, "\"maxLength\" is below \"minLength\".");
    int32_t rule = mn_gbnf_find(c->g, "char"), open = put_text(c, from, "\"");
    int32_t close = mn_grammar_repeat(c->g, open, rule, min, max == INT64_MAX ? -1 : max);
    mn_grammar_nothing(c->g, put_text(c, close, "\""), to);
    return MN_OK;
}
