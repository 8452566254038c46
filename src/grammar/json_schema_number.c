/* Numbers of a JSON schema: bounds, multiples, and numbers that are left out. */
#include "base/checked.h"
#include "grammar/json_digits.h"
#include "grammar/json_schema_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FREE_DIGITS = 16, FREE_PLACES = 6, FREE_PLACES_WITH_REMAINDERS = 2, EXACT_DIGITS = 15, MAX_LEFT_OUT = 1024 };

/* What numbers have to be, in units of 10^-places. */
typedef struct numbers {
    mn_schema_compiler *c;
    const json_t *schema;
    mn_digits digits;
    bool integers, is_bound; /* is_bound: anything is asked for at all */
    int64_t low, high;
    int64_t left_out[MAX_LEFT_OUT];
    int n_left_out;
} numbers;

static mn_status decimal_of(mn_schema_compiler *c, const char *keyword, const json_t *value, mn_decimal *out) {
    if (!json_is_number(value)) return mn_schema_fail(c, MN_ERR_FORMAT, "\"%s\" is no number.", keyword);
    if (json_is_integer(value))
        *out = mn_decimal_of_integer(json_integer_value(value));
    else if (!mn_decimal_of(json_real_value(value), out))
        return mn_schema_fail(c, MN_ERR_LIMIT, "\"%s\" is too large or too small a number.", keyword);
    return MN_OK;
}

bool mn_schema_is_multiple(const json_t *value, const json_t *divisor) {
    mn_decimal x, y;
    bool exact_x, exact_y;
    if (!mn_decimal_of(json_number_value(value), &x) || !mn_decimal_of(json_number_value(divisor), &y)) return false;
    int places = MN_MAX(0, MN_MAX(-x.e, -y.e));
    int64_t n = mn_decimal_scaled(x, places, false, &exact_x), d = mn_decimal_scaled(y, places, false, &exact_y);
    const int64_t most = mn_power_of_ten(MN_DIGITS_MOST);
    if (llabs(n) < most && llabs(d) < most) return d && n % d == 0;
    return fmod(json_number_value(value), json_number_value(divisor)) == 0;
}

/* ---- places ---- */

/* Digits before the point. */
static int whole_digits(mn_decimal x) {
    int n = 0;
    for (int64_t m = x.m; m; m /= 10) n++;
    return MN_MAX(n + x.e, 0);
}

static mn_status need_places(numbers *n, const char *keyword, const json_t *value, int *least, int *most) {
    mn_decimal x;
    if (!value || json_is_boolean(value)) return MN_OK;
    MN_TRY(decimal_of(n->c, keyword, value, &x));
    *least = MN_MAX(*least, -x.e);
    if (whole_digits(x) <= MN_DIGITS_MOST) *most = MN_MIN(*most, EXACT_DIGITS - whole_digits(x));
    return *least <= *most ? MN_OK : mn_schema_unsupported(n->c, keyword, "it has more than 15 digits; round it");
}

/* As many digits behind the point as tell every number from the bounds as a double. */
static mn_status choose_places(numbers *n) {
    static const char *const keywords[] = {"minimum",          "maximum",    "exclusiveMinimum",
                                           "exclusiveMaximum", "multipleOf", NULL};
    int least = 0, most = EXACT_DIGITS, free = FREE_PLACES;
    const json_t *also = json_object_get(n->schema, MN_SCHEMA_ALSO);
    if (n->integers) return MN_OK;
    for (const char *const *k = keywords; *k; k++)
        MN_TRY(need_places(n, *k, json_object_get(n->schema, *k), &least, &most));
    for (size_t i = 0; i < json_array_size(also); i++) {
        int unbound = EXACT_DIGITS;
        const json_t *no = json_object_get(json_array_get(also, i), "not");
        const json_t *divisor = json_object_get(no, "multipleOf");
        MN_TRY(need_places(n, "multipleOf", divisor, &least, &unbound));
        if (divisor || json_object_get(no, "type")) free = FREE_PLACES_WITH_REMAINDERS;
    }
    bool fixed = json_object_get(n->schema, "multipleOf") != NULL;
    n->digits.places = fixed ? least : MN_MAX(least, MN_MIN(most, free));
    return MN_OK;
}

/* ---- bounds ---- */

/* sign -1: a lower bound, 1: an upper one. */
static mn_status take_bound(numbers *n, const char *keyword, bool left_out, int sign, int64_t *bound) {
    const json_t *value = json_object_get(n->schema, keyword);
    mn_decimal x;
    bool exact;
    if (!value || json_is_boolean(value)) return MN_OK; /* exclusiveMinimum: true, of draft 4, belongs to minimum */
    MN_TRY(decimal_of(n->c, keyword, value, &x));
    int64_t scaled = mn_decimal_scaled(x, n->digits.places, sign < 0, &exact);
    if (exact && left_out) scaled -= sign;
    *bound = sign < 0 ? MN_MAX(*bound, scaled) : MN_MIN(*bound, scaled);
    n->is_bound = true;
    return MN_OK;
}

static mn_status take_bounds(numbers *n) {
    const json_t *above = json_object_get(n->schema, "exclusiveMinimum");
    const json_t *below = json_object_get(n->schema, "exclusiveMaximum");
    const int64_t limit = mn_power_of_ten(MN_DIGITS_MOST) - 1, free = mn_power_of_ten(FREE_DIGITS) - 1;
    int64_t low = -limit - 1, high = limit + 1;
    MN_TRY(take_bound(n, "minimum", json_is_true(above), -1, &low));
    MN_TRY(take_bound(n, "exclusiveMinimum", true, -1, &low));
    MN_TRY(take_bound(n, "maximum", json_is_true(below), 1, &high));
    MN_TRY(take_bound(n, "exclusiveMaximum", true, 1, &high));
    if (low > limit || high < -limit)
        return mn_schema_unsupported(n->c, low > limit ? "minimum" : "maximum",
                                     "its numbers have more than 18 digits; take smaller bounds");
    bool short_ones = n->digits.places == 0 && low <= free && high >= -free;
    n->low = MN_MAX(low, short_ones ? -free : -limit);
    n->high = MN_MIN(high, short_ones ? free : limit);
    if (low > -limit && low < n->low) n->low = low; /* a bound that was asked for */
    if (high < limit && high > n->high) n->high = high;
    return MN_OK;
}

/* ---- conditions ---- */

static mn_status add_rule(numbers *n, const json_t *divisor, bool multiple) {
    mn_decimal x;
    bool exact;
    mn_digits *d = &n->digits;
    MN_TRY(decimal_of(n->c, "multipleOf", divisor, &x));
    if (x.m <= 0) return mn_schema_fail(n->c, MN_ERR_FORMAT, "\"multipleOf\" is not above 0.");
    int places = MN_MAX(d->places, -x.e); /* more than there are only of integers: a multiple of .75 is one of 3 */
    int64_t scaled = places - d->places > MN_DIGITS_MOST ? 0 : mn_decimal_scaled(x, places, false, &exact);
    if (scaled <= 0 || scaled >= mn_power_of_ten(MN_DIGITS_MOST) || d->n_rules == MN_DIGITS_MAX_RULES)
        return mn_schema_unsupported(n->c, "multipleOf", "it has more than 18 digits, or there are more than 16 of it");
    scaled /= mn_gcd(scaled, mn_power_of_ten(places - d->places));
    d->rules[d->n_rules++] = (mn_digits_rule){scaled, multiple};
    n->is_bound = n->is_bound || scaled > 1 || !multiple || !n->integers;
    return MN_OK;
}

static mn_status leave_out(numbers *n, const json_t *values) {
    for (size_t i = 0; i < json_array_size(values); i++) {
        const json_t *value = json_array_get(values, i);
        mn_decimal x;
        bool exact;
        if (!json_is_number(value)) continue;
        MN_TRY(decimal_of(n->c, "enum", value, &x));
        int64_t scaled = mn_decimal_scaled(x, n->digits.places, false, &exact);
        n->is_bound = true;
        if (!exact) continue;
        if (n->n_left_out == MAX_LEFT_OUT)
            return mn_schema_unsupported(n->c, "not", "it leaves out more than 1024 numbers; give bounds");
        n->left_out[n->n_left_out++] = scaled;
    }
    return MN_OK;
}

static mn_status take_conditions(numbers *n) {
    const json_t *also = json_object_get(n->schema, MN_SCHEMA_ALSO);
    const json_t *multiple = json_object_get(n->schema, "multipleOf");
    if (multiple) MN_TRY(add_rule(n, multiple, true));
    for (size_t i = 0; i < json_array_size(also); i++) {
        const json_t *no = json_object_get(json_array_get(also, i), "not");
        const char *type = json_string_value(json_object_get(no, "type"));
        json_t *one =
            type && !strcmp(type, "integer") ? json_integer(1) : json_incref(json_object_get(no, "multipleOf"));
        mn_status status = one ? add_rule(n, one, false) : MN_OK;
        json_decref(one);
        MN_TRY(status);
        MN_TRY(leave_out(n, json_object_get(no, "enum")));
    }
    return MN_OK;
}

/* ---- putting ---- */

static int by_size(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* The ranges between the numbers that are left out. */
static mn_status put_ranges(numbers *n, int32_t from, mn_error *part) {
    int64_t low = n->low;
    qsort(n->left_out, (size_t)n->n_left_out, sizeof *n->left_out, by_size);
    for (int i = 0; i <= n->n_left_out; i++) {
        int64_t high = i < n->n_left_out ? MN_MIN(n->left_out[i] - 1, n->high) : n->high;
        if (low <= high) MN_TRY(mn_digits_put(&n->digits, from, low, high, part));
        if (i < n->n_left_out) low = MN_MAX(low, n->left_out[i] + 1);
    }
    return MN_OK;
}

static mn_status check_format(mn_schema_compiler *c, const json_t *schema, numbers *n) {
    static const char *const sizes[] = {"int32", "int64", "float", "double"};
    const char *format = json_string_value(json_object_get(schema, "format"));
    bool known = !format || !json_is_string(json_object_get(schema, "type"));
    for (size_t i = 0; format && i < 4; i++) known = known || !strcmp(format, sizes[i]);
    if (!known) return mn_schema_unsupported(c, "format", format);
    if (format && n->integers && !strcmp(format, "int32")) {
        n->low = MN_MAX(n->low, INT32_MIN);
        n->high = MN_MIN(n->high, INT32_MAX);
        n->is_bound = true;
    }
    return MN_OK;
}

static mn_status put_numbers(numbers *n, int32_t from) {
    mn_schema_compiler *c = n->c;
    mn_error part = {0};
    MN_TRY(choose_places(n));
    MN_TRY(take_bounds(n));
    MN_TRY(take_conditions(n));
    MN_TRY(check_format(c, n->schema, n));
    if (!n->is_bound) {
        mn_schema_call(c, from, n->integers ? "integer" : "number", n->digits.to);
        return MN_OK;
    }
    if (n->low > n->high) return mn_schema_nothing(c, "no number lies between its bounds.");
    mn_status status = mn_digits_begin(&n->digits, &part);
    if (status == MN_OK) status = put_ranges(n, from, &part);
    mn_digits_end(&n->digits);
    if (status == MN_ERR_MEMORY) return mn_schema_fail(c, status, "%s.", part.text);
    return status == MN_OK ? MN_OK : mn_schema_unsupported(c, "multipleOf", part.text);
}

mn_status mn_schema_number(mn_schema_compiler *c, const json_t *schema, bool integers, int32_t from, int32_t to) {
    numbers *n = calloc(1, sizeof *n);
    if (!n) return mn_schema_fail(c, MN_ERR_MEMORY, "there is no memory for its numbers.");
    n->c = c;
    n->schema = schema;
    n->integers = integers;
    n->digits = (mn_digits){.g = c->g, .to = to};
    mn_status status = put_numbers(n, from);
    free(n);
    return status;
}
