/* Calls of builtins: arguments to parameters, names to builtins, attributes to methods and items. */
#include "base/checked.h"
#include "jinja/builtins.h"
#include "jinja/eval.h"
#include "jinja/strings.h"

#include <string.h>

static int find_parameter(const jinja_builtin *builtin, jinja_string name) {
    for (int i = 0; i < JINJA_MAX_PARAMS && builtin->params[i]; i++)
        if (mn_jinja_same_text(mn_jinja_borrow(builtin->params[i]), name)) return i;
    return -1;
}

static int n_parameters(const jinja_builtin *builtin) {
    int n = 0;
    while (n < JINJA_MAX_PARAMS && builtin->params[n]) n++;
    return n;
}

/* *given gets a bit for each parameter that has an argument. */
static bool bind_places(jinja_render *r, const jinja_builtin *builtin, const jinja_list *values, jinja_args *args,
                        unsigned *given) {
    size_t n_params = (size_t)n_parameters(builtin), n = MN_MIN(values->n, n_params);
    for (size_t i = 0; i < n; i++) args->values[i] = values->items[i];
    *given = (1u << n) - 1;
    if (values->n > n_params && !builtin->any_places)
        return mn_jinja_fail(r, MN_ERR_UNSUPPORTED, "%s takes no argument number %zu.", builtin->name, n_params + 1);
    if (values->n > n) args->rest = (jinja_list){values->items + n, values->n - n, values->n - n, JINJA_PLAIN};
    return true;
}

static bool bind_names(jinja_render *r, const jinja_builtin *builtin, const jinja_dict *names, jinja_args *args,
                       unsigned *given) {
    if (builtin->any_names && !mn_jinja_new_dict(r, &args->names)) return false;
    for (size_t i = 0; i < names->n; i++) {
        jinja_string name = names->keys[i].string;
        int at = find_parameter(builtin, name), shown = (int)MN_MIN(name.bytes, (size_t)64);
        if (at < 0 && builtin->any_names) {
            if (!mn_jinja_dict_set(r, args->names, names->keys[i], names->values[i])) return false;
            continue;
        }
        if (at < 0)
            return mn_jinja_fail(r, MN_ERR_UNSUPPORTED, "%s takes no argument \"%.*s\".", builtin->name, shown,
                                 name.text);
        if (*given >> at & 1)
            return mn_jinja_fail(r, MN_ERR_ARGUMENT, "%s is given its argument \"%.*s\" twice.", builtin->name, shown,
                                 name.text);
        args->values[at] = names->values[i];
        *given |= 1u << at;
    }
    return true;
}

bool mn_jinja_apply(jinja_render *r, const jinja_builtin *builtin, const jinja_value *self, const jinja_call *call,
                    jinja_value *out) {
    jinja_args args = {.self = self ? *self : mn_jinja_undefined(NULL)};
    unsigned given;
    for (int i = 0; i < JINJA_MAX_PARAMS; i++) args.values[i] = mn_jinja_undefined(NULL);
    if (!bind_places(r, builtin, &call->by_place, &args, &given)) return false;
    if (!bind_names(r, builtin, &call->by_name, &args, &given)) return false;
    for (int i = 0; i < builtin->n_required; i++)
        if (!(given >> i & 1))
            return mn_jinja_fail(r, MN_ERR_ARGUMENT, "%s needs its argument \"%s\".", builtin->name,
                                 builtin->params[i]);
    if (!mn_jinja_enter(r)) return false;
    bool done = builtin->call(r, &args, out);
    r->depth--;
    return done;
}

/* A text value as a C string in the arena: what error sentences and tables need. */
static const char *c_string(jinja_render *r, jinja_string name) {
    char *text = mn_jinja_alloc(r, name.bytes + 1, 1);
    if (!text) return NULL;
    memcpy(text, name.text, name.bytes);
    text[name.bytes] = 0;
    return text;
}

static const jinja_builtin *find_named(jinja_render *r, const char *what, const jinja_value *name,
                                       const jinja_builtin *(*find)(const char *)) {
    if (name->kind != JINJA_STRING_KIND) {
        mn_jinja_fail(r, MN_ERR_ARGUMENT, "a %s is named by a %s.", what, mn_jinja_kind_name(name));
        return NULL;
    }
    const char *copy = c_string(r, name->string);
    const jinja_builtin *builtin = copy ? find(copy) : NULL;
    if (copy && !builtin) mn_jinja_fail(r, MN_ERR_UNSUPPORTED, "there is no %s \"%.64s\" here.", what, copy);
    return builtin;
}

bool mn_jinja_apply_filter(jinja_render *r, const jinja_value *name, const jinja_value *self, const jinja_call *call,
                           jinja_value *out) {
    const jinja_builtin *filter = find_named(r, "filter", name, mn_jinja_filter);
    return filter && mn_jinja_apply(r, filter, self, call, out);
}

bool mn_jinja_apply_test(jinja_render *r, const jinja_value *name, const jinja_value *self, const jinja_call *call,
                         bool *out) {
    jinja_value truth;
    const jinja_builtin *test = find_named(r, "test", name, mn_jinja_test);
    if (!test || !mn_jinja_apply(r, test, self, call, &truth)) return false;
    *out = mn_jinja_truth(&truth);
    return true;
}

bool mn_jinja_need_string(jinja_render *r, const char *what, const jinja_value *value, jinja_string *out) {
    if (value->kind != JINJA_STRING_KIND)
        return mn_jinja_fail(r, MN_ERR_ARGUMENT, "%s needs a string, not a %s.", what, mn_jinja_kind_name(value));
    *out = value->string;
    return true;
}

bool mn_jinja_need_integer(jinja_render *r, const char *what, const jinja_value *value, int64_t *out) {
    if (!mn_jinja_stated(value) || mn_jinja_integer(value, out)) return true;
    return mn_jinja_fail(r, MN_ERR_ARGUMENT, "%s needs a whole number, not a %s.", what, mn_jinja_kind_name(value));
}

/* ---- attributes and items ---- */

static jinja_value item_or_undefined(const jinja_list *items, size_t at, const char *name) {
    return at < items->n ? items->items[at] : mn_jinja_undefined(name);
}

static bool loop_attribute(const jinja_loop *loop, const char *name, jinja_value *out) {
    int64_t index = (int64_t)loop->index, n = (int64_t)loop->items->n;
    const struct {
        const char *name;
        jinja_value value;
    } attributes[] = {
        {"index", mn_jinja_int(index + 1)},
        {"index0", mn_jinja_int(index)},
        {"revindex", mn_jinja_int(n - index)},
        {"revindex0", mn_jinja_int(n - index - 1)},
        {"first", mn_jinja_bool(index == 0)},
        {"last", mn_jinja_bool(index == n - 1)},
        {"length", mn_jinja_int(n)},
        {"depth", mn_jinja_int(loop->depth + 1)},
        {"depth0", mn_jinja_int(loop->depth)},
        {"previtem", item_or_undefined(loop->items, loop->index - 1, "loop.previtem")},
        {"nextitem", item_or_undefined(loop->items, loop->index + 1, "loop.nextitem")},
    };
    for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++) {
        if (strcmp(attributes[i].name, name) != 0) continue;
        *out = attributes[i].value;
        return true;
    }
    return false;
}

static bool macro_attribute(jinja_render *r, const jinja_node *macro, const char *name, jinja_value *out) {
    if (strcmp(name, "name") == 0) return mn_jinja_give_text(out, mn_jinja_borrow(macro->macro.name));
    if (strcmp(name, "arguments") != 0) return true;
    *out = (jinja_value){.kind = JINJA_LIST};
    if (!mn_jinja_new_list(r, 0, &out->list)) return false;
    out->list->shape = JINJA_TUPLE;
    for (const jinja_argument *p = macro->macro.parameters; p; p = p->next)
        if (!mn_jinja_push(r, out->list, mn_jinja_text(mn_jinja_borrow(p->name)))) return false;
    return true;
}

/* What beside methods a value has by name; *out stays as it is where there is nothing. */
static bool own_attribute(jinja_render *r, const jinja_value *value, jinja_string name, const char *text,
                          jinja_value *out) {
    const jinja_value *found = NULL;
    switch (value->kind) {
    case JINJA_DICT:
    case JINJA_NAMESPACE: found = mn_jinja_dict_get(value->dict, name); break;
    case JINJA_LOOP: loop_attribute(value->loop, text, out); break;
    case JINJA_MACRO: return macro_attribute(r, value->macro.node, text, out);
    case JINJA_CYCLER:
        if (strcmp(text, "current") == 0) found = &value->cycler->items->items[value->cycler->at];
        break;
    case JINJA_LIST:
        if (value->list->shape == JINJA_GROUP && strcmp(text, "grouper") == 0) found = &value->list->items[0];
        if (value->list->shape == JINJA_GROUP && strcmp(text, "list") == 0) found = &value->list->items[1];
        break;
    default: break;
    }
    if (found) *out = *found;
    return true;
}

static bool bind_method(jinja_render *r, const jinja_builtin *builtin, const jinja_value *value, jinja_value *out) {
    jinja_value *self = mn_jinja_alloc(r, 1, sizeof *self);
    if (!self) return false;
    *self = *value;
    *out = (jinja_value){.kind = JINJA_METHOD, .method = {builtin, self}};
    return true;
}

bool mn_jinja_attribute(jinja_render *r, const jinja_value *value, jinja_string name, jinja_value *out) {
    if (value->kind == JINJA_UNDEFINED)
        return mn_jinja_fail(r, MN_ERR_ARGUMENT, "\"%s\" is undefined, so it has no \"%.*s\".",
                             value->name ? value->name : "a value", (int)MN_MIN(name.bytes, (size_t)64), name.text);
    const char *text = c_string(r, name);
    if (!text) return false;
    const jinja_builtin *method = mn_jinja_method(value->kind, text);
    if (method) return bind_method(r, method, value, out);
    *out = mn_jinja_undefined(text);
    return own_attribute(r, value, name, text, out);
}

static bool item_at(jinja_render *r, const jinja_value *value, int64_t index, jinja_value *out) {
    jinja_value start = mn_jinja_int(index), stop = mn_jinja_undefined(NULL);
    *out = mn_jinja_undefined("an item");
    if (value->kind == JINJA_LIST) {
        int64_t n = (int64_t)value->list->n;
        if (index >= -n && index < n) *out = value->list->items[index < 0 ? index + n : index];
        return true;
    }
    if (!mn_jinja_spend(r, value->string.bytes / 16)) return false;
    int64_t n = (int64_t)mn_jinja_n_chars(value->string);
    if (index < -n || index >= n) return true;
    if (index != -1) stop = mn_jinja_int(index + 1);
    const jinja_value bounds[3] = {start, stop, mn_jinja_undefined(NULL)};
    return mn_jinja_slice(r, value, bounds, out);
}

bool mn_jinja_subscript(jinja_render *r, const jinja_value *value, const jinja_value *key, jinja_value *out) {
    int64_t index;
    if (value->kind == JINJA_DICT) {
        jinja_value *found;
        if (!mn_jinja_dict_find(r, value->dict, key, &found)) return false;
        if (found) {
            *out = *found;
            return true;
        }
    }
    if (key->kind == JINJA_STRING_KIND) return mn_jinja_attribute(r, value, key->string, out);
    bool has_places =
        value->kind == JINJA_STRING_KIND || (value->kind == JINJA_LIST && value->list->shape < JINJA_KEYS);
    if (mn_jinja_integer(key, &index) && has_places) return item_at(r, value, index, out);
    if (value->kind == JINJA_UNDEFINED) return mn_jinja_attribute(r, value, JINJA_STRING("item"), out);
    *out = mn_jinja_undefined("an item");
    return true;
}

/* A part of a dotted path: an index where it is a number, else a name. */
static jinja_value path_part(jinja_string part) {
    int64_t index = 0;
    for (size_t i = 0; i < part.bytes; i++) {
        if (part.text[i] < '0' || part.text[i] > '9' || i > 8) return mn_jinja_text(part);
        index = index * 10 + (part.text[i] - '0');
    }
    return part.bytes ? mn_jinja_int(index) : mn_jinja_text(part);
}

bool mn_jinja_follow_path(jinja_render *r, const jinja_value *item, const jinja_value *path, jinja_value *out) {
    const jinja_value dot = mn_jinja_text(JINJA_STRING("."));
    jinja_list *parts;
    *out = *item;
    if (path->kind != JINJA_STRING_KIND) return mn_jinja_subscript(r, item, path, out);
    if (!mn_jinja_split(r, path->string, &dot, -1, &parts)) return false;
    for (size_t i = 0; i < parts->n; i++) {
        jinja_value part = path_part(parts->items[i].string), object = *out;
        if (!mn_jinja_subscript(r, &object, &part, out)) return false;
    }
    return true;
}
