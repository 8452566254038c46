#include "jinja/format.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Shortest digits that read back as the same double, laid out as Python does: 1.0, 0.0001, 1e-05, 1e+16. */
static void print_float(jinja_builder *b, double x) {
    char digits[40], text[64];
    int precision = 0;
    do snprintf(digits, sizeof digits, "%.*e", precision, fabs(x));
    while (strtod(digits, NULL) != fabs(x) && ++precision < 17);
    int exponent = atoi(strchr(digits, 'e') + 1);
    if (exponent < -4 || exponent >= 16)
        snprintf(text, sizeof text, "%.*e", precision, x);
    else
        snprintf(text, sizeof text, "%.*f", precision - exponent > 1 ? precision - exponent : 1, x);
    mn_jinja_puts(b, text);
}

static void print_number(jinja_builder *b, const jinja_value *value, const char *infinity, const char *nan) {
    char text[32];
    if (value->kind == JINJA_INT) {
        snprintf(text, sizeof text, "%lld", (long long)value->integer);
        mn_jinja_puts(b, text);
    } else if (isfinite(value->real))
        print_float(b, value->real);
    else {
        if (value->real < 0) mn_jinja_puts(b, "-");
        mn_jinja_puts(b, isnan(value->real) ? nan : infinity);
    }
}

static const char *python_escape(char c) {
    switch (c) {
    case '\\': return "\\\\";
    case '\n': return "\\n";
    case '\r': return "\\r";
    case '\t': return "\\t";
    default: return NULL;
    }
}

/* repr() of a string: single quotes, unless only double ones save escapes. */
static void quote(jinja_builder *b, jinja_string s) {
    char mark = memchr(s.text, '\'', s.bytes) && !memchr(s.text, '"', s.bytes) ? '"' : '\'';
    mn_jinja_put_bytes(b, &mark, 1, false);
    for (size_t i = 0; i < s.bytes; i++) {
        char c = s.text[i], hex[8];
        bool marked = s.marks && s.marks[i];
        const char *escape = c == mark ? "\\'" : python_escape(c);
        if (!escape && ((unsigned char)c < 0x20 || c == 0x7f)) {
            snprintf(hex, sizeof hex, "\\x%02x", (unsigned char)c);
            escape = hex;
        }
        if (escape)
            mn_jinja_put_bytes(b, escape, strlen(escape), marked);
        else
            mn_jinja_put_bytes(b, &c, 1, marked);
    }
    mn_jinja_put_bytes(b, &mark, 1, false);
}

static bool print_quoted(jinja_builder *b, const jinja_value *value) {
    if (value->kind != JINJA_STRING_KIND) return mn_jinja_print(b, value);
    quote(b, value->string);
    return true;
}

static bool print_list(jinja_builder *b, const jinja_list *list) {
    mn_jinja_puts(b, "[");
    for (size_t i = 0; i < list->n; i++) {
        if (i) mn_jinja_puts(b, ", ");
        if (!print_quoted(b, &list->items[i])) return false;
    }
    mn_jinja_puts(b, "]");
    return true;
}

static bool print_dict(jinja_builder *b, const jinja_dict *dict) {
    mn_jinja_puts(b, "{");
    for (size_t i = 0; i < dict->n; i++) {
        if (i) mn_jinja_puts(b, ", ");
        if (!print_quoted(b, &dict->keys[i])) return false;
        mn_jinja_puts(b, ": ");
        if (!print_quoted(b, &dict->values[i])) return false;
    }
    mn_jinja_puts(b, "}");
    return true;
}

bool mn_jinja_print(jinja_builder *b, const jinja_value *value) {
    jinja_render *r = b->render;
    switch (value->kind) {
    case JINJA_UNDEFINED: break;
    case JINJA_NONE: mn_jinja_puts(b, "None"); break;
    case JINJA_BOOL: mn_jinja_puts(b, value->boolean ? "True" : "False"); break;
    case JINJA_INT:
    case JINJA_FLOAT: print_number(b, value, "inf", "nan"); break;
    case JINJA_STRING_KIND: mn_jinja_put(b, value->string); break;
    case JINJA_LIST:
    case JINJA_DICT: {
        if (!mn_jinja_enter(r)) return false;
        bool done = value->kind == JINJA_LIST ? print_list(b, value->list) : print_dict(b, value->dict);
        r->depth--;
        return done && r->status == MN_OK;
    }
    default: return mn_jinja_fail(r, MN_ERR_ARGUMENT, "a %s cannot be printed.", mn_jinja_kind_name(value));
    }
    return r->status == MN_OK;
}

bool mn_jinja_to_string(jinja_render *r, const jinja_value *value, jinja_string *out) {
    if (value->kind == JINJA_STRING_KIND) {
        *out = value->string;
        return true;
    }
    jinja_builder b = mn_jinja_build(r);
    return mn_jinja_print(&b, value) && mn_jinja_built(&b, out);
}

static const char *json_escape(char c) {
    switch (c) {
    case '"': return "\\\"";
    case '\b': return "\\b";
    case '\f': return "\\f";
    default: return python_escape(c);
    }
}

static void format_unicode_escape(uint32_t c, char out[16]) {
    if (c < 0x10000)
        snprintf(out, 16, "\\u%04x", (unsigned)c);
    else
        snprintf(out, 16, "\\u%04x\\u%04x", 0xd7c0 + (unsigned)(c >> 10), 0xdc00 + (unsigned)(c & 0x3ff));
}

static void put_json_string(jinja_builder *b, jinja_string s, const jinja_json_style *style) {
    mn_jinja_puts(b, "\"");
    for (size_t i = 0, n; i < s.bytes; i += n) {
        n = mn_jinja_char_bytes(s.text + i, s.bytes - i);
        uint32_t c = mn_jinja_code_point(s.text + i, n);
        char hex[16];
        const char *escape = json_escape(s.text[i]);
        if (!escape && (c < 0x20 || (style->ensure_ascii && c > 0x7e))) {
            format_unicode_escape(c, hex);
            escape = hex;
        }
        if (escape)
            mn_jinja_put_bytes(b, escape, strlen(escape), s.marks && s.marks[i]);
        else
            mn_jinja_put(b, mn_jinja_part(s, i, i + n));
    }
    mn_jinja_puts(b, "\"");
}

static void json_newline(jinja_builder *b, const jinja_json_style *style, int level) {
    if (style->indent < 0) return;
    mn_jinja_puts(b, "\n");
    for (int i = 0; i < style->indent * level; i++) mn_jinja_puts(b, " ");
}

static bool to_json(jinja_builder *b, const jinja_value *value, const jinja_json_style *style, int level);

static bool put_json_list(jinja_builder *b, const jinja_list *list, const jinja_json_style *style, int level) {
    mn_jinja_puts(b, "[");
    for (size_t i = 0; i < list->n; i++) {
        if (i) mn_jinja_put(b, style->item_separator);
        json_newline(b, style, level + 1);
        if (!to_json(b, &list->items[i], style, level + 1)) return false;
    }
    if (list->n) json_newline(b, style, level);
    mn_jinja_puts(b, "]");
    return true;
}

/* The order in which a dict's entries are written: by key where asked for, by insertion since schemas are short. */
static bool key_order(jinja_render *r, const jinja_dict *dict, bool sorted, size_t **out) {
    size_t *order = *out = mn_jinja_alloc(r, dict->n, sizeof *order);
    if (!order) return false;
    for (size_t i = 0; i < dict->n; i++) {
        size_t place = i;
        for (int sign = 0; sorted && place > 0; place--) {
            if (!mn_jinja_spend(r, 1)) return false;
            if (!mn_jinja_compare(r, &dict->keys[order[place - 1]], &dict->keys[i], &sign)) return false;
            if (sign <= 0) break;
            order[place] = order[place - 1];
        }
        order[place] = i;
    }
    return true;
}

static bool put_json_dict(jinja_builder *b, const jinja_dict *dict, const jinja_json_style *style, int level) {
    size_t *order;
    if (!key_order(b->render, dict, style->sort_keys, &order)) return false;
    mn_jinja_puts(b, "{");
    for (size_t i = 0; i < dict->n; i++) {
        const jinja_value *key = &dict->keys[order[i]];
        if (key->kind != JINJA_STRING_KIND)
            return mn_jinja_fail(b->render, MN_ERR_ARGUMENT, "tojson: a key is a %s, not a string.",
                                 mn_jinja_kind_name(key));
        if (i) mn_jinja_put(b, style->item_separator);
        json_newline(b, style, level + 1);
        put_json_string(b, key->string, style);
        mn_jinja_put(b, style->key_separator);
        if (!to_json(b, &dict->values[order[i]], style, level + 1)) return false;
    }
    if (dict->n) json_newline(b, style, level);
    mn_jinja_puts(b, "}");
    return true;
}

static bool to_json(jinja_builder *b, const jinja_value *value, const jinja_json_style *style, int level) {
    jinja_render *r = b->render;
    switch (value->kind) {
    case JINJA_NONE: mn_jinja_puts(b, "null"); break;
    case JINJA_BOOL: mn_jinja_puts(b, value->boolean ? "true" : "false"); break;
    case JINJA_INT:
    case JINJA_FLOAT: print_number(b, value, "Infinity", "NaN"); break;
    case JINJA_STRING_KIND: put_json_string(b, value->string, style); break;
    case JINJA_LIST:
    case JINJA_DICT: {
        if (!mn_jinja_enter(r)) return false;
        bool done = value->kind == JINJA_LIST ? put_json_list(b, value->list, style, level)
                                              : put_json_dict(b, value->dict, style, level);
        r->depth--;
        return done && r->status == MN_OK;
    }
    default: return mn_jinja_fail(r, MN_ERR_ARGUMENT, "tojson: JSON has no %s.", mn_jinja_kind_name(value));
    }
    return r->status == MN_OK;
}

bool mn_jinja_to_json(jinja_builder *b, const jinja_value *value, const jinja_json_style *style) {
    return to_json(b, value, style, 0);
}

static bool copy_marked(jinja_render *r, const char *text, size_t bytes, jinja_string *out) {
    jinja_builder b = mn_jinja_build(r);
    mn_jinja_put_bytes(&b, text, bytes, true);
    return mn_jinja_built(&b, out);
}

static bool from_json(jinja_render *r, json_t *json, jinja_value *out);

static bool from_json_array(jinja_render *r, json_t *json, jinja_value *out) {
    jinja_list *list;
    size_t n = json_array_size(json);
    if (!mn_jinja_new_list(r, n, &list)) return false;
    for (; list->n < n; list->n++)
        if (!from_json(r, json_array_get(json, list->n), &list->items[list->n])) return false;
    *out = mn_jinja_list(list);
    return true;
}

static bool from_json_object(jinja_render *r, json_t *json, jinja_value *out) {
    *out = (jinja_value){.kind = JINJA_DICT};
    if (!mn_jinja_new_dict(r, &out->dict)) return false;
    for (void *at = json_object_iter(json); at; at = json_object_iter_next(json, at)) {
        const char *key = json_object_iter_key(at);
        jinja_string name;
        jinja_value value;
        if (!copy_marked(r, key, strlen(key), &name) || !from_json(r, json_object_iter_value(at), &value) ||
            !mn_jinja_dict_set(r, out->dict, mn_jinja_text(name), value))
            return false;
    }
    return true;
}

static bool from_json(jinja_render *r, json_t *json, jinja_value *out) {
    switch (json_typeof(json)) {
    case JSON_NULL: *out = (jinja_value){.kind = JINJA_NONE}; return true;
    case JSON_TRUE: *out = mn_jinja_bool(true); return true;
    case JSON_FALSE: *out = mn_jinja_bool(false); return true;
    case JSON_INTEGER: *out = mn_jinja_int(json_integer_value(json)); return true;
    case JSON_REAL: *out = mn_jinja_float(json_real_value(json)); return true;
    case JSON_STRING:
        *out = (jinja_value){.kind = JINJA_STRING_KIND};
        return copy_marked(r, json_string_value(json), json_string_length(json), &out->string);
    default: break;
    }
    if (!mn_jinja_enter(r)) return false;
    bool done = json_is_array(json) ? from_json_array(r, json, out) : from_json_object(r, json, out);
    r->depth--;
    return done;
}

bool mn_jinja_from_json(jinja_render *r, const char *text, const char *what, jinja_value *out) {
    json_error_t error;
    json_t *json = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (!json)
        return mn_jinja_fail(r, MN_ERR_ARGUMENT, "the %s are not JSON: %s (line %d).", what, error.text, error.line);
    bool done = from_json(r, json, out);
    json_decref(json);
    return done;
}
