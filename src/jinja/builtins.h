/* Filters, tests, functions and methods: tables of name, parameters and code. One that is not in its table does not
 * exist, and a template that reaches it fails. */
#ifndef MN_JINJA_BUILTINS_H
#define MN_JINJA_BUILTINS_H

#include "jinja/value.h"

enum { JINJA_MAX_PARAMS = 5 };

/* What a builtin is called with. values[i] belongs to params[i]; those not given are JINJA_UNDEFINED. */
typedef struct jinja_args {
    jinja_value self; /* what a filter or test is applied to, whose method it is */
    jinja_value values[JINJA_MAX_PARAMS];
    jinja_list rest;   /* any_places only: arguments by place behind params */
    jinja_dict *names; /* any_names only: named arguments that are not in params */
} jinja_args;

struct jinja_builtin {
    const char *name;
    bool (*call)(jinja_render *r, const jinja_args *args, jinja_value *out);
    const char *params[JINJA_MAX_PARAMS]; /* by place or by name; ends at the first NULL */
    int n_required;
    jinja_kind receiver; /* methods: of what */
    bool any_places, any_names;
};

/* A line of a table; what is not named is zero. */
#define BUILTIN(text, function, ...)                                                                                   \
    { .name = text, .call = function, ##__VA_ARGS__ }

/* NULL when there is none of that name. */
const jinja_builtin *mn_jinja_filter(const char *name);
const jinja_builtin *mn_jinja_test(const char *name);
const jinja_builtin *mn_jinja_function(const char *name);
const jinja_builtin *mn_jinja_method(jinja_kind receiver, const char *name);

/* Puts a call's arguments where the builtin expects them and runs it. self NULL: it is a function. */
bool mn_jinja_apply(jinja_render *r, const jinja_builtin *builtin, const jinja_value *self, const jinja_call *call,
                    jinja_value *out);
/* Filter or test whose name is a value, as in map("upper") and select("odd"), applied to self. */
bool mn_jinja_apply_filter(jinja_render *r, const jinja_value *name, const jinja_value *self, const jinja_call *call,
                           jinja_value *out);
bool mn_jinja_apply_test(jinja_render *r, const jinja_value *name, const jinja_value *self, const jinja_call *call,
                         bool *out);

/* value.name and value[key] as Python and Jinja see them; *out is undefined where there is nothing. */
bool mn_jinja_attribute(jinja_render *r, const jinja_value *value, jinja_string name, jinja_value *out);
bool mn_jinja_subscript(jinja_render *r, const jinja_value *value, const jinja_value *key, jinja_value *out);
/* item.a.b of "a.b", numbers standing for places: what attribute= names. */
bool mn_jinja_follow_path(jinja_render *r, const jinja_value *item, const jinja_value *path, jinja_value *out);

/* ---- what builtins share ---- */

static inline bool mn_jinja_given(const jinja_value *value) { return value->kind != JINJA_UNDEFINED; }
/* Neither undefined nor none. */
static inline bool mn_jinja_stated(const jinja_value *value) {
    return value->kind != JINJA_UNDEFINED && value->kind != JINJA_NONE;
}
static inline bool mn_jinja_give_text(jinja_value *out, jinja_string s) {
    *out = mn_jinja_text(s);
    return true;
}
/* An argument that is a string, or a whole number; `what` names the builtin in the error. */
bool mn_jinja_need_string(jinja_render *r, const char *what, const jinja_value *value, jinja_string *out);
/* *out keeps what it holds where the argument is not stated. */
bool mn_jinja_need_integer(jinja_render *r, const char *what, const jinja_value *value, int64_t *out);

/* A new list as map, select and their kin give it. */
bool mn_jinja_lazy_list(jinja_render *r, jinja_value *out);
/* A stable sort of items by keys, both of n, which are put in order. */
bool mn_jinja_sort(jinja_render *r, jinja_value *items, jinja_value *keys, size_t n, bool reverse);

/* ---- the filters, by what they work on: rows of the table in filters.c ---- */

typedef bool jinja_filter_fn(jinja_render *r, const jinja_args *args, jinja_value *out);
jinja_filter_fn mn_jinja_filter_capitalize, mn_jinja_filter_center, mn_jinja_filter_format, mn_jinja_filter_indent,
    mn_jinja_filter_lower, mn_jinja_filter_replace, mn_jinja_filter_string, mn_jinja_filter_title, mn_jinja_filter_trim,
    mn_jinja_filter_truncate, mn_jinja_filter_upper, mn_jinja_filter_wordcount; /* filters_text.c */
jinja_filter_fn mn_jinja_filter_wordwrap;                                       /* wordwrap.c */
jinja_filter_fn mn_jinja_filter_escape, mn_jinja_filter_forceescape, mn_jinja_filter_safe, mn_jinja_filter_striptags,
    mn_jinja_filter_urlencode, mn_jinja_filter_xmlattr; /* filters_html.c */
jinja_filter_fn mn_jinja_filter_batch, mn_jinja_filter_first, mn_jinja_filter_join, mn_jinja_filter_last,
    mn_jinja_filter_length, mn_jinja_filter_list, mn_jinja_filter_map, mn_jinja_filter_reject,
    mn_jinja_filter_rejectattr, mn_jinja_filter_reverse, mn_jinja_filter_select, mn_jinja_filter_selectattr,
    mn_jinja_filter_slice; /* filters_list.c */
jinja_filter_fn mn_jinja_filter_dictsort, mn_jinja_filter_groupby, mn_jinja_filter_items, mn_jinja_filter_max,
    mn_jinja_filter_min, mn_jinja_filter_sort, mn_jinja_filter_sum, mn_jinja_filter_unique; /* filters_sort.c */

#endif
