/* Filters of lists, and of what can be gone through like one. */
#include "base/checked.h"
#include "jinja/builtins.h"
#include "jinja/eval.h"
#include "jinja/format.h"

bool mn_jinja_filter_length(jinja_render *r, const jinja_args *args, jinja_value *out) {
    const jinja_value *self = &args->self;
    size_t n = 0;
    if (self->kind == JINJA_STRING_KIND)
        n = mn_jinja_n_chars(self->string);
    else if (self->kind == JINJA_LIST && self->list->shape != JINJA_LAZY)
        n = self->list->n;
    else if (self->kind == JINJA_DICT)
        n = self->dict->n;
    else if (self->kind == JINJA_LOOP)
        n = self->loop->items->n;
    else if (mn_jinja_given(self))
        return mn_jinja_fail(r, MN_ERR_ARGUMENT, "%s has no length.",
                             self->kind == JINJA_LIST ? "what a filter like map gives, without |list,"
                                                      : mn_jinja_kind_name(self));
    *out = mn_jinja_int((int64_t)n);
    return mn_jinja_spend(r, n / 16);
}

bool mn_jinja_filter_list(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_list *items;
    *out = (jinja_value){.kind = JINJA_LIST};
    if (!mn_jinja_iterate(r, &args->self, &items) || !mn_jinja_new_list(r, 0, &out->list)) return false;
    *out->list = *items;
    out->list->shape = JINJA_PLAIN;
    return true;
}

bool mn_jinja_filter_first(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_list *list;
    if (!mn_jinja_iterate(r, &args->self, &list)) return false;
    *out = list->n ? list->items[0] : mn_jinja_undefined("the first item of an empty list");
    return true;
}

bool mn_jinja_filter_last(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_list *list;
    if (!mn_jinja_iterate(r, &args->self, &list)) return false;
    *out = list->n ? list->items[list->n - 1] : mn_jinja_undefined("the last item of an empty list");
    return true;
}

bool mn_jinja_filter_reverse(jinja_render *r, const jinja_args *args, jinja_value *out) {
    const jinja_value backwards[3] = {mn_jinja_undefined(NULL), mn_jinja_undefined(NULL), mn_jinja_int(-1)};
    jinja_value list = args->self;
    bool is_text = list.kind == JINJA_STRING_KIND;
    if (!is_text && !mn_jinja_filter_list(r, args, &list)) return false;
    if (!mn_jinja_slice(r, &list, backwards, out)) return false;
    if (!is_text) out->list->shape = JINJA_LAZY;
    return true;
}

bool mn_jinja_lazy_list(jinja_render *r, jinja_value *out) {
    *out = (jinja_value){.kind = JINJA_LIST};
    if (!mn_jinja_new_list(r, 0, &out->list)) return false;
    out->list->shape = JINJA_LAZY;
    return true;
}

/* What map, select and their kin go through; what is false, as none, is empty to them. */
static bool iterate_if_true(jinja_render *r, const jinja_value *value, jinja_list **out) {
    return mn_jinja_truth(value) ? mn_jinja_iterate(r, value, out) : mn_jinja_new_list(r, 0, out);
}

bool mn_jinja_filter_join(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_string separator;
    jinja_list *list;
    if (!mn_jinja_to_string(r, &args->values[0], &separator) || !mn_jinja_iterate(r, &args->self, &list)) return false;
    jinja_builder b = mn_jinja_build(r);
    for (size_t i = 0; i < list->n; i++) {
        jinja_value item = list->items[i];
        if (mn_jinja_stated(&args->values[1]) && !mn_jinja_follow_path(r, &list->items[i], &args->values[1], &item))
            return false;
        if (i) mn_jinja_put(&b, separator);
        if (!mn_jinja_print(&b, &item)) return false;
    }
    *out = mn_jinja_text((jinja_string){0});
    return mn_jinja_built(&b, &out->string);
}

static const jinja_value *named(const jinja_args *args, jinja_string name) {
    return mn_jinja_dict_get(args->names, name);
}

/* map(attribute="a.b", default=x) */
static bool map_attribute(jinja_render *r, const jinja_args *args, const jinja_value *item, jinja_value *out) {
    const jinja_value *fallback = named(args, JINJA_STRING("default"));
    if (!mn_jinja_follow_path(r, item, named(args, JINJA_STRING("attribute")), out)) return false;
    if (!mn_jinja_given(out) && fallback && mn_jinja_stated(fallback)) *out = *fallback;
    return true;
}

/* map("filter", its arguments...) or map(attribute=...). */
bool mn_jinja_filter_map(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_list *from;
    if (!iterate_if_true(r, &args->self, &from) || !mn_jinja_lazy_list(r, out)) return false;
    bool by_attribute = args->rest.n == 0 && named(args, JINJA_STRING("attribute"));
    if (args->rest.n == 0 && !by_attribute) return mn_jinja_fail(r, MN_ERR_ARGUMENT, "map needs a filter's name.");
    jinja_call call = {.by_name = *args->names};
    if (args->rest.n) call.by_place = (jinja_list){args->rest.items + 1, args->rest.n - 1, 0, JINJA_PLAIN};
    for (size_t i = 0; i < from->n; i++) {
        jinja_value item;
        bool done = by_attribute ? map_attribute(r, args, &from->items[i], &item)
                                 : mn_jinja_apply_filter(r, &args->rest.items[0], &from->items[i], &call, &item);
        if (!done || !mn_jinja_push(r, out->list, item)) return false;
    }
    return true;
}

/* select and its kin: items, or items whose attribute, pass a test (without one: are true), or do not pass. */
static bool choose(jinja_render *r, const jinja_args *args, const jinja_value *attribute, bool wanted,
                   jinja_value *out) {
    jinja_list *from;
    if (!iterate_if_true(r, &args->self, &from) || !mn_jinja_lazy_list(r, out)) return false;
    jinja_call call = {.by_name = *args->names};
    if (args->rest.n) call.by_place = (jinja_list){args->rest.items + 1, args->rest.n - 1, 0, JINJA_PLAIN};
    for (size_t i = 0; i < from->n; i++) {
        jinja_value tested = from->items[i];
        if (attribute && !mn_jinja_follow_path(r, &from->items[i], attribute, &tested)) return false;
        bool passes = mn_jinja_truth(&tested);
        if (args->rest.n && !mn_jinja_apply_test(r, &args->rest.items[0], &tested, &call, &passes)) return false;
        if (passes == wanted && !mn_jinja_push(r, out->list, from->items[i])) return false;
    }
    return true;
}

bool mn_jinja_filter_select(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return choose(r, args, NULL, true, out);
}

bool mn_jinja_filter_reject(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return choose(r, args, NULL, false, out);
}

bool mn_jinja_filter_selectattr(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return choose(r, args, &args->values[0], true, out);
}

bool mn_jinja_filter_rejectattr(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return choose(r, args, &args->values[0], false, out);
}

/* Appends items [begin, end) as a list, filled up to n_filled where a filler is stated. */
static bool push_batch(jinja_render *r, jinja_list *out, const jinja_list *from, size_t begin, size_t end,
                       size_t n_filled, const jinja_value *filler) {
    jinja_list *batch;
    if (!mn_jinja_new_list(r, end - begin, &batch)) return false;
    for (; begin < end; begin++) batch->items[batch->n++] = from->items[begin];
    while (mn_jinja_stated(filler) && batch->n < n_filled)
        if (!mn_jinja_push(r, batch, *filler)) return false;
    return mn_jinja_push(r, out, mn_jinja_list(batch));
}

/* Lists of so many items each. */
bool mn_jinja_filter_batch(jinja_render *r, const jinja_args *args, jinja_value *out) {
    int64_t size = 0;
    jinja_list *from;
    if (!mn_jinja_need_integer(r, "batch", &args->values[0], &size) || !mn_jinja_iterate(r, &args->self, &from) ||
        !mn_jinja_lazy_list(r, out))
        return false;
    if (size < 1) return mn_jinja_fail(r, MN_ERR_ARGUMENT, "batch: %lld items are no batch.", (long long)size);
    for (size_t begin = 0, end; begin < from->n; begin = end) {
        end = begin + MN_MIN((size_t)size, from->n - begin);
        if (!push_batch(r, out->list, from, begin, end, (size_t)size, &args->values[1])) return false;
    }
    return true;
}

/* So many lists, the first ones an item longer where they cannot be equal. */
bool mn_jinja_filter_slice(jinja_render *r, const jinja_args *args, jinja_value *out) {
    int64_t n = 0;
    jinja_list *from;
    if (!mn_jinja_need_integer(r, "slice", &args->values[0], &n) || !mn_jinja_iterate(r, &args->self, &from) ||
        !mn_jinja_lazy_list(r, out))
        return false;
    if (n < 1) return mn_jinja_fail(r, MN_ERR_ARGUMENT, "slice: %lld lists cannot be made.", (long long)n);
    size_t each = from->n / (size_t)n, longer = from->n % (size_t)n, begin = 0;
    for (size_t i = 0; i < (size_t)n; i++) {
        size_t end = begin + each + (i < longer);
        if (!push_batch(r, out->list, from, begin, end, i < longer ? 0 : each + 1, &args->values[1])) return false;
        begin = end;
    }
    return true;
}
