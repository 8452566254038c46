#include "jinja/builtins.h"
#include "jinja/eval.h"
#include "jinja/format.h"
#include "jinja/interpolate.h"
#include "jinja/strings.h"

#include <math.h>
#include <string.h>

static bool mismatch(jinja_render *r, const char *op, const jinja_value *left, const jinja_value *right) {
    const jinja_value *missing = left->kind == JINJA_UNDEFINED ? left : right;
    if (missing->kind == JINJA_UNDEFINED && missing->name)
        return mn_jinja_fail(r, MN_ERR_ARGUMENT, "\"%s\" is undefined and cannot be used with \"%s\".", missing->name,
                             op);
    return mn_jinja_fail(r, MN_ERR_ARGUMENT, "\"%s\" does not work on a %s and a %s.", op, mn_jinja_kind_name(left),
                         mn_jinja_kind_name(right));
}

static bool divide_by_zero(jinja_render *r) { return mn_jinja_fail(r, MN_ERR_ARGUMENT, "division by zero."); }

static bool integer_power(int64_t base, int64_t exponent, int64_t *out) {
    *out = 1;
    for (; exponent > 0; exponent >>= 1) {
        if ((exponent & 1) && __builtin_mul_overflow(*out, base, out)) return false;
        if (exponent > 1 && __builtin_mul_overflow(base, base, &base)) return false;
    }
    return true;
}

/* Python's // and %, which round towards minus infinity. INT64_MIN / -1 is the caller's overflow. */
static int64_t floor_divide(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }

static bool on_integers(jinja_render *r, jinja_operator op, int64_t a, int64_t b, jinja_value *out) {
    int64_t x = 0;
    bool overflow = false;
    if ((op == JINJA_FLOOR_DIV || op == JINJA_MOD) && b == 0) return divide_by_zero(r);
    switch (op) {
    case JINJA_ADD: overflow = __builtin_add_overflow(a, b, &x); break;
    case JINJA_SUB: overflow = __builtin_sub_overflow(a, b, &x); break;
    case JINJA_MUL: overflow = __builtin_mul_overflow(a, b, &x); break;
    case JINJA_POW: overflow = !integer_power(a, b, &x); break;
    default:
        overflow = a == INT64_MIN && b == -1;
        if (!overflow) x = op == JINJA_MOD ? a - b * floor_divide(a, b) : floor_divide(a, b);
    }
    if (overflow) return mn_jinja_fail(r, MN_ERR_LIMIT, "a result does not fit in 64 bits.");
    *out = mn_jinja_int(x);
    return true;
}

/* Python's // and % of reals: the rest has the divisor's sign, and a == b * quotient + rest as nearly as can be. */
static double floor_rest(double a, double b, double *quotient) {
    double rest = fmod(a, b), whole = (a - rest) / b;
    if (rest != 0 && (b < 0) != (rest < 0)) {
        rest += b;
        whole -= 1;
    }
    if (rest == 0) rest = copysign(0, b);
    *quotient = whole != 0 ? floor(whole) + (whole - floor(whole) > 0.5) : copysign(0, a / b);
    return rest;
}

static bool real_power(jinja_render *r, double a, double b, double *out) {
    if (a == 0 && b < 0) return divide_by_zero(r);
    if (a < 0 && isfinite(b) && b != floor(b))
        return mn_jinja_fail(r, MN_ERR_ARGUMENT, "%g ** %g is no real number.", a, b);
    *out = pow(a, b);
    if (isinf(*out) && isfinite(a) && isfinite(b))
        return mn_jinja_fail(r, MN_ERR_LIMIT, "%g ** %g is too large.", a, b);
    return true;
}

static bool on_reals(jinja_render *r, jinja_operator op, double a, double b, jinja_value *out) {
    if ((op == JINJA_DIV || op == JINJA_FLOOR_DIV || op == JINJA_MOD) && b == 0) return divide_by_zero(r);
    double x = 0, quotient;
    switch (op) {
    case JINJA_ADD: x = a + b; break;
    case JINJA_SUB: x = a - b; break;
    case JINJA_MUL: x = a * b; break;
    case JINJA_DIV: x = a / b; break;
    case JINJA_FLOOR_DIV: floor_rest(a, b, &quotient), x = quotient; break;
    case JINJA_MOD: x = floor_rest(a, b, &quotient); break;
    default:
        if (!real_power(r, a, b, &x)) return false;
    }
    *out = mn_jinja_float(x);
    return true;
}

static bool join_lists(jinja_render *r, const jinja_list *a, const jinja_list *b, jinja_value *out) {
    jinja_list *list;
    if (!mn_jinja_new_list(r, a->n + b->n, &list)) return false;
    list->shape = mn_jinja_is_tuple(a) ? JINJA_TUPLE : JINJA_PLAIN;
    for (size_t i = 0; i < a->n; i++) list->items[list->n++] = a->items[i];
    for (size_t i = 0; i < b->n; i++) list->items[list->n++] = b->items[i];
    *out = mn_jinja_list(list);
    return true;
}

static bool concatenate(jinja_render *r, const jinja_value *left, const jinja_value *right, jinja_value *out) {
    jinja_builder b = mn_jinja_build(r);
    *out = mn_jinja_text((jinja_string){0});
    return mn_jinja_print(&b, left) && mn_jinja_print(&b, right) && mn_jinja_built(&b, &out->string);
}

/* A string or list, times over. */
static bool repeat(jinja_render *r, const jinja_value *value, int64_t times, jinja_value *out) {
    if (value->kind == JINJA_STRING_KIND) {
        jinja_builder b = mn_jinja_build(r);
        *out = mn_jinja_text((jinja_string){0});
        for (; times > 0 && value->string.bytes > 0 && r->status == MN_OK; times--) mn_jinja_put(&b, value->string);
        return mn_jinja_built(&b, &out->string);
    }
    jinja_list *list;
    if (!mn_jinja_new_list(r, 0, &list)) return false;
    list->shape = mn_jinja_is_tuple(value->list) ? JINJA_TUPLE : JINJA_PLAIN;
    for (; times > 0 && value->list->n > 0; times--)
        for (size_t i = 0; i < value->list->n; i++)
            if (!mn_jinja_push(r, list, value->list->items[i])) return false;
    *out = mn_jinja_list(list);
    return true;
}

/* What is to be joined to HTML that needs no escaping is escaped, unless it is such itself. */
static bool add_strings(jinja_render *r, const jinja_value *left, const jinja_value *right, jinja_value *out) {
    jinja_value sides[2] = {*left, *right};
    bool escaped = left->string.escaped || right->string.escaped;
    for (int i = 0; escaped && i < 2; i++)
        if (!sides[i].string.escaped && !mn_jinja_escape(r, sides[i].string, &sides[i].string)) return false;
    if (!concatenate(r, &sides[0], &sides[1], out)) return false;
    out->string.escaped = escaped;
    return true;
}

static bool is_sequence(const jinja_value *value) {
    return value->kind == JINJA_STRING_KIND || value->kind == JINJA_LIST;
}

static bool arithmetic(jinja_render *r, jinja_operator op, const jinja_value *left, const jinja_value *right,
                       jinja_value *out) {
    static const char *const names[] = {
        [JINJA_ADD] = "+",        [JINJA_SUB] = "-", [JINJA_MUL] = "*",  [JINJA_DIV] = "/",
        [JINJA_FLOOR_DIV] = "//", [JINJA_MOD] = "%", [JINJA_POW] = "**",
    };
    int64_t a = 0, b = 0;
    double x, y;
    bool left_integer = mn_jinja_integer(left, &a), right_integer = mn_jinja_integer(right, &b);
    if (left_integer && right_integer && op != JINJA_DIV && !(op == JINJA_POW && b < 0))
        return on_integers(r, op, a, b, out);
    if (mn_jinja_number(left, &x) && mn_jinja_number(right, &y)) return on_reals(r, op, x, y, out);
    if (op == JINJA_ADD && left->kind == JINJA_STRING_KIND && right->kind == JINJA_STRING_KIND)
        return add_strings(r, left, right, out);
    if (op == JINJA_MOD && left->kind == JINJA_STRING_KIND) {
        *out = mn_jinja_text((jinja_string){0});
        return mn_jinja_percent(r, left->string, right, &out->string);
    }
    bool lists = left->kind == JINJA_LIST && right->kind == JINJA_LIST;
    if (op == JINJA_ADD && lists && mn_jinja_is_tuple(left->list) == mn_jinja_is_tuple(right->list))
        return join_lists(r, left->list, right->list, out);
    if (op == JINJA_MUL && is_sequence(left) && right_integer) return repeat(r, left, b, out);
    if (op == JINJA_MUL && is_sequence(right) && left_integer) return repeat(r, right, a, out);
    return mismatch(r, names[op], left, right);
}

bool mn_jinja_contains(jinja_render *r, const jinja_value *container, const jinja_value *item, bool *out) {
    *out = false;
    switch (container->kind) {
    case JINJA_UNDEFINED: return true;
    case JINJA_STRING_KIND:
        if (item->kind != JINJA_STRING_KIND) return mismatch(r, "in", item, container);
        *out = mn_jinja_find(container->string, item->string, 0) != SIZE_MAX;
        return mn_jinja_spend(r, container->string.bytes / 16);
    case JINJA_LIST:
        for (size_t i = 0; i < container->list->n && !*out; i++)
            if (!mn_jinja_spend(r, 1) || !mn_jinja_equal(r, &container->list->items[i], item, out)) return false;
        return true;
    case JINJA_DICT: {
        jinja_value *found;
        if (!mn_jinja_dict_find(r, container->dict, item, &found)) return false;
        *out = found;
        return true;
    }
    default: return mismatch(r, "in", item, container);
    }
}

bool mn_jinja_operate(jinja_render *r, jinja_operator op, const jinja_value *left, const jinja_value *right,
                      jinja_value *out) {
    bool truth;
    int order;
    if (op == JINJA_CONCAT) return concatenate(r, left, right, out);
    if (op >= JINJA_ADD) return arithmetic(r, op, left, right, out);
    if (op == JINJA_EQ || op == JINJA_NE) {
        if (!mn_jinja_equal(r, left, right, &truth)) return false;
        *out = mn_jinja_bool(truth == (op == JINJA_EQ));
        return true;
    }
    if (op == JINJA_IN || op == JINJA_NOT_IN) {
        if (!mn_jinja_contains(r, right, left, &truth)) return false;
        *out = mn_jinja_bool(truth == (op == JINJA_IN));
        return true;
    }
    double x, y;
    bool unordered = mn_jinja_number(left, &x) && mn_jinja_number(right, &y) && (isnan(x) || isnan(y));
    if (unordered) {
        *out = mn_jinja_bool(false);
        return true;
    }
    if (!mn_jinja_compare(r, left, right, &order)) return false;
    *out = mn_jinja_bool(op == JINJA_LT   ? order < 0
                         : op == JINJA_LE ? order <= 0
                         : op == JINJA_GT ? order > 0
                                          : order >= 0);
    return true;
}

bool mn_jinja_negate(jinja_render *r, const jinja_value *value, jinja_value *out) {
    jinja_value zero = mn_jinja_int(0);
    if (value->kind != JINJA_FLOAT) return mn_jinja_operate(r, JINJA_SUB, &zero, value, out);
    *out = mn_jinja_float(-value->real);
    return true;
}

/* A bound of a slice: from the end when negative, held within [low, high]. */
static bool bound(jinja_render *r, const jinja_value *value, int64_t n, int64_t low, int64_t high, int64_t otherwise,
                  int64_t *out) {
    *out = otherwise;
    if (value->kind == JINJA_UNDEFINED || value->kind == JINJA_NONE) return true;
    if (!mn_jinja_integer(value, out))
        return mn_jinja_fail(r, MN_ERR_ARGUMENT, "a slice needs numbers, not a %s.", mn_jinja_kind_name(value));
    if (*out < 0) *out += n;
    *out = *out < low ? low : *out > high ? high : *out;
    return true;
}

/* Items start, start + step, ... of a list, `count` of them. */
static bool pick(jinja_render *r, const jinja_list *from, int64_t start, int64_t step, int64_t count,
                 jinja_list **out) {
    if (step == 1) {
        if (!mn_jinja_new_list(r, 0, out)) return false;
        if (count) **out = (jinja_list){from->items + start, (size_t)count, (size_t)count, JINJA_PLAIN};
    } else {
        if (!mn_jinja_new_list(r, (size_t)count, out)) return false;
        for (int64_t i = 0; i < count; i++) (*out)->items[(*out)->n++] = from->items[start + i * step];
    }
    (*out)->shape = mn_jinja_is_tuple(from) ? JINJA_TUPLE : JINJA_PLAIN;
    return true;
}

static bool slice_string(jinja_render *r, jinja_string s, int64_t start, int64_t step, int64_t count,
                         jinja_value *out) {
    if (step == 1) {
        size_t begin = mn_jinja_char_offset(s, start),
               bytes = mn_jinja_char_offset(mn_jinja_part(s, begin, s.bytes), count);
        *out = mn_jinja_text(mn_jinja_part(s, begin, begin + bytes));
        return true;
    }
    jinja_value whole = mn_jinja_text(s);
    jinja_list *all, *picked;
    if (!mn_jinja_iterate(r, &whole, &all) || !pick(r, all, start, step, count, &picked)) return false;
    jinja_builder b = mn_jinja_build(r);
    for (size_t i = 0; i < picked->n; i++) mn_jinja_put(&b, picked->items[i].string);
    *out = whole;
    return mn_jinja_built(&b, &out->string);
}

bool mn_jinja_slice(jinja_render *r, const jinja_value *value, const jinja_value bounds[3], jinja_value *out) {
    if (!mn_jinja_given(value))
        return mn_jinja_fail(r, MN_ERR_ARGUMENT, "\"%s\" is undefined and has no parts.",
                             value->name ? value->name : "a value");
    *out = mn_jinja_undefined("a part");
    if (!is_sequence(value)) return true;
    bool is_list = value->kind == JINJA_LIST;
    if (!is_list && !mn_jinja_spend(r, value->string.bytes / 16)) return false;
    int64_t n = (int64_t)(is_list ? value->list->n : mn_jinja_n_chars(value->string)), start, stop, step;
    if (!bound(r, &bounds[2], 0, -INT32_MAX, INT32_MAX, 1, &step)) return false;
    if (step == 0) return mn_jinja_fail(r, MN_ERR_ARGUMENT, "the step of a slice is 0.");
    bool up = step > 0;
    int64_t low = up ? 0 : -1, high = up ? n : n - 1;
    if (!bound(r, &bounds[0], n, low, high, up ? low : high, &start)) return false;
    if (!bound(r, &bounds[1], n, low, high, up ? high : low, &stop)) return false;
    int64_t span = up ? stop - start : start - stop, stride = up ? step : -step;
    int64_t count = span > 0 ? (span + stride - 1) / stride : 0;
    jinja_list *list;
    if (!is_list) return slice_string(r, value->string, count ? start : 0, step, count, out);
    if (!pick(r, value->list, start, step, count, &list)) return false;
    *out = mn_jinja_list(list);
    return true;
}
