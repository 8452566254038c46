/* Arguments of calls, and the calls of macros. */
#include "base/checked.h"
#include "jinja/eval.h"

#include <string.h>

static bool add_by_name(jinja_render *r, jinja_call *call, jinja_value name, jinja_value value) {
    if (name.kind != JINJA_STRING_KIND)
        return mn_jinja_fail(r, MN_ERR_ARGUMENT, "an argument's name is a %s, not a string.",
                             mn_jinja_kind_name(&name));
    if (mn_jinja_dict_get(&call->by_name, name.string))
        return mn_jinja_fail(r, MN_ERR_ARGUMENT, "the argument \"%.*s\" is given twice.",
                             (int)MN_MIN(name.string.bytes, (size_t)64), name.string.text);
    return mn_jinja_dict_set(r, &call->by_name, name, value);
}

/* *list and **dict. */
static bool unpack(jinja_render *r, int stars, const jinja_value *value, jinja_call *call) {
    jinja_list *items;
    if (stars == 2 && value->kind != JINJA_DICT)
        return mn_jinja_fail(r, MN_ERR_ARGUMENT, "what ** unpacks is a %s, not a dict.", mn_jinja_kind_name(value));
    for (size_t i = 0; stars == 2 && i < value->dict->n; i++)
        if (!add_by_name(r, call, value->dict->keys[i], value->dict->values[i])) return false;
    if (stars == 2) return true;
    if (!mn_jinja_iterate(r, value, &items)) return false;
    for (size_t i = 0; i < items->n; i++)
        if (!mn_jinja_push(r, &call->by_place, items->items[i])) return false;
    return true;
}

bool mn_jinja_eval_call(jinja_render *r, jinja_scope *scope, const jinja_argument *a, jinja_call *out) {
    *out = (jinja_call){0};
    for (; a; a = a->next) {
        jinja_value value;
        if (!mn_jinja_eval(r, scope, a->value, &value)) return false;
        bool done = a->stars  ? unpack(r, a->stars, &value, out)
                    : a->name ? add_by_name(r, out, mn_jinja_text(mn_jinja_borrow(a->name)), value)
                              : mn_jinja_push(r, &out->by_place, value);
        if (!done) return false;
    }
    return true;
}

/* Arguments by place to parameters, what is more to `varargs`. */
static bool bind_places(jinja_render *r, const jinja_node *n, const jinja_list *values, jinja_scope *inner) {
    size_t at = 0;
    for (const jinja_argument *p = n->macro.parameters; p && at < values->n; p = p->next)
        if (!mn_jinja_define(r, inner, p->name, values->items[at++])) return false;
    if (at < values->n && !n->macro.uses_varargs)
        return mn_jinja_fail(r, MN_ERR_ARGUMENT, "the macro \"%s\" takes %zu arguments, not %zu.", n->macro.name, at,
                             values->n);
    if (!n->macro.uses_varargs) return true;
    jinja_value rest = {.kind = JINJA_LIST};
    if (!mn_jinja_new_list(r, values->n - at, &rest.list)) return false;
    rest.list->shape = JINJA_TUPLE;
    for (; at < values->n; at++) rest.list->items[rest.list->n++] = values->items[at];
    return mn_jinja_define(r, inner, "varargs", rest);
}

static const jinja_argument *find_parameter(const jinja_node *n, jinja_string name) {
    for (const jinja_argument *p = n->macro.parameters; p; p = p->next)
        if (mn_jinja_same_text(mn_jinja_borrow(p->name), name)) return p;
    return NULL;
}

/* Arguments by name to parameters, `caller` to its own, what is more to `kwargs`. */
static bool bind_names(jinja_render *r, const jinja_node *n, const jinja_dict *values, jinja_scope *inner) {
    jinja_value caller = mn_jinja_undefined("caller"), more = {.kind = JINJA_DICT};
    if (!mn_jinja_new_dict(r, &more.dict)) return false;
    for (size_t i = 0; i < values->n; i++) {
        jinja_string name = values->keys[i].string;
        const jinja_argument *p = find_parameter(n, name);
        int shown = (int)MN_MIN(name.bytes, (size_t)64);
        if (p && mn_jinja_dict_get(&inner->names, name))
            return mn_jinja_fail(r, MN_ERR_ARGUMENT, "the macro \"%s\" is given \"%.*s\" twice.", n->macro.name, shown,
                                 name.text);
        if (p) {
            if (!mn_jinja_define(r, inner, p->name, values->values[i])) return false;
        } else if (mn_jinja_same_text(name, JINJA_STRING("caller")))
            caller = values->values[i];
        else if (!n->macro.uses_kwargs)
            return mn_jinja_fail(r, MN_ERR_ARGUMENT, "the macro \"%s\" takes no argument \"%.*s\".", n->macro.name,
                                 shown, name.text);
        else if (!mn_jinja_dict_set(r, more.dict, values->keys[i], values->values[i]))
            return false;
    }
    if (n->macro.uses_kwargs && !mn_jinja_define(r, inner, "kwargs", more)) return false;
    return find_parameter(n, JINJA_STRING("caller")) || mn_jinja_define(r, inner, "caller", caller);
}

/* Parameters without an argument get their default, which sees the parameters before it. */
static bool bind_defaults(jinja_render *r, const jinja_node *n, jinja_scope *inner) {
    for (const jinja_argument *p = n->macro.parameters; p; p = p->next) {
        jinja_value value = mn_jinja_undefined(p->name);
        if (mn_jinja_dict_get(&inner->names, mn_jinja_borrow(p->name))) continue;
        if (p->value && !mn_jinja_eval(r, inner, p->value, &value)) return false;
        if (!mn_jinja_define(r, inner, p->name, value)) return false;
    }
    return true;
}

bool mn_jinja_call_macro(jinja_render *r, const jinja_value *macro, const jinja_call *call, jinja_value *out) {
    const jinja_node *n = macro->macro.node;
    jinja_scope *inner = mn_jinja_open_scope(r, macro->macro.scope);
    return inner && bind_places(r, n, &call->by_place, inner) && bind_names(r, n, &call->by_name, inner) &&
           bind_defaults(r, n, inner) && mn_jinja_capture(r, inner, n->macro.body, out);
}
