/* Numbers of a JSON schema, bounded or not, as rows of digits. */
#include "base/checked.h"
#include "sample/json_schema_parts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { FREE_DIGITS = 16, MOST_DIGITS = 18 };

static int64_t power_of_ten(int digits) {
    int64_t out = 1;
    while (digits-- > 0) out *= 10;
    return out;
}

/* Whole numbers from low to high of so many digits: a state for each place and for whether all digits so far are those
 * of the bounds. */
static void put_digits(mn_grammar *g, int32_t from, int64_t low, int64_t high, int n_digits, int32_t to) {
    char lows[24], highs[24];
    int32_t states[MOST_DIGITS + 1][2][2];
    snprintf(lows, sizeof lows, "%0*lld", n_digits, (long long)low);
    snprintf(highs, sizeof highs, "%0*lld", n_digits, (long long)high);
    for (int i = 1; i <= n_digits; i++)
        for (int k = 0; k < 4; k++) states[i][k / 2][k % 2] = i == n_digits ? to : mn_grammar_state(g);
    for (int i = 0; i < n_digits; i++)
        for (int k = 0; k < (i ? 4 : 1); k++) {
            bool at_low = k < 2 || i == 0, at_high = k % 2 == 0 || i == 0;
            int32_t at = i ? states[i][k / 2][k % 2] : from;
            for (char d = at_low ? lows[i] : '0'; d <= (at_high ? highs[i] : '9'); d++)
                mn_grammar_symbols(g, at, (uint8_t)d, (uint8_t)d,
                                   states[i + 1][!(at_low && d == lows[i])][!(at_high && d == highs[i])]);
        }
}

/* Whole numbers from low to high, 0 <= low. */
static void put_whole(mn_grammar *g, int32_t from, int64_t low, int64_t high, int32_t to) {
    for (int n = 1; n <= MOST_DIGITS; n++) {
        int64_t least = n == 1 ? 0 : power_of_ten(n - 1), most = power_of_ten(n) - 1;
        least = MN_MAX(least, low);
        most = MN_MIN(most, high);
        if (least <= most) put_digits(g, from, least, most, n, to);
    }
}

typedef struct bounds {
    double low, high;  /* infinite where there are none */
    bool above, below; /* the bound itself is left out */
} bounds;

static mn_status take_bound(mn_schema_compiler *c, const json_t *schema, const char *keyword, const char *exclusive,
                            double sign, double *bound, bool *left_out) {
    const json_t *plain = json_object_get(schema, keyword), *other = json_object_get(schema, exclusive);
    *bound = sign * INFINITY;
    *left_out = false;
    if ((plain && !json_is_number(plain)) || (other && !json_is_number(other) && !json_is_boolean(other)))
        return mn_schema_fail(c, MN_ERR_FORMAT, "\"%s\" and \"%s\" are numbers.", keyword, exclusive);
    if (plain) *bound = json_number_value(plain);
    if (json_is_true(other)) *left_out = true; /* draft 4 */
    if (json_is_number(other) && sign * json_number_value(other) <= sign * *bound) {
        *bound = json_number_value(other);
        *left_out = true;
    }
    return MN_OK;
}

static mn_status take_bounds(mn_schema_compiler *c, const json_t *schema, bounds *b) {
    MN_TRY(take_bound(c, schema, "minimum", "exclusiveMinimum", -1, &b->low, &b->above));
    return take_bound(c, schema, "maximum", "exclusiveMaximum", 1, &b->high, &b->below);
}

static mn_status fail_empty(mn_schema_compiler *c) {
    return mn_schema_fail(c, MN_ERR_FORMAT, "no number lies between its bounds.");
}

/* ---- integers ---- */

static mn_status put_integers(mn_schema_compiler *c, const bounds *b, int32_t from, int32_t to) {
    double low = ceil(b->low), high = floor(b->high);
    double most = (double)power_of_ten(FREE_DIGITS) - 1, limit = (double)power_of_ten(MOST_DIGITS) / 2;
    if (b->above && low == b->low) low++;
    if (b->below && high == b->high) high--;
    if (low > high) return fail_empty(c);
    if (low > limit || high < -limit) return mn_schema_unsupported(c, "minimum", "integers of more than 17 digits");
    if (low > most || high < -most) most = limit;
    low = MN_MAX(low, -most);
    high = MN_MIN(high, most);
    if (high >= 0) put_whole(c->g, from, (int64_t)MN_MAX(low, 0), (int64_t)high, to);
    if (low < 0) {
        int32_t minus = mn_grammar_text(c->g, from, "-", 1);
        put_whole(c->g, minus, (int64_t)MN_MAX(-high, 1), (int64_t)-low, to);
    }
    return MN_OK;
}

/* ---- real numbers ---- */

/* Numbers from low to high, 0 <= low; above and below: without the bound itself. */
static void put_reals(mn_schema_compiler *c, int32_t from, double low, bool above, double high, bool below,
                      int32_t to) {
    mn_grammar *g = c->g;
    double most = (double)power_of_ten(FREE_DIGITS) - 1;
    int32_t whole = mn_grammar_state(g), least = mn_grammar_state(g), last = mn_grammar_state(g);
    mn_grammar_nothing(g, whole, to);
    mn_schema_call(c, whole, "bounded-fraction", to);
    if (above && low < high) { /* just behind the lower bound */
        put_whole(g, from, (int64_t)low, (int64_t)low, least);
        mn_schema_call(c, least, "nonzero-fraction", to);
    }
    double first = above ? low + 1 : low, end = high > most ? most : high - 1;
    if (first <= end) put_whole(g, from, (int64_t)first, (int64_t)end, whole);
    if (!below && high <= most && !(above && low == high)) {
        put_whole(g, from, (int64_t)high, (int64_t)high, last);
        mn_grammar_nothing(g, last, to);
        mn_schema_call(c, last, "zero-fraction", to);
    }
}

static mn_status put_bounded(mn_schema_compiler *c, const bounds *b, int32_t from, int32_t to) {
    double limit = b->above || b->below ? 1e9 : 1e15; /* a fraction of 6 digits is told from the bound as a double */
    bool has_low = isfinite(b->low), has_high = isfinite(b->high);
    if ((has_low && b->low != floor(b->low)) || (has_high && b->high != floor(b->high)))
        return mn_schema_unsupported(c, has_low && b->low != floor(b->low) ? "minimum" : "maximum",
                                     "bounds of numbers are whole numbers here");
    if ((has_low && fabs(b->low) > limit) || (has_high && fabs(b->high) > limit))
        return mn_schema_unsupported(c, has_low && fabs(b->low) > limit ? "minimum" : "maximum",
                                     "it is too large for a number");
    if (b->low > b->high || (b->low == b->high && (b->above || b->below))) return fail_empty(c);
    if (b->high > 0 || (b->high == 0 && !b->below))
        put_reals(c, from, b->low > 0 ? b->low : 0, b->low >= 0 && b->above, b->high, b->below, to);
    if (b->low < 0) {
        int32_t minus = mn_grammar_text(c->g, from, "-", 1);
        bool above = b->high >= 0 || b->below; /* no -0 */
        put_reals(c, minus, b->high < 0 ? -b->high : 0, above, -b->low, b->above, to);
    }
    return MN_OK;
}

mn_status mn_schema_number(mn_schema_compiler *c, const json_t *schema, bool integers, int32_t from, int32_t to) {
    static const char *const sizes[] = {"int32", "int64", "float", "double"};
    const json_t *multiple = json_object_get(schema, "multipleOf");
    const char *format = json_string_value(json_object_get(schema, "format"));
    bounds b;
    MN_TRY(take_bounds(c, schema, &b));
    if (multiple && !(integers && json_number_value(multiple) == 1))
        return mn_schema_unsupported(c, "multipleOf", NULL);
    bool known = !format || json_object_get(schema, "type") == NULL;
    for (size_t i = 0; format && i < 4; i++) known = known || !strcmp(format, sizes[i]);
    if (!known && json_is_string(json_object_get(schema, "type"))) return mn_schema_unsupported(c, "format", format);
    if (format && integers && !strcmp(format, "int32")) {
        b.low = MN_MAX(b.low, INT32_MIN);
        b.high = MN_MIN(b.high, INT32_MAX);
    }
    if (isinf(b.low) && isinf(b.high)) {
        mn_schema_call(c, from, integers ? "integer" : "number", to);
        return MN_OK;
    }
    return integers ? put_integers(c, &b, from, to) : put_bounded(c, &b, from, to);
}
