#include "jinja/value.h"

#include "base/checked.h"
#include "jinja/unicode.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { BYTES_PER_STEP = 64 };

bool mn_jinja_fail(jinja_render *r, mn_status status, const char *format, ...) {
    if (r->status != MN_OK) return false;
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    r->status = r->line ? mn_fail(r->err, status, "the chat template, line %d: %s", r->line, text)
                        : mn_fail(r->err, status, "%s", text);
    return false;
}

bool mn_jinja_spend(jinja_render *r, size_t steps) {
    if (steps <= (size_t)r->steps_left) {
        r->steps_left -= (int64_t)steps;
        return true;
    }
    r->steps_left = 0;
    return mn_jinja_fail(r, MN_ERR_LIMIT, "it does too much work; it may never end.");
}

bool mn_jinja_enter(jinja_render *r) {
    if (r->depth < JINJA_MAX_DEPTH) return ++r->depth;
    return mn_jinja_fail(r, MN_ERR_LIMIT, "it is nested more than %d levels deep.", JINJA_MAX_DEPTH);
}

void *mn_jinja_alloc(jinja_render *r, size_t n_items, size_t item_bytes) {
    size_t bytes;
    if (!mn_mul_size(n_items, item_bytes, &bytes) || bytes > r->max_bytes ||
        r->arena.used_bytes > r->max_bytes - bytes) {
        mn_jinja_fail(r, MN_ERR_LIMIT, "it needs more than %zu bytes of memory.", r->max_bytes);
        return NULL;
    }
    if (!mn_jinja_spend(r, 1 + bytes / BYTES_PER_STEP)) return NULL;
    void *block = mn_arena_alloc(&r->arena, n_items, item_bytes);
    if (!block) mn_jinja_fail(r, MN_ERR_MEMORY, "no memory for %zu bytes.", bytes);
    return block;
}

jinja_value mn_jinja_undefined(const char *name) { return (jinja_value){.kind = JINJA_UNDEFINED, .name = name}; }
jinja_value mn_jinja_bool(bool boolean) { return (jinja_value){.kind = JINJA_BOOL, .boolean = boolean}; }
jinja_value mn_jinja_int(int64_t integer) { return (jinja_value){.kind = JINJA_INT, .integer = integer}; }
jinja_value mn_jinja_float(double real) { return (jinja_value){.kind = JINJA_FLOAT, .real = real}; }
jinja_value mn_jinja_text(jinja_string string) { return (jinja_value){.kind = JINJA_STRING_KIND, .string = string}; }
jinja_value mn_jinja_list(jinja_list *list) { return (jinja_value){.kind = JINJA_LIST, .list = list}; }
jinja_string mn_jinja_borrow(const char *text) { return (jinja_string){.text = text, .bytes = strlen(text)}; }
bool mn_jinja_is_tuple(const jinja_list *list) { return list->shape == JINJA_TUPLE || list->shape == JINJA_GROUP; }

const char *mn_jinja_kind_name(const jinja_value *value) {
    static const char *const names[] = {"undefined", "none", "boolean", "number",   "number", "string", "list",  "dict",
                                        "namespace", "loop", "macro",   "function", "method", "cycler", "joiner"};
    return names[value->kind];
}

jinja_builder mn_jinja_build(jinja_render *r) { return (jinja_builder){.render = r}; }

static bool make_room(jinja_builder *b, size_t more) {
    if (b->render->status != MN_OK) return false;
    if (more <= b->capacity - b->bytes) return true;
    size_t capacity;
    if (!mn_add_size(b->bytes, more, &capacity)) capacity = SIZE_MAX;
    capacity = MN_MAX(capacity, MN_MAX(b->capacity * 2, (size_t)64));
    char *text = mn_jinja_alloc(b->render, capacity, 2);
    if (!text) return false;
    unsigned char *marks = (unsigned char *)text + capacity;
    if (b->bytes) {
        memcpy(text, b->text, b->bytes);
        memcpy(marks, b->marks, b->bytes);
    }
    b->text = text;
    b->marks = marks;
    b->capacity = capacity;
    return true;
}

void mn_jinja_put(jinja_builder *b, jinja_string s) {
    if (s.bytes == 0 || !make_room(b, s.bytes) || !mn_jinja_spend(b->render, s.bytes / BYTES_PER_STEP)) return;
    memcpy(b->text + b->bytes, s.text, s.bytes);
    if (s.marks)
        memcpy(b->marks + b->bytes, s.marks, s.bytes);
    else
        memset(b->marks + b->bytes, 0, s.bytes);
    b->marked |= s.marks != NULL;
    b->bytes += s.bytes;
}

void mn_jinja_puts(jinja_builder *b, const char *text) { mn_jinja_put(b, mn_jinja_borrow(text)); }

void mn_jinja_put_bytes(jinja_builder *b, const char *text, size_t bytes, bool marked) {
    if (bytes == 0 || !make_room(b, bytes)) return;
    memcpy(b->text + b->bytes, text, bytes);
    memset(b->marks + b->bytes, marked, bytes);
    b->marked |= marked;
    b->bytes += bytes;
}

void mn_jinja_put_char(jinja_builder *b, uint32_t c, bool marked) {
    char text[4] = {(char)(c - 0x110000)};
    mn_jinja_put_bytes(b, text, c > 0x10ffff ? 1 : mn_jinja_encode(c, text), marked);
}

bool mn_jinja_built(jinja_builder *b, jinja_string *out) {
    *out = (jinja_string){b->bytes ? b->text : "", b->marked ? b->marks : NULL, b->bytes, false};
    return b->render->status == MN_OK;
}

jinja_string mn_jinja_part(jinja_string s, size_t begin, size_t end) {
    return (jinja_string){s.text + begin, s.marks ? s.marks + begin : NULL, end - begin, s.escaped};
}

bool mn_jinja_is_marked(jinja_string s) { return s.marks && memchr(s.marks, 1, s.bytes); }

bool mn_jinja_same_text(jinja_string a, jinja_string b) {
    return a.bytes == b.bytes && memcmp(a.text, b.text, a.bytes) == 0;
}

size_t mn_jinja_char_bytes(const char *text, size_t bytes) {
    unsigned char lead = (unsigned char)text[0];
    size_t n = lead >= 0xf0 && lead < 0xf8 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    if (n > bytes || lead >= 0xf8) return 1;
    for (size_t i = 1; i < n; i++)
        if (((unsigned char)text[i] & 0xc0) != 0x80) return 1;
    return n;
}

uint32_t mn_jinja_code_point(const char *text, size_t n) {
    uint32_t c = (unsigned char)text[0];
    if (n == 1) return c < 0x80 ? c : 0x110000 + c;
    c &= 0xffu >> (n + 1);
    for (size_t i = 1; i < n; i++) c = c << 6 | ((unsigned char)text[i] & 0x3f);
    return c;
}

bool mn_jinja_next_char(jinja_string s, size_t *at, jinja_char *out) {
    if (*at >= s.bytes) return false;
    size_t n = mn_jinja_char_bytes(s.text + *at, s.bytes - *at);
    *out = (jinja_char){mn_jinja_code_point(s.text + *at, n), *at, n};
    *at += n;
    return true;
}

size_t mn_jinja_step_back(jinja_string s, size_t end) {
    for (size_t n = 2; n <= 4 && n <= end; n++)
        if (mn_jinja_char_bytes(s.text + end - n, n) == n) return end - n;
    return end - 1;
}

bool mn_jinja_marked_at(jinja_string s, size_t at) { return s.marks && s.marks[at]; }

size_t mn_jinja_n_chars(jinja_string s) {
    size_t n = 0;
    for (size_t at = 0; at < s.bytes; n++) at += mn_jinja_char_bytes(s.text + at, s.bytes - at);
    return n;
}

size_t mn_jinja_find(jinja_string s, jinja_string needle, size_t from) {
    if (from > s.bytes) return SIZE_MAX;
    if (needle.bytes == 0) return from;
    const char *found = memmem(s.text + from, s.bytes - from, needle.text, needle.bytes);
    return found ? (size_t)(found - s.text) : SIZE_MAX;
}

bool mn_jinja_find_last(jinja_render *r, jinja_string s, jinja_string needle, size_t from, size_t to, size_t *out) {
    *out = SIZE_MAX;
    if (from > to || needle.bytes > to - from) return true;
    for (size_t at = to - needle.bytes + 1; *out == SIZE_MAX && at-- > from;) {
        bool begins = needle.bytes == 0 || s.text[at] == needle.text[0];
        if (!mn_jinja_spend(r, begins ? 1 + needle.bytes / BYTES_PER_STEP : at % BYTES_PER_STEP == 0)) return false;
        if (begins && memcmp(s.text + at, needle.text, needle.bytes) == 0) *out = at;
    }
    return true;
}

bool mn_jinja_new_list(jinja_render *r, size_t capacity, jinja_list **out) {
    jinja_list *list = mn_jinja_alloc(r, 1, sizeof *list);
    if (!list) return false;
    *list = (jinja_list){.capacity = capacity};
    list->items = mn_jinja_alloc(r, capacity, sizeof *list->items);
    *out = list;
    return list->items;
}

/* Room for one more in a block of *capacity values, n of them used. */
static bool grow(jinja_render *r, jinja_value **values, size_t n, size_t capacity) {
    jinja_value *grown = mn_jinja_alloc(r, capacity, sizeof *grown);
    if (!grown) return false;
    if (n) memcpy(grown, *values, n * sizeof *grown);
    *values = grown;
    return true;
}

bool mn_jinja_push(jinja_render *r, jinja_list *list, jinja_value value) {
    if (list->n == list->capacity) {
        size_t capacity = MN_MAX((size_t)4, list->capacity * 2);
        if (!grow(r, &list->items, list->n, capacity)) return false;
        list->capacity = capacity;
    }
    list->items[list->n++] = value;
    return true;
}

bool mn_jinja_pair(jinja_render *r, jinja_value first, jinja_value second, jinja_value *out) {
    *out = (jinja_value){.kind = JINJA_LIST};
    if (!mn_jinja_new_list(r, 2, &out->list)) return false;
    out->list->shape = JINJA_TUPLE;
    out->list->items[out->list->n++] = first;
    out->list->items[out->list->n++] = second;
    return true;
}

bool mn_jinja_new_dict(jinja_render *r, jinja_dict **out) {
    jinja_dict *dict = mn_jinja_alloc(r, 1, sizeof *dict);
    if (!dict) return false;
    *dict = (jinja_dict){0};
    *out = dict;
    return true;
}

jinja_value *mn_jinja_dict_get(const jinja_dict *dict, jinja_string key) {
    for (size_t i = 0; i < dict->n; i++)
        if (dict->keys[i].kind == JINJA_STRING_KIND && mn_jinja_same_text(dict->keys[i].string, key))
            return &dict->values[i];
    return NULL;
}

bool mn_jinja_dict_find(jinja_render *r, const jinja_dict *dict, const jinja_value *key, jinja_value **out) {
    *out = NULL;
    if (!mn_jinja_spend(r, dict->n / 4)) return false;
    if (key->kind == JINJA_STRING_KIND) {
        *out = mn_jinja_dict_get(dict, key->string);
        return true;
    }
    for (size_t i = 0; i < dict->n; i++) {
        bool same;
        if (!mn_jinja_equal(r, &dict->keys[i], key, &same)) return false;
        if (!same) continue;
        *out = &dict->values[i];
        return true;
    }
    return true;
}

bool mn_jinja_dict_set(jinja_render *r, jinja_dict *dict, jinja_value key, jinja_value value) {
    jinja_value *place;
    if (!mn_jinja_dict_find(r, dict, &key, &place)) return false;
    if (place) {
        *place = value;
        return true;
    }
    if (dict->n == dict->capacity) {
        size_t capacity = MN_MAX((size_t)4, dict->capacity * 2);
        if (!grow(r, &dict->keys, dict->n, capacity) || !grow(r, &dict->values, dict->n, capacity)) return false;
        dict->capacity = capacity;
    }
    dict->keys[dict->n] = key;
    dict->values[dict->n++] = value;
    return true;
}

bool mn_jinja_truth(const jinja_value *value) {
    switch (value->kind) {
    case JINJA_UNDEFINED:
    case JINJA_NONE: return false;
    case JINJA_BOOL: return value->boolean;
    case JINJA_INT: return value->integer != 0;
    case JINJA_FLOAT: return value->real != 0;
    case JINJA_STRING_KIND: return value->string.bytes > 0;
    case JINJA_LIST: return value->list->n > 0 || value->list->shape == JINJA_LAZY;
    case JINJA_DICT: return value->dict->n > 0;
    default: return true;
    }
}

bool mn_jinja_number(const jinja_value *value, double *out) {
    switch (value->kind) {
    case JINJA_BOOL: *out = value->boolean; return true;
    case JINJA_INT: *out = (double)value->integer; return true;
    case JINJA_FLOAT: *out = value->real; return true;
    default: return false;
    }
}

bool mn_jinja_integer(const jinja_value *value, int64_t *out) {
    if (value->kind != JINJA_INT && value->kind != JINJA_BOOL) return false;
    *out = value->kind == JINJA_INT ? value->integer : value->boolean;
    return true;
}

static bool equal_lists(jinja_render *r, const jinja_list *a, const jinja_list *b, bool *out) {
    *out = a->n == b->n && mn_jinja_is_tuple(a) == mn_jinja_is_tuple(b);
    for (size_t i = 0; *out && i < a->n; i++)
        if (!mn_jinja_equal(r, &a->items[i], &b->items[i], out)) return false;
    return true;
}

static bool equal_dicts(jinja_render *r, const jinja_dict *a, const jinja_dict *b, bool *out) {
    *out = a->n == b->n;
    for (size_t i = 0; *out && i < a->n; i++) {
        jinja_value *other;
        if (!mn_jinja_dict_find(r, b, &a->keys[i], &other)) return false;
        if (!other)
            *out = false;
        else if (!mn_jinja_equal(r, &a->values[i], other, out))
            return false;
    }
    return true;
}

static bool same_identity(const jinja_value *a, const jinja_value *b) {
    switch (a->kind) {
    case JINJA_NAMESPACE: return a->dict == b->dict;
    case JINJA_LOOP: return a->loop == b->loop;
    case JINJA_MACRO: return a->macro.node == b->macro.node && a->macro.scope == b->macro.scope;
    case JINJA_FUNCTION: return a->function == b->function;
    case JINJA_CYCLER: return a->cycler == b->cycler;
    case JINJA_JOINER: return a->joiner == b->joiner;
    case JINJA_METHOD: return a->method.builtin == b->method.builtin && a->method.self == b->method.self;
    default: return true; /* undefined and none are one value each */
    }
}

bool mn_jinja_equal(jinja_render *r, const jinja_value *a, const jinja_value *b, bool *out) {
    double x, y;
    if (a->kind == JINJA_INT && b->kind == JINJA_INT)
        *out = a->integer == b->integer;
    else if (mn_jinja_number(a, &x) && mn_jinja_number(b, &y))
        *out = x == y;
    else if (a->kind != b->kind)
        *out = false;
    else if (a->kind == JINJA_STRING_KIND) {
        *out = mn_jinja_same_text(a->string, b->string);
        return mn_jinja_spend(r, a->string.bytes == b->string.bytes ? a->string.bytes / BYTES_PER_STEP : 0);
    } else if (a->kind == JINJA_LIST || a->kind == JINJA_DICT) {
        if (!mn_jinja_enter(r) || !mn_jinja_spend(r, 1)) return false;
        bool done =
            a->kind == JINJA_LIST ? equal_lists(r, a->list, b->list, out) : equal_dicts(r, a->dict, b->dict, out);
        r->depth--;
        return done;
    } else
        *out = same_identity(a, b);
    return true;
}

/* The first items that differ decide, then the lengths. */
static bool compare_lists(jinja_render *r, const jinja_list *a, const jinja_list *b, int *out) {
    *out = 0;
    for (size_t i = 0; i < a->n && i < b->n; i++) {
        bool same;
        if (!mn_jinja_equal(r, &a->items[i], &b->items[i], &same)) return false;
        if (!same) return mn_jinja_compare(r, &a->items[i], &b->items[i], out);
    }
    *out = (a->n > b->n) - (a->n < b->n);
    return true;
}

bool mn_jinja_compare(jinja_render *r, const jinja_value *a, const jinja_value *b, int *out) {
    double x, y;
    if (a->kind == JINJA_INT && b->kind == JINJA_INT)
        *out = (a->integer > b->integer) - (a->integer < b->integer);
    else if (mn_jinja_number(a, &x) && mn_jinja_number(b, &y))
        *out = (x > y) - (x < y);
    else if (a->kind == JINJA_STRING_KIND && b->kind == JINJA_STRING_KIND) {
        size_t n = MN_MIN(a->string.bytes, b->string.bytes);
        if (!mn_jinja_spend(r, n / BYTES_PER_STEP)) return false;
        *out = memcmp(a->string.text, b->string.text, n);
        if (*out == 0) *out = (a->string.bytes > b->string.bytes) - (a->string.bytes < b->string.bytes);
    } else if (a->kind == JINJA_LIST && b->kind == JINJA_LIST &&
               mn_jinja_is_tuple(a->list) == mn_jinja_is_tuple(b->list)) {
        if (!mn_jinja_enter(r) || !mn_jinja_spend(r, 1)) return false;
        bool done = compare_lists(r, a->list, b->list, out);
        r->depth--;
        return done;
    } else
        return mn_jinja_fail(r, MN_ERR_ARGUMENT, "%s and %s have no order.", mn_jinja_kind_name(a),
                             mn_jinja_kind_name(b));
    return true;
}

static bool characters(jinja_render *r, jinja_string s, jinja_list **out) {
    if (!mn_jinja_spend(r, s.bytes) || !mn_jinja_new_list(r, mn_jinja_n_chars(s), out)) return false;
    for (size_t at = 0, bytes; at < s.bytes; at += bytes) {
        bytes = mn_jinja_char_bytes(s.text + at, s.bytes - at);
        (*out)->items[(*out)->n++] = mn_jinja_text(mn_jinja_part(s, at, at + bytes));
    }
    return true;
}

bool mn_jinja_iterate(jinja_render *r, const jinja_value *value, jinja_list **out) {
    switch (value->kind) {
    case JINJA_UNDEFINED: return mn_jinja_new_list(r, 0, out);
    case JINJA_LIST: *out = value->list; return true;
    case JINJA_STRING_KIND: return characters(r, value->string, out);
    case JINJA_DICT:
        if (!mn_jinja_new_list(r, 0, out)) return false;
        **out = (jinja_list){.items = value->dict->keys, .n = value->dict->n, .capacity = value->dict->n};
        return true;
    default: return mn_jinja_fail(r, MN_ERR_ARGUMENT, "a %s cannot be iterated over.", mn_jinja_kind_name(value));
    }
}
