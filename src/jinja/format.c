#include "jinja/format.h"

#include "jinja/ast.h"
#include "jinja/eval.h"
#include "jinja/unicode.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void mn_jinja_real_text(double x, char *out) {
    char digits[40];
    int precision = 0;
    if (!isfinite(x)) {
        strcpy(out, isnan(x) ? "nan" : x < 0 ? "-inf" : "inf");
        return;
    }
    do snprintf(digits, sizeof digits, "%.*e", precision, fabs(x));
    while (strtod(digits, NULL) != fabs(x) && ++precision < 17);
    int exponent = atoi(strchr(digits, 'e') + 1);
    if (exponent < -4 || exponent >= 16)
        snprintf(out, JINJA_REAL_BYTES, "%.*e", precision, x);
    else
        snprintf(out, JINJA_REAL_BYTES, "%.*f", precision - exponent > 1 ? precision - exponent : 1, x);
}

static bool print_number(jinja_builder *b, const jinja_value *value) {
    char text[JINJA_REAL_BYTES];
    if (value->kind == JINJA_INT)
        snprintf(text, sizeof text, "%lld", (long long)value->integer);
    else
        mn_jinja_real_text(value->real, text);
    mn_jinja_puts(b, text);
    return true;
}

/* How repr() spells a character that does not stand for itself; false when it does. */
static bool escape(uint32_t c, char quote, bool ascii, char out[16]) {
    static const char *const named[] = {['\t'] = "\\t", ['\n'] = "\\n", ['\r'] = "\\r"};
    if (c == (uint32_t)quote || c == '\\')
        snprintf(out, 16, "\\%c", (int)c);
    else if (c <= '\r' && named[c])
        strcpy(out, named[c]);
    else if (c > 0x10ffff || (mn_jinja_is_printable(c) && (c < 0x7f || !ascii)))
        return false;
    else if (c < 0x100)
        snprintf(out, 16, "\\x%02x", (unsigned)c);
    else
        snprintf(out, 16, c < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)c);
    return true;
}

/* repr() of a string: single quotes, unless only double ones save escapes. */
static void quote(jinja_builder *b, jinja_string s, bool ascii) {
    char mark = memchr(s.text, '\'', s.bytes) && !memchr(s.text, '"', s.bytes) ? '"' : '\'', escaped[16];
    mn_jinja_put_bytes(b, &mark, 1, false);
    size_t at = 0;
    for (jinja_char c; mn_jinja_next_char(s, &at, &c);) {
        if (escape(c.c, mark, ascii, escaped))
            mn_jinja_put_bytes(b, escaped, strlen(escaped), mn_jinja_marked_at(s, c.begin));
        else
            mn_jinja_put(b, mn_jinja_part(s, c.begin, at));
    }
    mn_jinja_put_bytes(b, &mark, 1, false);
}

static bool print(jinja_builder *b, const jinja_value *value, bool quoted, bool ascii);

static bool print_items(jinja_builder *b, const jinja_list *list, bool ascii) {
    for (size_t i = 0; i < list->n; i++) {
        if (i) mn_jinja_puts(b, ", ");
        if (!print(b, &list->items[i], true, ascii)) return false;
    }
    return true;
}

static bool print_list(jinja_builder *b, const jinja_list *list, bool ascii) {
    static const char *const opens[] = {"[", "(", "(", "dict_keys([", "dict_values([", "dict_items([", "["},
                             *const closes[] = {"]", ")", ")", "])", "])", "])", "]"};
    mn_jinja_puts(b, opens[list->shape]);
    if (!print_items(b, list, ascii)) return false;
    if (list->n == 1 && mn_jinja_is_tuple(list)) mn_jinja_puts(b, ",");
    mn_jinja_puts(b, closes[list->shape]);
    return true;
}

static bool print_dict(jinja_builder *b, const jinja_dict *dict, bool ascii) {
    mn_jinja_puts(b, "{");
    for (size_t i = 0; i < dict->n; i++) {
        if (i) mn_jinja_puts(b, ", ");
        if (!print(b, &dict->keys[i], true, ascii)) return false;
        mn_jinja_puts(b, ": ");
        if (!print(b, &dict->values[i], true, ascii)) return false;
    }
    mn_jinja_puts(b, "}");
    return true;
}

static bool print_nested(jinja_builder *b, const jinja_value *value, bool ascii) {
    if (!mn_jinja_enter(b->render)) return false;
    bool is_namespace = value->kind == JINJA_NAMESPACE, done;
    if (is_namespace) mn_jinja_puts(b, "<Namespace ");
    done = value->kind == JINJA_LIST ? print_list(b, value->list, ascii) : print_dict(b, value->dict, ascii);
    if (is_namespace) mn_jinja_puts(b, ">");
    b->render->depth--;
    return done;
}

static bool print_object(jinja_builder *b, const jinja_value *value) {
    char text[96];
    if (value->kind == JINJA_MACRO)
        snprintf(text, sizeof text, "<Macro '%.64s'>", value->macro.node->macro.name);
    else if (value->kind == JINJA_LOOP)
        snprintf(text, sizeof text, "<LoopContext %zu/%zu>", value->loop->index + 1, value->loop->items->n);
    else
        return mn_jinja_fail(b->render, MN_ERR_ARGUMENT, "a %s cannot be printed.", mn_jinja_kind_name(value));
    mn_jinja_puts(b, text);
    return true;
}

/* str(value), or repr(value), which puts strings in quotes. */
static bool print(jinja_builder *b, const jinja_value *value, bool quoted, bool ascii) {
    bool done = true;
    switch (value->kind) {
    case JINJA_UNDEFINED:
        if (quoted) mn_jinja_puts(b, "Undefined");
        break;
    case JINJA_NONE: mn_jinja_puts(b, "None"); break;
    case JINJA_BOOL: mn_jinja_puts(b, value->boolean ? "True" : "False"); break;
    case JINJA_INT:
    case JINJA_FLOAT: done = print_number(b, value); break;
    case JINJA_STRING_KIND:
        if (quoted)
            quote(b, value->string, ascii);
        else
            mn_jinja_put(b, value->string);
        break;
    case JINJA_LIST:
    case JINJA_DICT:
    case JINJA_NAMESPACE: done = print_nested(b, value, ascii); break;
    default: done = print_object(b, value);
    }
    return done && b->render->status == MN_OK;
}

bool mn_jinja_print(jinja_builder *b, const jinja_value *value) { return print(b, value, false, false); }

bool mn_jinja_print_quoted(jinja_builder *b, const jinja_value *value, bool ascii) {
    return print(b, value, true, ascii);
}

bool mn_jinja_to_string(jinja_render *r, const jinja_value *value, jinja_string *out) {
    if (value->kind == JINJA_STRING_KIND) {
        *out = value->string;
        return true;
    }
    jinja_builder b = mn_jinja_build(r);
    return mn_jinja_print(&b, value) && mn_jinja_built(&b, out);
}
