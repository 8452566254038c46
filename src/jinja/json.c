#include "jinja/json.h"

#include "jinja/builtins.h"
#include "jinja/format.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *json_escape(char c) {
    switch (c) {
    case '"': return "\\\"";
    case '\b': return "\\b";
    case '\f': return "\\f";
    case '\\': return "\\\\";
    case '\n': return "\\n";
    case '\r': return "\\r";
    case '\t': return "\\t";
    default: return NULL;
    }
}

static void format_unicode_escape(uint32_t c, char out[16]) {
    if (c < 0x10000)
        snprintf(out, 16, "\\u%04x", (unsigned)c);
    else
        snprintf(out, 16, "\\u%04x\\u%04x", 0xd7c0 + (unsigned)(c >> 10), 0xdc00 + (unsigned)(c & 0x3ff));
}

static void put_string(jinja_builder *b, jinja_string s, const jinja_json_style *style) {
    mn_jinja_puts(b, "\"");
    size_t at = 0;
    for (jinja_char c; mn_jinja_next_char(s, &at, &c);) {
        char hex[16];
        const char *escape = json_escape(s.text[c.begin]);
        bool is_char = c.c <= 0x10ffff;
        if (!escape && is_char && (c.c < 0x20 || (style->ensure_ascii && c.c > 0x7e))) {
            format_unicode_escape(c.c, hex);
            escape = hex;
        }
        if (escape)
            mn_jinja_put_bytes(b, escape, strlen(escape), mn_jinja_marked_at(s, c.begin));
        else
            mn_jinja_put(b, mn_jinja_part(s, c.begin, at));
    }
    mn_jinja_puts(b, "\"");
}

static void put_number(jinja_builder *b, const jinja_value *value) {
    char text[JINJA_REAL_BYTES];
    if (value->kind == JINJA_INT)
        snprintf(text, sizeof text, "%lld", (long long)value->integer);
    else if (isfinite(value->real))
        mn_jinja_real_text(value->real, text);
    else
        strcpy(text, isnan(value->real) ? "NaN" : value->real < 0 ? "-Infinity" : "Infinity");
    mn_jinja_puts(b, text);
}

static void put_newline(jinja_builder *b, const jinja_json_style *style, int level) {
    if (!style->is_broken) return;
    mn_jinja_puts(b, "\n");
    for (int i = 0; i < level; i++) mn_jinja_put(b, style->indent);
}

static bool to_json(jinja_builder *b, const jinja_value *value, const jinja_json_style *style, int level);

static bool put_list(jinja_builder *b, const jinja_list *list, const jinja_json_style *style, int level) {
    mn_jinja_puts(b, "[");
    for (size_t i = 0; i < list->n; i++) {
        if (i) mn_jinja_put(b, style->item_separator);
        put_newline(b, style, level + 1);
        if (!to_json(b, &list->items[i], style, level + 1)) return false;
    }
    if (list->n) put_newline(b, style, level);
    mn_jinja_puts(b, "]");
    return true;
}

/* The dict itself, or a copy in the order of its keys. */
static bool in_order(jinja_render *r, const jinja_dict *dict, bool sorted, jinja_dict *out) {
    *out = *dict;
    if (!sorted || dict->n < 2) return true;
    out->keys = mn_jinja_alloc(r, dict->n, sizeof *out->keys);
    out->values = mn_jinja_alloc(r, dict->n, sizeof *out->values);
    if (!out->keys || !out->values) return false;
    memcpy(out->keys, dict->keys, dict->n * sizeof *out->keys);
    memcpy(out->values, dict->values, dict->n * sizeof *out->values);
    return mn_jinja_sort(r, out->values, out->keys, dict->n, false);
}

/* Keys that are no strings are written as strings: "1", "1.5", "true", "null". */
static bool put_key(jinja_builder *b, const jinja_value *key, const jinja_json_style *style) {
    switch (key->kind) {
    case JINJA_STRING_KIND: put_string(b, key->string, style); return true;
    case JINJA_NONE:
    case JINJA_BOOL:
    case JINJA_INT:
    case JINJA_FLOAT:
        mn_jinja_puts(b, "\"");
        if (!to_json(b, key, style, 0)) return false;
        mn_jinja_puts(b, "\"");
        return true;
    default: return mn_jinja_fail(b->render, MN_ERR_ARGUMENT, "tojson: a %s cannot be a key.", mn_jinja_kind_name(key));
    }
}

static bool put_dict(jinja_builder *b, const jinja_dict *unordered, const jinja_json_style *style, int level) {
    jinja_dict dict;
    if (!in_order(b->render, unordered, style->sort_keys, &dict)) return false;
    mn_jinja_puts(b, "{");
    for (size_t i = 0; i < dict.n; i++) {
        if (i) mn_jinja_put(b, style->item_separator);
        put_newline(b, style, level + 1);
        if (!put_key(b, &dict.keys[i], style)) return false;
        mn_jinja_put(b, style->key_separator);
        if (!to_json(b, &dict.values[i], style, level + 1)) return false;
    }
    if (dict.n) put_newline(b, style, level);
    mn_jinja_puts(b, "}");
    return true;
}

static bool to_json(jinja_builder *b, const jinja_value *value, const jinja_json_style *style, int level) {
    jinja_render *r = b->render;
    switch (value->kind) {
    case JINJA_NONE: mn_jinja_puts(b, "null"); break;
    case JINJA_BOOL: mn_jinja_puts(b, value->boolean ? "true" : "false"); break;
    case JINJA_INT:
    case JINJA_FLOAT: put_number(b, value); break;
    case JINJA_STRING_KIND: put_string(b, value->string, style); break;
    case JINJA_LIST:
    case JINJA_DICT: {
        if (!mn_jinja_enter(r)) return false;
        bool done =
            value->kind == JINJA_LIST ? put_list(b, value->list, style, level) : put_dict(b, value->dict, style, level);
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
