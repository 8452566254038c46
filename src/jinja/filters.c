#include "jinja/builtins.h"
#include "jinja/eval.h"
#include "jinja/format.h"
#include "jinja/strings.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool given(const jinja_value *value) { return value->kind != JINJA_UNDEFINED; }

/* What a filter of strings works on: str() of whatever it is given. */
static bool self_string(jinja_render *r, const jinja_args *args, jinja_string *out) {
    return mn_jinja_to_string(r, &args->self, out);
}

static bool give_string(jinja_value *out, jinja_string s) {
    *out = mn_jinja_text(s);
    return true;
}

static bool change_case(jinja_render *r, const jinja_args *args, jinja_case to, jinja_value *out) {
    jinja_string s;
    return self_string(r, args, &s) && mn_jinja_change_case(r, s, to, &s) && give_string(out, s);
}

static bool filter_upper(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return change_case(r, args, JINJA_UPPER, out);
}

static bool filter_lower(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return change_case(r, args, JINJA_LOWER, out);
}

static bool filter_title(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return change_case(r, args, JINJA_TITLE_FILTER, out);
}

static bool filter_capitalize(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return change_case(r, args, JINJA_CAPITALIZE, out);
}

static bool filter_trim(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_string s;
    return self_string(r, args, &s) && mn_jinja_strip(r, s, &args->values[0], true, true, &s) && give_string(out, s);
}

static bool filter_string(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_string s;
    return self_string(r, args, &s) && give_string(out, s);
}

static bool filter_safe(jinja_render *r, const jinja_args *args, jinja_value *out) {
    (void)r;
    *out = args->self;
    return true;
}

static bool filter_replace(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_string s, old, new;
    int64_t max = args->values[2].kind == JINJA_INT ? args->values[2].integer : -1;
    return self_string(r, args, &s) && mn_jinja_to_string(r, &args->values[0], &old) &&
           mn_jinja_to_string(r, &args->values[1], &new) && mn_jinja_replace(r, s, old, new, max, &s) &&
           give_string(out, s);
}

static bool filter_indent(jinja_render *r, const jinja_args *args, jinja_value *out) {
    enum { MAX_WIDTH = 80 };
    static const char spaces[MAX_WIDTH + 1] = "                                        "
                                              "                                        ";
    jinja_string s, by = {spaces, NULL, 4};
    const jinja_value *width = &args->values[0];
    if (width->kind == JINJA_STRING_KIND)
        by = width->string;
    else if (width->kind == JINJA_INT && width->integer >= 0 && width->integer <= MAX_WIDTH)
        by.bytes = (size_t)width->integer;
    else if (given(width))
        return mn_jinja_fail(r, MN_ERR_ARGUMENT, "indent: the width is not in 0..%d.", MAX_WIDTH);
    bool first = mn_jinja_truth(&args->values[1]), blank = mn_jinja_truth(&args->values[2]);
    return self_string(r, args, &s) && mn_jinja_indent(r, s, by, first, blank, &s) && give_string(out, s);
}

static bool filter_length(jinja_render *r, const jinja_args *args, jinja_value *out) {
    const jinja_value *self = &args->self;
    size_t n = 0;
    if (self->kind == JINJA_STRING_KIND)
        n = mn_jinja_n_chars(self->string);
    else if (self->kind == JINJA_LIST)
        n = self->list->n;
    else if (self->kind == JINJA_DICT)
        n = self->dict->n;
    else if (given(self))
        return mn_jinja_fail(r, MN_ERR_ARGUMENT, "a %s has no length.", mn_jinja_kind_name(self));
    *out = mn_jinja_int((int64_t)n);
    return mn_jinja_spend(r, n / 16);
}

static bool filter_default(jinja_render *r, const jinja_args *args, jinja_value *out) {
    (void)r;
    bool keep = given(&args->self) && (!mn_jinja_truth(&args->values[1]) || mn_jinja_truth(&args->self));
    *out = keep ? args->self : given(&args->values[0]) ? args->values[0] : mn_jinja_text(JINJA_STRING(""));
    return true;
}

static bool pair(jinja_render *r, jinja_value first, jinja_value second, jinja_value *out) {
    out->kind = JINJA_LIST;
    return mn_jinja_new_list(r, 2, &out->list) && mn_jinja_push(r, out->list, first) &&
           mn_jinja_push(r, out->list, second);
}

static bool filter_items(jinja_render *r, const jinja_args *args, jinja_value *out) {
    const jinja_value *self = &args->self;
    if (given(self) && self->kind != JINJA_DICT)
        return mn_jinja_fail(r, MN_ERR_ARGUMENT, "items needs a dict, not a %s.", mn_jinja_kind_name(self));
    out->kind = JINJA_LIST;
    if (!mn_jinja_new_list(r, 0, &out->list)) return false;
    for (size_t i = 0; given(self) && i < self->dict->n; i++) {
        jinja_value entry;
        if (!pair(r, self->dict->keys[i], self->dict->values[i], &entry) || !mn_jinja_push(r, out->list, entry))
            return false;
    }
    return true;
}

static bool filter_tojson(jinja_render *r, const jinja_args *args, jinja_value *out) {
    const jinja_value *indent = &args->values[1], *separators = &args->values[2];
    jinja_json_style style = {.indent = -1,
                              .ensure_ascii = mn_jinja_truth(&args->values[0]),
                              .sort_keys = mn_jinja_truth(&args->values[3]),
                              .item_separator = JINJA_STRING(", "),
                              .key_separator = JINJA_STRING(": ")};
    if (indent->kind == JINJA_INT && indent->integer >= 0 && indent->integer <= 16) {
        style.indent = (int)indent->integer;
        style.item_separator = JINJA_STRING(",");
    } else if (mn_jinja_truth(indent))
        return mn_jinja_fail(r, MN_ERR_ARGUMENT, "tojson: indent is not in 0..16.");
    if (separators->kind == JINJA_LIST && separators->list->n == 2) {
        if (!mn_jinja_to_string(r, &separators->list->items[0], &style.item_separator)) return false;
        if (!mn_jinja_to_string(r, &separators->list->items[1], &style.key_separator)) return false;
    }
    jinja_builder b = mn_jinja_build(r);
    *out = mn_jinja_text((jinja_string){0});
    return mn_jinja_to_json(&b, &args->self, &style) && mn_jinja_built(&b, &out->string);
}

static bool filter_list(jinja_render *r, const jinja_args *args, jinja_value *out) {
    out->kind = JINJA_LIST;
    return mn_jinja_iterate(r, &args->self, &out->list);
}

static bool filter_first(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_list *list;
    if (!mn_jinja_iterate(r, &args->self, &list)) return false;
    *out = list->n ? list->items[0] : mn_jinja_undefined(NULL);
    return true;
}

static bool filter_last(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_list *list;
    if (!mn_jinja_iterate(r, &args->self, &list)) return false;
    *out = list->n ? list->items[list->n - 1] : mn_jinja_undefined(NULL);
    return true;
}

static bool filter_reverse(jinja_render *r, const jinja_args *args, jinja_value *out) {
    const jinja_value backwards[3] = {mn_jinja_undefined(NULL), mn_jinja_undefined(NULL), mn_jinja_int(-1)};
    jinja_value list = args->self;
    if (list.kind != JINJA_STRING_KIND) {
        list.kind = JINJA_LIST;
        if (!mn_jinja_iterate(r, &args->self, &list.list)) return false;
    }
    return mn_jinja_slice(r, &list, backwards, out);
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

/* item.a.b of "a.b", as map(attribute=) and selectattr see it. */
static bool follow_path(jinja_render *r, const jinja_value *item, const jinja_value *path, jinja_value *out) {
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

/* What map, select and their kin go through; none is empty to them. */
static bool iterate_or_none(jinja_render *r, const jinja_value *value, jinja_list **out) {
    return value->kind == JINJA_NONE ? mn_jinja_new_list(r, 0, out) : mn_jinja_iterate(r, value, out);
}

static bool filter_join(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_string separator;
    jinja_list *list;
    if (!mn_jinja_to_string(r, &args->values[0], &separator) || !mn_jinja_iterate(r, &args->self, &list)) return false;
    jinja_builder b = mn_jinja_build(r);
    for (size_t i = 0; i < list->n; i++) {
        jinja_value item = list->items[i];
        if (given(&args->values[1]) && !follow_path(r, &list->items[i], &args->values[1], &item)) return false;
        if (i) mn_jinja_put(&b, separator);
        if (!mn_jinja_print(&b, &item)) return false;
    }
    *out = mn_jinja_text((jinja_string){0});
    return mn_jinja_built(&b, &out->string);
}

/* A table entry by a name that is a value; the name's text is copied since tables compare C strings. */
static const jinja_builtin *named_filter(jinja_render *r, const jinja_value *name) {
    char text[32] = {0};
    if (name->kind != JINJA_STRING_KIND || name->string.bytes >= sizeof text) {
        mn_jinja_fail(r, MN_ERR_ARGUMENT, "map: the filter's name is not a name.");
        return NULL;
    }
    memcpy(text, name->string.text, name->string.bytes);
    const jinja_builtin *filter = mn_jinja_filter(text);
    if (!filter) mn_jinja_fail(r, MN_ERR_UNSUPPORTED, "there is no filter \"%s\" here.", text);
    return filter;
}

static bool map_one(jinja_render *r, const jinja_args *args, const jinja_builtin *filter, const jinja_value *item,
                    jinja_value *out) {
    if (!filter) {
        if (!follow_path(r, item, &args->values[3], out)) return false;
        if (!given(out) && given(&args->values[4])) *out = args->values[4];
        return true;
    }
    jinja_args inner = {.self = *item, .values = {args->values[1], args->values[2]}};
    for (int i = 2; i < JINJA_MAX_PARAMS; i++) inner.values[i] = mn_jinja_undefined(NULL);
    if (!mn_jinja_enter(r)) return false;
    bool done = filter->call(r, &inner, out);
    r->depth--;
    return done;
}

/* map("filter", its arguments...) or map(attribute="a.b", default=...). */
static bool filter_map(jinja_render *r, const jinja_args *args, jinja_value *out) {
    const jinja_builtin *filter = NULL;
    jinja_list *from;
    if (!given(&args->values[3]) && !(filter = named_filter(r, &args->values[0]))) return false;
    out->kind = JINJA_LIST;
    if (!iterate_or_none(r, &args->self, &from) || !mn_jinja_new_list(r, from->n, &out->list)) return false;
    for (size_t i = 0; i < from->n; i++) {
        jinja_value item;
        if (!map_one(r, args, filter, &from->items[i], &item) || !mn_jinja_push(r, out->list, item)) return false;
    }
    return true;
}

/* select and its kin: items, or items whose attribute, pass a test (without one: are true), or do not pass. */
static bool choose(jinja_render *r, const jinja_args *args, const jinja_value *attribute, const jinja_value *test,
                   bool wanted, jinja_value *out) {
    jinja_list *from;
    out->kind = JINJA_LIST;
    if (!iterate_or_none(r, &args->self, &from) || !mn_jinja_new_list(r, from->n, &out->list)) return false;
    for (size_t i = 0; i < from->n; i++) {
        jinja_value tested = from->items[i];
        if (attribute && !follow_path(r, &from->items[i], attribute, &tested)) return false;
        bool passes = mn_jinja_truth(&tested);
        if (given(test)) {
            jinja_string name;
            if (!mn_jinja_to_string(r, test, &name)) return false;
            if (!mn_jinja_apply_test(r, name, &tested, test + 1, &passes)) return false;
        }
        if (passes == wanted && !mn_jinja_push(r, out->list, from->items[i])) return false;
    }
    return true;
}

static bool filter_select(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return choose(r, args, NULL, &args->values[0], true, out);
}

static bool filter_reject(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return choose(r, args, NULL, &args->values[0], false, out);
}

static bool filter_selectattr(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return choose(r, args, &args->values[0], &args->values[1], true, out);
}

static bool filter_rejectattr(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return choose(r, args, &args->values[0], &args->values[1], false, out);
}

/* What sorting and unique compare: a string without its case, unless case counts. */
static bool sort_key(jinja_render *r, const jinja_value *value, bool case_sensitive, jinja_value *out) {
    *out = *value;
    if (value->kind != JINJA_STRING_KIND || case_sensitive) return true;
    return mn_jinja_change_case(r, value->string, JINJA_LOWER, &out->string);
}

static bool filter_unique(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_list *from, *keys;
    out->kind = JINJA_LIST;
    if (!mn_jinja_iterate(r, &args->self, &from) || !mn_jinja_new_list(r, from->n, &out->list)) return false;
    if (!mn_jinja_new_list(r, from->n, &keys)) return false;
    jinja_value seen = mn_jinja_list(keys), key;
    for (size_t i = 0; i < from->n; i++) {
        bool known;
        if (!sort_key(r, &from->items[i], mn_jinja_truth(&args->values[0]), &key)) return false;
        if (!mn_jinja_contains(r, &seen, &key, &known)) return false;
        if (!known && (!mn_jinja_push(r, keys, key) || !mn_jinja_push(r, out->list, from->items[i]))) return false;
    }
    return true;
}

/* Insertion sort of items by their keys: stable, and what templates sort is short. */
static bool sort_by_keys(jinja_render *r, jinja_list *items, jinja_list *keys, bool reverse) {
    for (size_t i = 1; i < items->n; i++) {
        jinja_value item = items->items[i], key = keys->items[i];
        size_t place = i;
        for (int sign; place > 0; place--) {
            if (!mn_jinja_spend(r, 1) || !mn_jinja_compare(r, &keys->items[place - 1], &key, &sign)) return false;
            if (reverse ? sign >= 0 : sign <= 0) break;
            items->items[place] = items->items[place - 1];
            keys->items[place] = keys->items[place - 1];
        }
        items->items[place] = item;
        keys->items[place] = key;
    }
    return true;
}

/* Sorts a copy of from by the attribute `path` of its items, undefined = the items themselves. */
static bool sort(jinja_render *r, const jinja_list *from, const jinja_value *path, bool case_sensitive, bool reverse,
                 jinja_value *out) {
    jinja_list *keys;
    out->kind = JINJA_LIST;
    if (!mn_jinja_new_list(r, from->n, &out->list) || !mn_jinja_new_list(r, from->n, &keys)) return false;
    for (size_t i = 0; i < from->n; i++) {
        jinja_value key = from->items[i];
        if (given(path) && !follow_path(r, &from->items[i], path, &key)) return false;
        if (!sort_key(r, &key, case_sensitive, &key)) return false;
        keys->items[keys->n++] = key;
        out->list->items[out->list->n++] = from->items[i];
    }
    return sort_by_keys(r, out->list, keys, reverse);
}

static bool filter_sort(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_list *from;
    const jinja_value *v = args->values;
    return mn_jinja_iterate(r, &args->self, &from) &&
           sort(r, from, &v[2], mn_jinja_truth(&v[1]), mn_jinja_truth(&v[0]), out);
}

static bool filter_dictsort(jinja_render *r, const jinja_args *args, jinja_value *out) {
    const jinja_value *v = args->values;
    jinja_value items,
        place = mn_jinja_int(v[1].kind == JINJA_STRING_KIND && mn_jinja_same_text(v[1].string, JINJA_STRING("value")));
    return filter_items(r, args, &items) &&
           sort(r, items.list, &place, mn_jinja_truth(&v[0]), mn_jinja_truth(&v[2]), out);
}

/* The number a string spells, perhaps with white space around it. */
static bool parse_real(jinja_render *r, jinja_string s, double *out) {
    char text[64] = {0}, *end;
    const jinja_value no_set = mn_jinja_undefined(NULL);
    if (!mn_jinja_strip(r, s, &no_set, true, true, &s) || s.bytes == 0 || s.bytes >= sizeof text) return false;
    memcpy(text, s.text, s.bytes);
    if (strspn(text, "+-.0123456789eE") != s.bytes) return false;
    *out = strtod(text, &end);
    return end == text + s.bytes;
}

static bool filter_int(jinja_render *r, const jinja_args *args, jinja_value *out) {
    double x;
    *out = given(&args->values[0]) ? args->values[0] : mn_jinja_int(0);
    if (args->self.kind == JINJA_INT)
        *out = args->self;
    else if (mn_jinja_number(&args->self, &x) ||
             (args->self.kind == JINJA_STRING_KIND && parse_real(r, args->self.string, &x))) {
        if (fabs(x) < 0x1p63) *out = mn_jinja_int((int64_t)x);
    }
    return r->status == MN_OK;
}

static bool filter_float(jinja_render *r, const jinja_args *args, jinja_value *out) {
    double x;
    *out = given(&args->values[0]) ? args->values[0] : mn_jinja_float(0);
    if (mn_jinja_number(&args->self, &x) ||
        (args->self.kind == JINJA_STRING_KIND && parse_real(r, args->self.string, &x)))
        *out = mn_jinja_float(x);
    return r->status == MN_OK;
}

static bool filter_abs(jinja_render *r, const jinja_args *args, jinja_value *out) {
    double x;
    *out = args->self;
    if (!mn_jinja_number(&args->self, &x))
        return mn_jinja_fail(r, MN_ERR_ARGUMENT, "abs needs a number, not a %s.", mn_jinja_kind_name(&args->self));
    return x >= 0 || mn_jinja_negate(r, &args->self, out);
}

const jinja_builtin *mn_jinja_filter(const char *name) {
    static const jinja_builtin filters[] = {
        BUILTIN("abs", filter_abs),
        BUILTIN("capitalize", filter_capitalize),
        BUILTIN("count", filter_length),
        BUILTIN("d", filter_default, .params = {"default_value", "boolean"}),
        BUILTIN("default", filter_default, .params = {"default_value", "boolean"}),
        BUILTIN("dictsort", filter_dictsort, .params = {"case_sensitive", "by", "reverse"}),
        BUILTIN("first", filter_first),
        BUILTIN("float", filter_float, .params = {"default"}),
        BUILTIN("indent", filter_indent, .params = {"width", "first", "blank"}),
        BUILTIN("int", filter_int, .params = {"default"}),
        BUILTIN("items", filter_items),
        BUILTIN("join", filter_join, .params = {"d", "attribute"}),
        BUILTIN("last", filter_last),
        BUILTIN("length", filter_length),
        BUILTIN("list", filter_list),
        BUILTIN("lower", filter_lower),
        BUILTIN("map", filter_map, .params = {"filter", "argument", "argument2", "attribute", "default"},
                .n_required = 1),
        BUILTIN("reject", filter_reject, .params = {"test", "argument"}),
        BUILTIN("rejectattr", filter_rejectattr, .params = {"attribute", "test", "argument"}, .n_required = 1),
        BUILTIN("replace", filter_replace, .params = {"old", "new", "count"}, .n_required = 2),
        BUILTIN("reverse", filter_reverse),
        BUILTIN("safe", filter_safe),
        BUILTIN("select", filter_select, .params = {"test", "argument"}),
        BUILTIN("selectattr", filter_selectattr, .params = {"attribute", "test", "argument"}, .n_required = 1),
        BUILTIN("sort", filter_sort, .params = {"reverse", "case_sensitive", "attribute"}),
        BUILTIN("string", filter_string),
        BUILTIN("title", filter_title),
        BUILTIN("tojson", filter_tojson, .params = {"ensure_ascii", "indent", "separators", "sort_keys"}),
        BUILTIN("trim", filter_trim, .params = {"chars"}),
        BUILTIN("unique", filter_unique, .params = {"case_sensitive"}),
        BUILTIN("upper", filter_upper),
    };
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
        if (strcmp(filters[i].name, name) == 0) return &filters[i];
    return NULL;
}
