/* Filters, tests, functions and methods: tables of name, parameters and code. One that is not in its table does not
 * exist, and a template that uses it does not compile. */
#ifndef MN_JINJA_BUILTINS_H
#define MN_JINJA_BUILTINS_H

#include "jinja/value.h"

enum { JINJA_MAX_PARAMS = 6 };

/* What a builtin is called with. values[i] belongs to params[i]; those not given are JINJA_UNDEFINED. */
typedef struct jinja_args {
    jinja_value self; /* what a filter or test is applied to, whose method it is */
    jinja_value values[JINJA_MAX_PARAMS];
    jinja_dict *keywords; /* any_keywords only: all named arguments */
} jinja_args;

struct jinja_builtin {
    const char *name;
    bool (*call)(jinja_render *r, const jinja_args *args, jinja_value *out);
    const char *params[JINJA_MAX_PARAMS]; /* by place or by name; ends at the first NULL */
    int n_required;
    jinja_kind receiver; /* methods: of what */
    bool any_keywords;   /* takes names that are not in params */
};

/* A line of a table; what is not named is zero. */
#define BUILTIN(text, function, ...)                                                                                   \
    { .name = text, .call = function, ##__VA_ARGS__ }

/* NULL when there is none of that name. */
const jinja_builtin *mn_jinja_filter(const char *name);
const jinja_builtin *mn_jinja_test(const char *name);
const jinja_builtin *mn_jinja_function(const char *name);
const jinja_builtin *mn_jinja_method(jinja_kind receiver, const char *name);
/* Whether any kind of value has a method of that name. */
bool mn_jinja_is_method(const char *name);

/* value.name and value[key] as Python and Jinja see them; *out is undefined where there is nothing. */
bool mn_jinja_attribute(jinja_render *r, const jinja_value *value, jinja_string name, jinja_value *out);
bool mn_jinja_subscript(jinja_render *r, const jinja_value *value, const jinja_value *key, jinja_value *out);

/* Calls a test by name with one argument, as selectattr("type", "equalto", x) does. */
bool mn_jinja_apply_test(jinja_render *r, jinja_string name, const jinja_value *self, const jinja_value *argument,
                         bool *out);

#endif
