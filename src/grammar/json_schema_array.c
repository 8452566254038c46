/* Arrays of a JSON schema. */
#include "base/checked.h"
#include "grammar/json_schema_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CELLS = 1 << 17, MAX_SUBSETS = 10, MAX_UNIQUE = 4096 };

static int32_t put_text(mn_schema_compiler *c, int32_t from, const char *text) {
    return mn_grammar_text(c->g, from, text, strlen(text));
}

typedef struct array {
    const json_t *leading; /* a list: prefixItems */
    const json_t *rest;    /* NULL = none */
    const json_t *contains;
    int64_t min, max;         /* max INT64_MAX: any number */
    int64_t least, most;      /* items that `contains` accepts */
    int64_t n_leading, n_all; /* n_all: behind so many items all further ones are alike */
} array;

/* ---- what it asks for ---- */

static mn_status take_items(mn_schema_compiler *c, const json_t *schema, array *a) {
    const json_t *items = json_object_get(schema, "items"), *more = json_object_get(schema, "additionalItems");
    a->leading = json_object_get(schema, "prefixItems");
    a->rest = items ? items : json_true();
    if (json_is_array(items)) { /* until 2019-09 */
        a->leading = items;
        a->rest = more ? more : json_true();
    } else if (more && !json_is_true(more)) {
        return mn_schema_unsupported(c, "additionalItems", "it stands beside no list of items; write items");
    }
    if (a->leading && !json_is_array(a->leading))
        return mn_schema_fail(c, MN_ERR_FORMAT, "\"prefixItems\" is no list of schemas.");
    if (json_is_false(a->rest)) a->rest = NULL;
    a->n_leading = (int64_t)json_array_size(a->leading);
    return MN_OK;
}

static mn_status take_counts(mn_schema_compiler *c, const json_t *schema, array *a) {
    a->contains = json_object_get(schema, "contains");
    MN_TRY(mn_schema_count(c, schema, "minItems", 0, &a->min));
    MN_TRY(mn_schema_count(c, schema, "maxItems", INT64_MAX, &a->max));
    if (!a->rest) a->max = MN_MIN(a->max, a->n_leading);
    a->most = INT64_MAX;
    if (a->contains) {
        MN_TRY(mn_schema_count(c, schema, "minContains", 1, &a->least));
        MN_TRY(mn_schema_count(c, schema, "maxContains", INT64_MAX, &a->most));
    }
    if (a->least == 0 && a->most == INT64_MAX) a->contains = NULL;
    a->n_all = a->max < INT64_MAX ? a->max : MN_MAX(MN_MAX(a->n_leading, a->min), 1);
    return MN_OK;
}

/* ---- items ---- */

static mn_status item_rule(mn_schema_compiler *c, const json_t *schema, const char *step, int32_t *rule) {
    int32_t start = mn_grammar_state(c->g), end = mn_grammar_state(c->g), behind = mn_grammar_state(c->g), value;
    MN_TRY(mn_schema_rule_of(c, schema, step, &value));
    mn_schema_call(c, start, "s", behind);
    mn_grammar_call(c->g, behind, value, end);
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

static void close_array(mn_schema_compiler *c, int32_t from, int32_t to) {
    int32_t behind = mn_grammar_state(c->g);
    mn_schema_call(c, from, "s", behind);
    mn_grammar_nothing(c->g, put_text(c, behind, "]"), to);
}

static const json_t *schema_of_item(const array *a, int64_t i) {
    return i < a->n_leading ? json_array_get(a->leading, (size_t)i) : a->rest;
}

static void step_of_item(const array *a, int64_t i, char *out, size_t bytes) {
    if (i < a->n_leading)
        snprintf(out, bytes, "prefixItems/%lld", (long long)i);
    else
        snprintf(out, bytes, "items");
}

/* ---- plain arrays ---- */

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

static mn_status put_plain(mn_schema_compiler *c, const array *a, int32_t from, int32_t to) {
    int32_t at = put_text(c, from, "["), close = mn_grammar_state(c->g);
    int64_t n = 0, n_leading = MN_MIN(a->n_leading, a->max);
    for (; n < n_leading; n++) {
        char step[48];
        int32_t item, next = mn_grammar_state(c->g);
        if (n >= a->min) mn_grammar_nothing(c->g, at, close);
        step_of_item(a, n, step, sizeof step);
        MN_TRY(item_rule(c, schema_of_item(a, n), step, &item));
        mn_grammar_call(c->g, n ? put_text(c, at, ",") : at, item, next);
        at = next;
    }
    MN_TRY(put_rest(c, a, n, at, close));
    close_array(c, close, to);
    return MN_OK;
}

/* ---- arrays that have to contain something ---- */

/* Items are taken as counted, by both schemas, or not: then, where too many may not come, by one and not by the
 * other. */
static mn_status item_rules(mn_schema_compiler *c, const array *a, int64_t i, int32_t *counted, int32_t *other) {
    json_t *item = (json_t *)schema_of_item(a, i), *wanted = (json_t *)a->contains;
    char step[48];
    step_of_item(a, i, step, sizeof step);
    MN_TRY(item_rule(c, mn_schema_keep(c, json_pack("{s:[O, O]}", "allOf", item, wanted)), step, counted));
    if (a->most < INT64_MAX) item = mn_schema_keep(c, json_pack("{s:[O, {s:O}]}", "allOf", item, "not", wanted));
    return item_rule(c, item, step, other);
}

static mn_status put_cells(mn_schema_compiler *c, const array *a, int64_t width, int32_t *cells, int32_t close) {
    int32_t counted = -1, other = -1;
    for (int64_t i = 0; i <= a->n_all; i++) {
        bool is_last = i == a->n_all, is_same = i > a->n_leading;
        if (is_last && (a->max < INT64_MAX || !a->rest)) break;
        if (!is_same) MN_TRY(item_rules(c, a, i, &counted, &other));
        for (int64_t k = 0; k < width; k++) {
            int32_t from = cells[i * width + k];
            int64_t next = is_last ? i : i + 1, more = k + 1 < width ? k + 1 : a->most == INT64_MAX ? k : -1;
            if (i > 0) from = put_text(c, from, ",");
            mn_grammar_call(c->g, from, other, cells[next * width + k]);
            if (more >= 0) mn_grammar_call(c->g, from, counted, cells[next * width + more]);
        }
    }
    for (int64_t i = a->min; i <= a->n_all; i++)
        for (int64_t k = a->least; k < width; k++) mn_grammar_nothing(c->g, cells[i * width + k], close);
    return MN_OK;
}

/* A state for how many items there were, and how many of them counted. */
static mn_status put_containing(mn_schema_compiler *c, const array *a, int32_t from, int32_t to) {
    int64_t width = (a->most == INT64_MAX ? a->least : MN_MIN(a->most, a->max)) + 1, n_cells = (a->n_all + 1) * width;
    if (n_cells > MAX_CELLS)
        return mn_schema_unsupported(c, "contains", "its counts and those of the items are too large together");
    int32_t close = mn_grammar_state(c->g), *cells = malloc((size_t)n_cells * sizeof *cells);
    if (!cells) return mn_schema_fail(c, MN_ERR_MEMORY, "there is no memory for its items.");
    for (int64_t i = 0; i < n_cells; i++) cells[i] = mn_grammar_state(c->g);
    mn_grammar_nothing(c->g, put_text(c, from, "["), cells[0]);
    mn_status status = put_cells(c, a, width, cells, close);
    free(cells);
    close_array(c, close, to);
    return status;
}

/* ---- arrays without two items that are equal ---- */

static mn_status literal_rules(mn_schema_compiler *c, const json_t *values, int32_t *rules) {
    for (size_t i = 0; i < json_array_size(values); i++) {
        int32_t start = mn_grammar_state(c->g), end = mn_grammar_state(c->g), behind = mn_grammar_state(c->g);
        mn_schema_call(c, start, "s", behind);
        MN_TRY(mn_schema_literal(c, json_array_get(values, i), behind, end));
        rules[i] = mn_grammar_add_rule(c->g, "a value", 0);
        mn_grammar_define(c->g, rules[i], start, end);
    }
    return MN_OK;
}

/* A state for each set of values that came. */
static void put_subsets(mn_schema_compiler *c, const array *a, const int32_t *rules, size_t n, int32_t from,
                        int32_t close) {
    int32_t states[1 << MAX_SUBSETS];
    for (uint32_t set = 0; set < UINT32_C(1) << n; set++) states[set] = mn_grammar_state(c->g);
    mn_grammar_nothing(c->g, from, states[0]);
    for (uint32_t set = 0; set < UINT32_C(1) << n; set++) {
        int64_t count = __builtin_popcount(set);
        if (count > a->max) continue;
        if (count >= a->min) mn_grammar_nothing(c->g, states[set], close);
        if (count == a->max || count == (int64_t)n) continue;
        int32_t at = set ? put_text(c, states[set], ",") : states[set];
        for (size_t i = 0; i < n; i++)
            if (!(set >> i & 1)) mn_grammar_call(c->g, at, rules[i], states[set | UINT32_C(1) << i]);
    }
}

/* Many values: in the schema's order, a state for each of them and how many came. */
static mn_status put_ordered(mn_schema_compiler *c, const array *a, const int32_t *rules, size_t n, int32_t from,
                             int32_t close) {
    int64_t top = a->max == INT64_MAX ? MN_MAX(a->min, 1) : MN_MIN(a->max, (int64_t)n);
    if ((int64_t)n * (top + 1) > MAX_CELLS)
        return mn_schema_unsupported(c, "uniqueItems", "its values and counts are too many; take fewer");
    int32_t *states = calloc((size_t)top + 1, sizeof *states);
    if (!states) return mn_schema_fail(c, MN_ERR_MEMORY, "there is no memory for its items.");
    for (int64_t k = 0; k <= top; k++) states[k] = mn_grammar_state(c->g);
    mn_grammar_nothing(c->g, from, states[0]);
    for (size_t i = 0; i < n; i++) {
        int32_t carried = -1; /* the state behind this value for the count that comes next */
        for (int64_t k = 0; k <= top; k++) {
            int32_t at = states[k], skipped = carried >= 0 ? carried : mn_grammar_state(c->g);
            mn_grammar_nothing(c->g, at, skipped);
            states[k] = skipped;
            carried = -1;
            if (k == top && a->max < INT64_MAX) continue;
            int32_t taken = k == top ? skipped : (carried = mn_grammar_state(c->g));
            mn_grammar_call(c->g, k ? put_text(c, at, ",") : at, rules[i], taken);
        }
    }
    for (int64_t k = a->min; k <= top; k++) mn_grammar_nothing(c->g, states[k], close);
    free(states);
    return MN_OK;
}

static mn_status put_values(mn_schema_compiler *c, const array *a, const json_t *values, int32_t from, int32_t to) {
    size_t n = json_array_size(values);
    int32_t *rules = calloc(n + 1, sizeof *rules), close = mn_grammar_state(c->g), open = put_text(c, from, "[");
    mn_status status =
        rules ? literal_rules(c, values, rules) : mn_schema_fail(c, MN_ERR_MEMORY, "there is no memory for its items.");
    if (status == MN_OK && n <= MAX_SUBSETS)
        put_subsets(c, a, rules, n, open, close);
    else if (status == MN_OK)
        status = put_ordered(c, a, rules, n, open, close);
    free(rules);
    close_array(c, close, to);
    return status;
}

/* Leading items of which no two can be equal, and no others. */
static bool leading_differ(mn_schema_compiler *c, const array *a) {
    int64_t n = MN_MIN(a->n_leading, a->max);
    if (a->rest && a->max > a->n_leading) return false;
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < i; k++)
            if (!mn_schema_exclude(c, schema_of_item(a, i), schema_of_item(a, k))) return false;
    return true;
}

static mn_status put_unique(mn_schema_compiler *c, const array *a, int32_t from, int32_t to) {
    static const char why[] = "of items that may be anything it cannot be held; give items an enum, bounds or boolean "
                              "(up to 4096 values), maxItems 1, or leave it out and check answers";
    if (a->max <= 1 || leading_differ(c, a))
        return a->contains ? put_containing(c, a, from, to) : put_plain(c, a, from, to);
    const json_t *values = a->rest && !a->n_leading && !a->contains ? mn_schema_values(c, a->rest, MAX_UNIQUE) : NULL;
    if (!values) return mn_schema_unsupported(c, "uniqueItems", why);
    if ((int64_t)json_array_size(values) < a->min)
        return mn_schema_nothing(c, "there are fewer values than \"minItems\" that are not equal.");
    return put_values(c, a, values, from, to);
}

/* ---- all of it ---- */

mn_status mn_schema_array(mn_schema_compiler *c, const json_t *schema, int32_t from, int32_t to) {
    array a = {0};
    MN_TRY(take_items(c, schema, &a));
    MN_TRY(take_counts(c, schema, &a));
    if (a.min > a.max) return mn_schema_nothing(c, "\"minItems\" is above the number of items that there may be.");
    if (a.least > MN_MIN(a.most, a.max))
        return mn_schema_nothing(c, "\"minContains\" is above the number of items that may count.");
    if (json_is_true(json_object_get(schema, "uniqueItems"))) return put_unique(c, &a, from, to);
    return a.contains ? put_containing(c, &a, from, to) : put_plain(c, &a, from, to);
}
