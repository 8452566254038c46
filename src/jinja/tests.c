/* What stands after `is`. */
#include "base/checked.h"
#include "jinja/eval.h"
#include "jinja/format.h"
#include "jinja/methods.h"
#include "jinja/unicode.h"

#include <string.h>

/* A set of kinds, so that most tests are one line of the table: `1 << kind`. */
#define KIND(kind) (1u << (kind))

static bool answer(jinja_value *out, bool truth) {
    *out = mn_jinja_bool(truth);
    return true;
}

static bool is_of(const jinja_args *args, unsigned kinds, jinja_value *out) {
    return answer(out, kinds >> args->self.kind & 1);
}

#define KIND_TEST(name, kinds)                                                                                         \
    static bool test_##name(jinja_render *r, const jinja_args *args, jinja_value *out) {                               \
        (void)r;                                                                                                       \
        return is_of(args, kinds, out);                                                                                \
    }

/* As in Jinja, a boolean is a number, a dict is a sequence, and an undefined is an empty one. */
KIND_TEST(defined, ~KIND(JINJA_UNDEFINED))
KIND_TEST(undefined, KIND(JINJA_UNDEFINED))
KIND_TEST(none, KIND(JINJA_NONE))
KIND_TEST(boolean, KIND(JINJA_BOOL))
KIND_TEST(integer, KIND(JINJA_INT))
KIND_TEST(float, KIND(JINJA_FLOAT))
KIND_TEST(number, KIND(JINJA_BOOL) | KIND(JINJA_INT) | KIND(JINJA_FLOAT))
KIND_TEST(string, KIND(JINJA_STRING_KIND))
KIND_TEST(mapping, KIND(JINJA_DICT))
KIND_TEST(iterable,
          KIND(JINJA_UNDEFINED) | KIND(JINJA_STRING_KIND) | KIND(JINJA_LIST) | KIND(JINJA_DICT) | KIND(JINJA_LOOP))
KIND_TEST(callable, KIND(JINJA_UNDEFINED) | KIND(JINJA_LOOP) | KIND(JINJA_MACRO) | KIND(JINJA_FUNCTION) |
                        KIND(JINJA_METHOD) | KIND(JINJA_JOINER))

/* The views of a dict have no places. */
static bool test_sequence(jinja_render *r, const jinja_args *args, jinja_value *out) {
    unsigned kinds = KIND(JINJA_UNDEFINED) | KIND(JINJA_STRING_KIND) | KIND(JINJA_LIST) | KIND(JINJA_DICT);
    bool is_view = args->self.kind == JINJA_LIST && args->self.list->shape >= JINJA_KEYS;
    (void)r;
    return answer(out, !is_view && (kinds >> args->self.kind & 1));
}

static bool test_true(jinja_render *r, const jinja_args *args, jinja_value *out) {
    (void)r;
    return answer(out, args->self.kind == JINJA_BOOL && args->self.boolean);
}

static bool test_false(jinja_render *r, const jinja_args *args, jinja_value *out) {
    (void)r;
    return answer(out, args->self.kind == JINJA_BOOL && !args->self.boolean);
}

static bool test_escaped(jinja_render *r, const jinja_args *args, jinja_value *out) {
    (void)r;
    return answer(out, args->self.kind == JINJA_STRING_KIND && args->self.string.escaped);
}

static bool has_case(jinja_render *r, const jinja_args *args, bool (*wanted)(uint32_t), jinja_value *out) {
    jinja_string s;
    return mn_jinja_to_string(r, &args->self, &s) && mn_jinja_spend(r, s.bytes / 16) &&
           answer(out, mn_jinja_has_case(s, wanted));
}

static bool test_lower(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return has_case(r, args, mn_jinja_is_lower, out);
}

static bool test_upper(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return has_case(r, args, mn_jinja_is_upper, out);
}

/* Whether two values are one object. Equal numbers and strings of one kind are taken for one, as Python's small ones
 * are. */
static bool test_sameas(jinja_render *r, const jinja_args *args, jinja_value *out) {
    const jinja_value *a = &args->self, *b = &args->values[0];
    bool same = a->kind == b->kind;
    if (same && a->kind == JINJA_LIST) return answer(out, a->list == b->list);
    if (same && a->kind == JINJA_DICT) return answer(out, a->dict == b->dict);
    return (!same || mn_jinja_equal(r, a, b, &same)) && answer(out, same);
}

/* Whether there is a filter, or a test, of that name. */
static bool names_builtin(const jinja_args *args, const jinja_builtin *(*find)(const char *), jinja_value *out) {
    char name[32] = {0};
    const jinja_value *self = &args->self;
    if (self->kind == JINJA_STRING_KIND && self->string.bytes < sizeof name)
        memcpy(name, self->string.text, self->string.bytes);
    return answer(out, find(name));
}

static bool test_filter(jinja_render *r, const jinja_args *args, jinja_value *out) {
    (void)r;
    return names_builtin(args, mn_jinja_filter, out);
}

static bool test_test(jinja_render *r, const jinja_args *args, jinja_value *out) {
    (void)r;
    return names_builtin(args, mn_jinja_test, out);
}

#define OPERATOR_TEST(name, op)                                                                                        \
    static bool test_##name(jinja_render *r, const jinja_args *args, jinja_value *out) {                               \
        return mn_jinja_operate(r, op, &args->self, &args->values[0], out);                                            \
    }

OPERATOR_TEST(eq, JINJA_EQ)
OPERATOR_TEST(ne, JINJA_NE)
OPERATOR_TEST(lt, JINJA_LT)
OPERATOR_TEST(le, JINJA_LE)
OPERATOR_TEST(gt, JINJA_GT)
OPERATOR_TEST(ge, JINJA_GE)
OPERATOR_TEST(in, JINJA_IN)

static bool leaves(jinja_render *r, const jinja_value *value, const jinja_value *divisor, int64_t wanted,
                   jinja_value *out) {
    jinja_value rest, want = mn_jinja_int(wanted);
    return mn_jinja_operate(r, JINJA_MOD, value, divisor, &rest) && mn_jinja_operate(r, JINJA_EQ, &rest, &want, out);
}

static bool test_divisibleby(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return leaves(r, &args->self, &args->values[0], 0, out);
}

static bool test_even(jinja_render *r, const jinja_args *args, jinja_value *out) {
    const jinja_value two = mn_jinja_int(2);
    return leaves(r, &args->self, &two, 0, out);
}

static bool test_odd(jinja_render *r, const jinja_args *args, jinja_value *out) {
    const jinja_value two = mn_jinja_int(2);
    return leaves(r, &args->self, &two, 1, out);
}

#define COMPARISON(text, function) BUILTIN(text, function, .params = {"other"}, .n_required = 1)

const jinja_builtin *mn_jinja_test(const char *name) {
    static const jinja_builtin tests[] = {
        COMPARISON("!=", test_ne),
        COMPARISON("<", test_lt),
        COMPARISON("<=", test_le),
        COMPARISON("==", test_eq),
        COMPARISON(">", test_gt),
        COMPARISON(">=", test_ge),
        BUILTIN("boolean", test_boolean),
        BUILTIN("callable", test_callable),
        BUILTIN("defined", test_defined),
        BUILTIN("divisibleby", test_divisibleby, .params = {"num"}, .n_required = 1),
        COMPARISON("eq", test_eq),
        COMPARISON("equalto", test_eq),
        BUILTIN("escaped", test_escaped),
        BUILTIN("even", test_even),
        BUILTIN("false", test_false),
        BUILTIN("filter", test_filter),
        BUILTIN("float", test_float),
        COMPARISON("ge", test_ge),
        COMPARISON("greaterthan", test_gt),
        COMPARISON("gt", test_gt),
        BUILTIN("in", test_in, .params = {"seq"}, .n_required = 1),
        BUILTIN("integer", test_integer),
        BUILTIN("iterable", test_iterable),
        COMPARISON("le", test_le),
        COMPARISON("lessthan", test_lt),
        BUILTIN("lower", test_lower),
        COMPARISON("lt", test_lt),
        BUILTIN("mapping", test_mapping),
        COMPARISON("ne", test_ne),
        BUILTIN("none", test_none),
        BUILTIN("number", test_number),
        BUILTIN("odd", test_odd),
        COMPARISON("sameas", test_sameas),
        BUILTIN("sequence", test_sequence),
        BUILTIN("string", test_string),
        BUILTIN("test", test_test),
        BUILTIN("true", test_true),
        BUILTIN("undefined", test_undefined),
        BUILTIN("upper", test_upper),
    };
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        if (strcmp(tests[i].name, name) == 0) return &tests[i];
    return NULL;
}
