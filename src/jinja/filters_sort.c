/* Filters that compare: sorting, grouping, what is largest, what occurs once; and those of dicts. */
#include "base/checked.h"
#include "jinja/builtins.h"
#include "jinja/eval.h"
#include "jinja/strings.h"

#include <string.h>

/* Merges [begin, middle) and [middle, end) of items and keys into the arrays behind them. */
static bool merge(jinja_render *r, jinja_value *const from[2], jinja_value *const to[2], size_t begin, size_t middle,
                  size_t end, bool reverse) {
    size_t left = begin, right = middle;
    for (size_t i = begin; i < end; i++) {
        int sign = 0;
        if (left < middle && right < end && !mn_jinja_compare(r, &from[1][left], &from[1][right], &sign)) return false;
        bool take_right = left == middle || (right < end && (reverse ? sign < 0 : sign > 0));
        size_t taken = take_right ? right++ : left++;
        for (int k = 0; k < 2; k++) to[k][i] = from[k][taken];
    }
    return mn_jinja_spend(r, end - begin);
}

/* Merge sort from below. Equal keys keep their order, also when it is reversed. */
bool mn_jinja_sort(jinja_render *r, jinja_value *items, jinja_value *keys, size_t n, bool reverse) {
    jinja_value *arrays[2][2] = {{items, keys}, {NULL, NULL}};
    int from = 0;
    if (n < 2) return true;
    for (int k = 0; k < 2; k++)
        if (!(arrays[1][k] = mn_jinja_alloc(r, n, sizeof **arrays[1]))) return false;
    for (size_t width = 1; width < n; width *= 2, from = !from)
        for (size_t begin = 0; begin < n; begin += 2 * width) {
            size_t middle = MN_MIN(begin + width, n), end = MN_MIN(begin + 2 * width, n);
            if (!merge(r, arrays[from], arrays[!from], begin, middle, end, reverse)) return false;
        }
    if (from == 0) return true;
    memcpy(items, arrays[1][0], n * sizeof *items);
    memcpy(keys, arrays[1][1], n * sizeof *keys);
    return true;
}

/* What is compared: a string without its case, unless case counts. */
static bool fold(jinja_render *r, bool case_sensitive, jinja_value *key) {
    if (key->kind != JINJA_STRING_KIND || case_sensitive) return true;
    return mn_jinja_change_case(r, key->string, JINJA_LOWER, &key->string);
}

/* The key of an item: itself, or its attribute (undefined: itself), or `fallback` where it has none. */
static bool find_key(jinja_render *r, const jinja_value *item, const jinja_value *attribute,
                     const jinja_value *fallback, jinja_value *out) {
    *out = *item;
    if (!mn_jinja_stated(attribute)) return true;
    if (!mn_jinja_follow_path(r, item, attribute, out)) return false;
    if (!mn_jinja_given(out) && fallback && mn_jinja_stated(fallback)) *out = *fallback;
    return true;
}

/* The same for sort, as a list: "a,b" sorts by a, then by b. In a list keys without an order may be equal. */
static bool find_sort_key(jinja_render *r, const jinja_value *item, const jinja_value *attribute, bool case_sensitive,
                          jinja_value *out) {
    const jinja_value comma = mn_jinja_text(JINJA_STRING(","));
    jinja_list one = {.items = (jinja_value *)attribute, .n = 1}, *parts = &one, *keys;
    if (attribute->kind == JINJA_STRING_KIND && !mn_jinja_split(r, attribute->string, &comma, -1, &parts)) return false;
    if (!mn_jinja_new_list(r, parts->n, &keys)) return false;
    for (; keys->n < parts->n; keys->n++) {
        jinja_value *key = &keys->items[keys->n];
        if (!find_key(r, item, &parts->items[keys->n], NULL, key) || !fold(r, case_sensitive, key)) return false;
    }
    *out = mn_jinja_list(keys);
    return true;
}

/* A sorted copy of from, and its keys. */
static bool sort(jinja_render *r, const jinja_list *from, const jinja_value *attribute, const jinja_value *fallback,
                 bool case_sensitive, bool reverse, jinja_list **items, jinja_list **keys) {
    if (!mn_jinja_new_list(r, from->n, items) || !mn_jinja_new_list(r, from->n, keys)) return false;
    for (size_t i = 0; i < from->n; i++) {
        bool done = fallback ? find_key(r, &from->items[i], attribute, fallback, &(*keys)->items[i]) &&
                                   fold(r, case_sensitive, &(*keys)->items[i])
                             : find_sort_key(r, &from->items[i], attribute, case_sensitive, &(*keys)->items[i]);
        if (!done) return false;
        (*items)->items[i] = from->items[i];
    }
    (*items)->n = (*keys)->n = from->n;
    return mn_jinja_sort(r, (*items)->items, (*keys)->items, from->n, reverse);
}

bool mn_jinja_filter_sort(jinja_render *r, const jinja_args *args, jinja_value *out) {
    const jinja_value *v = args->values;
    jinja_list *from, *keys;
    *out = (jinja_value){.kind = JINJA_LIST};
    return mn_jinja_iterate(r, &args->self, &from) &&
           sort(r, from, &v[2], NULL, mn_jinja_truth(&v[1]), mn_jinja_truth(&v[0]), &out->list, &keys);
}

bool mn_jinja_filter_items(jinja_render *r, const jinja_args *args, jinja_value *out) {
    const jinja_value *self = &args->self;
    if (mn_jinja_given(self) && self->kind != JINJA_DICT)
        return mn_jinja_fail(r, MN_ERR_ARGUMENT, "items needs a dict, not a %s.", mn_jinja_kind_name(self));
    if (!mn_jinja_lazy_list(r, out)) return false;
    for (size_t i = 0; mn_jinja_given(self) && i < self->dict->n; i++) {
        jinja_value entry;
        if (!mn_jinja_pair(r, self->dict->keys[i], self->dict->values[i], &entry) ||
            !mn_jinja_push(r, out->list, entry))
            return false;
    }
    return true;
}

bool mn_jinja_filter_dictsort(jinja_render *r, const jinja_args *args, jinja_value *out) {
    const jinja_value *v = args->values;
    jinja_string by = JINJA_STRING("key");
    jinja_value items;
    jinja_list *keys;
    if (mn_jinja_given(&v[1]) && !mn_jinja_need_string(r, "dictsort", &v[1], &by)) return false;
    bool by_value = mn_jinja_same_text(by, JINJA_STRING("value"));
    if (!by_value && !mn_jinja_same_text(by, JINJA_STRING("key")))
        return mn_jinja_fail(r, MN_ERR_ARGUMENT, "dictsort sorts by \"key\" or \"value\".");
    if (!mn_jinja_given(&args->self))
        return mn_jinja_fail(r, MN_ERR_ARGUMENT, "dictsort needs a dict, not an undefined.");
    jinja_value place = mn_jinja_int(by_value);
    *out = (jinja_value){.kind = JINJA_LIST};
    return mn_jinja_filter_items(r, args, &items) &&
           sort(r, items.list, &place, NULL, mn_jinja_truth(&v[0]), mn_jinja_truth(&v[2]), &out->list, &keys);
}

/* Items with equal keys, in the order of the keys: (grouper, list). */
bool mn_jinja_filter_groupby(jinja_render *r, const jinja_args *args, jinja_value *out) {
    const jinja_value *v = args->values;
    jinja_list *from, *items, *keys;
    *out = (jinja_value){.kind = JINJA_LIST};
    if (!mn_jinja_iterate(r, &args->self, &from) || !mn_jinja_new_list(r, 0, &out->list)) return false;
    if (!sort(r, from, &v[0], &v[1], mn_jinja_truth(&v[2]), false, &items, &keys)) return false;
    for (size_t begin = 0, end; begin < items->n; begin = end) {
        jinja_list *group;
        jinja_value key, entry;
        bool same = true;
        if (!mn_jinja_new_list(r, 0, &group)) return false;
        for (end = begin; end < items->n && same; end += same) {
            if (!mn_jinja_equal(r, &keys->items[begin], &keys->items[end], &same)) return false;
            if (same && !mn_jinja_push(r, group, items->items[end])) return false;
        }
        if (!find_key(r, &items->items[begin], &v[0], &v[1], &key)) return false; /* as it is written */
        if (!mn_jinja_pair(r, key, mn_jinja_list(group), &entry)) return false;
        entry.list->shape = JINJA_GROUP;
        if (!mn_jinja_push(r, out->list, entry)) return false;
    }
    return true;
}

bool mn_jinja_filter_unique(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_list *from, *keys;
    if (!mn_jinja_iterate(r, &args->self, &from) || !mn_jinja_lazy_list(r, out)) return false;
    if (!mn_jinja_new_list(r, from->n, &keys)) return false;
    jinja_value seen = mn_jinja_list(keys), key;
    for (size_t i = 0; i < from->n; i++) {
        bool known;
        if (!find_key(r, &from->items[i], &args->values[1], NULL, &key)) return false;
        if (!fold(r, mn_jinja_truth(&args->values[0]), &key) || !mn_jinja_contains(r, &seen, &key, &known))
            return false;
        if (!known && (!mn_jinja_push(r, keys, key) || !mn_jinja_push(r, out->list, from->items[i]))) return false;
    }
    return true;
}

/* The first item whose key is the least, or the greatest. */
static bool extreme(jinja_render *r, const jinja_args *args, bool greatest, jinja_value *out) {
    jinja_list *from;
    jinja_value best, key;
    if (!mn_jinja_iterate(r, &args->self, &from)) return false;
    *out = mn_jinja_undefined("an item of an empty list");
    for (size_t i = 0; i < from->n; i++) {
        int sign = 0;
        if (!find_key(r, &from->items[i], &args->values[1], NULL, &key) ||
            !fold(r, mn_jinja_truth(&args->values[0]), &key) || !mn_jinja_spend(r, 1))
            return false;
        if (i && !mn_jinja_compare(r, &key, &best, &sign)) return false;
        if (i && (greatest ? sign <= 0 : sign >= 0)) continue;
        best = key;
        *out = from->items[i];
    }
    return true;
}

bool mn_jinja_filter_min(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return extreme(r, args, false, out);
}

bool mn_jinja_filter_max(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return extreme(r, args, true, out);
}

bool mn_jinja_filter_sum(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_list *from;
    if (!mn_jinja_iterate(r, &args->self, &from)) return false;
    *out = mn_jinja_given(&args->values[1]) ? args->values[1] : mn_jinja_int(0);
    for (size_t i = 0; i < from->n; i++) {
        jinja_value item, sum = *out;
        if (!find_key(r, &from->items[i], &args->values[0], NULL, &item)) return false;
        if (!mn_jinja_operate(r, JINJA_ADD, &sum, &item, out)) return false;
    }
    return true;
}
