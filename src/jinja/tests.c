/* What stands after `is`. */
#include "base/checked.h"
#include "jinja/builtins.h"
#include "jinja/eval.h"

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
KIND_TEST(sequence, KIND(JINJA_UNDEFINED) | KIND(JINJA_STRING_KIND) | KIND(JINJA_LIST) | KIND(JINJA_DICT))
KIND_TEST(callable, KIND(JINJA_MACRO) | KIND(JINJA_FUNCTION) | KIND(JINJA_METHOD))

static bool test_true(jinja_render *r, const jinja_args *args, jinja_value *out) {
    (void)r;
    return answer(out, args->self.kind == JINJA_BOOL && args->self.boolean);
}

static bool test_false(jinja_render *r, const jinja_args *args, jinja_value *out) {
    (void)r;
    return answer(out, args->self.kind == JINJA_BOOL && !args->self.boolean);
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

const jinja_builtin *mn_jinja_test(const char *name) {
    static const jinja_builtin tests[] = {
        BUILTIN("boolean", test_boolean),
        BUILTIN("callable", test_callable),
        BUILTIN("defined", test_defined),
        BUILTIN("divisibleby", test_divisibleby, .params = {"num"}, .n_required = 1),
        BUILTIN("eq", test_eq, .params = {"other"}, .n_required = 1),
        BUILTIN("equalto", test_eq, .params = {"other"}, .n_required = 1),
        BUILTIN("even", test_even),
        BUILTIN("false", test_false),
        BUILTIN("float", test_float),
        BUILTIN("ge", test_ge, .params = {"other"}, .n_required = 1),
        BUILTIN("greaterthan", test_gt, .params = {"other"}, .n_required = 1),
        BUILTIN("gt", test_gt, .params = {"other"}, .n_required = 1),
        BUILTIN("in", test_in, .params = {"seq"}, .n_required = 1),
        BUILTIN("integer", test_integer),
        BUILTIN("iterable", test_sequence),
        BUILTIN("le", test_le, .params = {"other"}, .n_required = 1),
        BUILTIN("lessthan", test_lt, .params = {"other"}, .n_required = 1),
        BUILTIN("lt", test_lt, .params = {"other"}, .n_required = 1),
        BUILTIN("mapping", test_mapping),
        BUILTIN("ne", test_ne, .params = {"other"}, .n_required = 1),
        BUILTIN("none", test_none),
        BUILTIN("number", test_number),
        BUILTIN("odd", test_odd),
        BUILTIN("sequence", test_sequence),
        BUILTIN("string", test_string),
        BUILTIN("true", test_true),
        BUILTIN("undefined", test_undefined),
    };
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        if (strcmp(tests[i].name, name) == 0) return &tests[i];
    return NULL;
}

bool mn_jinja_apply_test(jinja_render *r, jinja_string name, const jinja_value *self, const jinja_value *argument,
                         bool *out) {
    static const jinja_builtin symbols[] = {BUILTIN("==", test_eq), BUILTIN("!=", test_ne), BUILTIN("<", test_lt),
                                            BUILTIN("<=", test_le), BUILTIN(">", test_gt),  BUILTIN(">=", test_ge)};
    char text[16] = {0};
    if (name.bytes < sizeof text) memcpy(text, name.text, name.bytes);
    const jinja_builtin *test = mn_jinja_test(text);
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++)
        if (strcmp(symbols[i].name, text) == 0) test = &symbols[i];
    if (!test)
        return mn_jinja_fail(r, MN_ERR_UNSUPPORTED, "there is no test \"%.*s\" here.",
                             (int)MN_MIN(name.bytes, (size_t)64), name.text);
    const jinja_args args = {.self = *self, .values = {*argument}};
    jinja_value truth;
    if (!test->call(r, &args, &truth)) return false;
    *out = mn_jinja_truth(&truth);
    return true;
}
