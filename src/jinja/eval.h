/* Running a template's tree. */
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
};

/* Renders body into *out with the names in variables. */
bool mn_jinja_run(jinja_render *r, const jinja_node *body, const jinja_dict *variables, jinja_string *out);

/* left op right; not for and, or. */
bool mn_jinja_operate(jinja_render *r, jinja_operator op, const jinja_value *left, const jinja_value *right,
                      jinja_value *out);
bool mn_jinja_negate(jinja_render *r, const jinja_value *value, jinja_value *out);
bool mn_jinja_contains(jinja_render *r, const jinja_value *container, const jinja_value *item, bool *out);
/* value[start:stop:step] of a string or list; bounds that are none or undefined stand for the ends. */
bool mn_jinja_slice(jinja_render *r, const jinja_value *value, const jinja_value bounds[3], jinja_value *out);

#endif
