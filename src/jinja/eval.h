/* Running a template's tree: expressions in eval.c, their operators in operators.c, calls of macros in macro.c,
 * statements in run.c. */
#ifndef MN_JINJA_EVAL_H
#define MN_JINJA_EVAL_H

#include "jinja/ast.h"
#include "jinja/value.h"

/* Names and their values; one for the template, and one for each turn of a loop, call of a macro, captured body. */
struct jinja_scope {
    jinja_dict names;
    jinja_scope *parent;
};

/* What `loop` is inside a for. */
struct jinja_loop {
    const jinja_list *items;
    size_t index; /* from 0 */
    int depth;    /* of a recursive loop, from 0 */
    const jinja_node *node;
    jinja_scope *scope;        /* where the loop stands */
    const jinja_list *changed; /* what loop.changed was asked last; NULL = nothing yet */
};

/* Renders body into *out with the names in variables. */
bool mn_jinja_run(jinja_render *r, const jinja_node *body, const jinja_dict *variables, jinja_string *out);

/* Functions below return false after mn_jinja_fail. */
bool mn_jinja_eval(jinja_render *r, jinja_scope *scope, const jinja_node *n, jinja_value *out);
jinja_scope *mn_jinja_open_scope(jinja_render *r, jinja_scope *parent);
bool mn_jinja_define(jinja_render *r, jinja_scope *scope, const char *name, jinja_value value);
/* What the body prints, as a string. */
bool mn_jinja_capture(jinja_render *r, jinja_scope *scope, const jinja_node *body, jinja_value *out);
/* {{ loop(items) }} of a recursive loop: what its body prints for these items. */
bool mn_jinja_recurse(jinja_render *r, const jinja_loop *loop, const jinja_value *items, jinja_value *out);

/* The arguments of a call, stars unpacked. */
bool mn_jinja_eval_call(jinja_render *r, jinja_scope *scope, const jinja_argument *arguments, jinja_call *out);
bool mn_jinja_call_macro(jinja_render *r, const jinja_value *macro, const jinja_call *call, jinja_value *out);

/* left op right; not for and, or. */
bool mn_jinja_operate(jinja_render *r, jinja_operator op, const jinja_value *left, const jinja_value *right,
                      jinja_value *out);
bool mn_jinja_negate(jinja_render *r, const jinja_value *value, jinja_value *out);
bool mn_jinja_contains(jinja_render *r, const jinja_value *container, const jinja_value *item, bool *out);
/* value[start:stop:step] of a string or list, undefined of what has no parts; bounds that are none or undefined stand
 * for the ends. */
bool mn_jinja_slice(jinja_render *r, const jinja_value *value, const jinja_value bounds[3], jinja_value *out);

#endif
