/* Methods of dicts, lists, loops and cyclers. */
#include "jinja/methods.h"

#include "base/checked.h"
#include "jinja/eval.h"

#include <string.h>

/* ---- dicts ---- */

/* A list of n values, which stay the dict's. */
static bool view(jinja_render *r, jinja_value *values, size_t n, jinja_shape shape, jinja_value *out) {
    *out = (jinja_value){.kind = JINJA_LIST};
    if (!mn_jinja_new_list(r, 0, &out->list)) return false;
    *out->list = (jinja_list){values, n, n, shape};
    return true;
}

static bool method_keys(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return view(r, args->self.dict->keys, args->self.dict->n, JINJA_KEYS, out);
}

static bool method_values(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return view(r, args->self.dict->values, args->self.dict->n, JINJA_VALUES, out);
}

static bool method_items(jinja_render *r, const jinja_args *args, jinja_value *out) {
    if (!mn_jinja_filter_items(r, args, out)) return false;
    out->list->shape = JINJA_ITEMS;
    return true;
}

static bool method_get(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_value *found;
    if (!mn_jinja_dict_find(r, args->self.dict, &args->values[0], &found)) return false;
    *out = found ? *found : args->values[1];
    if (!found && !mn_jinja_given(&args->values[1])) out->kind = JINJA_NONE;
    return true;
}

/* A dict never changes, so that a copy is the dict itself. */
static bool method_copy(jinja_render *r, const jinja_args *args, jinja_value *out) {
    (void)r;
    *out = args->self;
    return true;
}

/* ---- lists ---- */

static bool method_list_count(jinja_render *r, const jinja_args *args, jinja_value *out) {
    const jinja_list *list = args->self.list;
    int64_t n = 0;
    for (size_t i = 0; i < list->n; i++) {
        bool same;
        if (!mn_jinja_spend(r, 1) || !mn_jinja_equal(r, &list->items[i], &args->values[0], &same)) return false;
        n += same;
    }
    *out = mn_jinja_int(n);
    return true;
}

static bool method_list_index(jinja_render *r, const jinja_args *args, jinja_value *out) {
    const jinja_list *list = args->self.list;
    int64_t n = (int64_t)list->n, begin = 0, end = n;
    if (!mn_jinja_need_integer(r, "index", &args->values[1], &begin) ||
        !mn_jinja_need_integer(r, "index", &args->values[2], &end))
        return false;
    if (begin < 0) begin = MN_MAX(begin + n, 0);
    if (end < 0) end += n;
    for (int64_t i = begin; i < MN_MIN(end, n); i++) {
        bool same;
        if (!mn_jinja_spend(r, 1) || !mn_jinja_equal(r, &list->items[i], &args->values[0], &same)) return false;
        if (!same) continue;
        *out = mn_jinja_int(i);
        return true;
    }
    return mn_jinja_fail(r, MN_ERR_ARGUMENT, "index: the value is not in the list.");
}

/* ---- loops and cyclers ---- */

static bool method_cycle(jinja_render *r, const jinja_args *args, jinja_value *out) {
    if (args->rest.n == 0) return mn_jinja_fail(r, MN_ERR_ARGUMENT, "loop.cycle needs what to cycle through.");
    *out = args->rest.items[args->self.loop->index % args->rest.n];
    return true;
}

/* Whether the values are others than those of the last call. */
static bool method_changed(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_loop *loop = args->self.loop;
    jinja_list *kept;
    bool same = false;
    if (loop->changed) {
        const jinja_value before = {.kind = JINJA_LIST, .list = (jinja_list *)loop->changed},
                          now = {.kind = JINJA_LIST, .list = (jinja_list *)&args->rest};
        if (!mn_jinja_equal(r, &before, &now, &same)) return false;
    }
    *out = mn_jinja_bool(!same);
    if (same) return true;
    if (!mn_jinja_new_list(r, 0, &kept)) return false;
    *kept = args->rest;
    loop->changed = kept;
    return true;
}

static bool method_next(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_cycler *c = args->self.cycler;
    (void)r;
    *out = c->items->items[c->at];
    c->at = (c->at + 1) % c->items->n;
    return true;
}

static bool method_reset(jinja_render *r, const jinja_args *args, jinja_value *out) {
    (void)r;
    args->self.cycler->at = 0;
    out->kind = JINJA_NONE;
    return true;
}

#define METHOD(kind, text, function, ...)                                                                              \
    { .name = text, .call = function, .receiver = kind, ##__VA_ARGS__ }

static const jinja_builtin methods[] = {
    METHOD(JINJA_DICT, "copy", method_copy),
    METHOD(JINJA_DICT, "get", method_get, .params = {"key", "default"}, .n_required = 1),
    METHOD(JINJA_DICT, "items", method_items),
    METHOD(JINJA_DICT, "keys", method_keys),
    METHOD(JINJA_DICT, "values", method_values),
    METHOD(JINJA_LIST, "copy", method_copy),
    METHOD(JINJA_LIST, "count", method_list_count, .params = {"value"}, .n_required = 1),
    METHOD(JINJA_LIST, "index", method_list_index, .params = {"value", "start", "stop"}, .n_required = 1),
    METHOD(JINJA_LOOP, "changed", method_changed, .any_places = true),
    METHOD(JINJA_LOOP, "cycle", method_cycle, .any_places = true),
    METHOD(JINJA_CYCLER, "next", method_next),
    METHOD(JINJA_CYCLER, "reset", method_reset),
};

const jinja_builtin *mn_jinja_method(jinja_kind receiver, const char *name) {
    for (int i = 0; receiver == JINJA_STRING_KIND && i < mn_jinja_n_string_methods; i++)
        if (strcmp(mn_jinja_string_methods[i].name, name) == 0) return &mn_jinja_string_methods[i];
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (methods[i].receiver == receiver && strcmp(methods[i].name, name) == 0) return &methods[i];
    return NULL;
}
