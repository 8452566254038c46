#include "jinja/interpolate.h"

#include "base/checked.h"
#include "jinja/builtins.h"
#include "jinja/format.h"
#include "jinja/format_spec.h"
#include "jinja/strings.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

/* ---- "%" ---- */

typedef struct percent {
    jinja_render *render;
    jinja_builder out;
    jinja_string format;
    size_t at;                /* in format */
    const jinja_value *given; /* what stands behind "%" */
    size_t n_used;            /* of its items, or of itself */
} percent;

static char peek(const percent *p) { return p->at < p->format.bytes ? p->format.text[p->at] : 0; }

static bool is_tuple(const jinja_value *v) { return v->kind == JINJA_LIST && mn_jinja_is_tuple(v->list); }

/* Of what may have names Python does not ask that any is used. */
static bool may_be_unused(const jinja_value *v) {
    return v->kind == JINJA_DICT || v->kind == JINJA_LIST || v->kind == JINJA_UNDEFINED;
}

static bool next_value(percent *p, jinja_value *out) {
    const jinja_value *v = p->given;
    bool tuple = is_tuple(v);
    if (p->n_used >= (tuple ? v->list->n : 1))
        return mn_jinja_fail(p->render, MN_ERR_ARGUMENT, "\"%%\": there are fewer values than places for them.");
    *out = tuple ? v->list->items[p->n_used] : *v;
    p->n_used++;
    return true;
}

/* "(name)" behind the "%". */
static bool named_value(percent *p, jinja_value *out) {
    size_t close = mn_jinja_find(p->format, JINJA_STRING(")"), p->at);
    if (close == SIZE_MAX || p->given->kind != JINJA_DICT)
        return mn_jinja_fail(p->render, MN_ERR_ARGUMENT, "\"%%(\" needs a name, \")\" and a dict.");
    const jinja_string name = mn_jinja_part(p->format, p->at + 1, close);
    const jinja_value *found = mn_jinja_dict_get(p->given->dict, name);
    if (!found)
        return mn_jinja_fail(p->render, MN_ERR_ARGUMENT, "\"%%\": the dict has no \"%.*s\".",
                             (int)MN_MIN(name.bytes, (size_t)64), name.text);
    p->at = close + 1;
    *out = *found;
    return true;
}

/* A number, or "*" for the next value. */
static bool take_size(percent *p, int64_t *out) {
    enum { MAX_SIZE = 1 << 20 };
    jinja_value value;
    if (peek(p) == '*') {
        p->at++;
        if (!next_value(p, &value) || !mn_jinja_need_integer(p->render, "\"%*\"", &value, out)) return false;
    } else
        for (; isdigit((unsigned char)peek(p)) && *out <= MAX_SIZE; p->at++)
            *out = MN_MAX(*out, 0) * 10 + (peek(p) - '0');
    if (*out <= MAX_SIZE && *out >= -MAX_SIZE) return true;
    return mn_jinja_fail(p->render, MN_ERR_LIMIT, "\"%%\": the width %lld is beyond %d.", (long long)*out, MAX_SIZE);
}

static bool take_spec(percent *p, jinja_format_spec *spec) {
    bool left = false;
    *spec = mn_jinja_default_spec();
    for (;; p->at++) {
        char c = peek(p);
        if (c == '-')
            left = true;
        else if (c == '+' || (c == ' ' && spec->sign != '+'))
            spec->sign = c;
        else if (c == '0')
            spec->zero = true;
        else if (c == '#')
            spec->alternate = true;
        else if (c != ' ')
            break;
    }
    if (!take_size(p, &spec->width)) return false;
    if (spec->width < 0) left = true, spec->width = -spec->width;
    if (peek(p) == '.') {
        p->at++;
        spec->precision = 0;
        if (!take_size(p, &spec->precision)) return false;
    }
    while (peek(p) && strchr("hlL", peek(p))) p->at++;
    spec->align = left ? '<' : '>';
    return true;
}

/* What the conversions of text make of a value: str(), repr(), or repr() in ASCII. */
static bool put_as_text(percent *p, char conversion, const jinja_value *value, const jinja_format_spec *spec) {
    jinja_builder b = mn_jinja_build(p->render);
    jinja_string text;
    bool done = conversion == 's' ? mn_jinja_print(&b, value) : mn_jinja_print_quoted(&b, value, conversion == 'a');
    return done && mn_jinja_built(&b, &text) && mn_jinja_put_padded(&p->out, text, spec);
}

static bool put_as_character(percent *p, const jinja_value *value, jinja_format_spec *spec) {
    int64_t code;
    spec->type = 'c';
    spec->precision = -1;
    if (value->kind == JINJA_STRING_KIND && mn_jinja_n_chars(value->string) == 1)
        return mn_jinja_put_padded(&p->out, value->string, spec);
    if (mn_jinja_integer(value, &code)) return mn_jinja_put_integer(&p->out, code, spec);
    return mn_jinja_fail(p->render, MN_ERR_ARGUMENT, "\"%%c\" needs a character, not a %s.", mn_jinja_kind_name(value));
}

static bool put_as_number(percent *p, char conversion, const jinja_value *value, jinja_format_spec *spec) {
    bool whole = strchr("diuoxX", conversion), zero = spec->zero && spec->align == '>';
    int64_t integer;
    double real;
    if (zero) spec->align = '=', spec->fill = JINJA_STRING("0");
    spec->type = conversion == 'i' || conversion == 'u' ? 'd' : conversion;
    if (!mn_jinja_number(value, &real) || (whole && !mn_jinja_integer(value, &integer) && !strchr("diu", conversion)))
        return mn_jinja_fail(p->render, MN_ERR_ARGUMENT, "\"%%%c\" needs a number, not a %s.", conversion,
                             mn_jinja_kind_name(value));
    if (!whole) return mn_jinja_put_real(&p->out, real, spec);
    if (!mn_jinja_integer(value, &integer)) {
        if (!(fabs(real) < 0x1p63)) return mn_jinja_fail(p->render, MN_ERR_LIMIT, "%g is no whole number.", real);
        integer = (int64_t)real;
    }
    spec->precision = -1;
    return mn_jinja_put_integer(&p->out, integer, spec);
}

/* "%" has been passed. */
static bool convert(percent *p) {
    jinja_value value = mn_jinja_undefined(NULL);
    jinja_format_spec spec;
    bool named = peek(p) == '(';
    if (named && !named_value(p, &value)) return false;
    if (!take_spec(p, &spec)) return false;
    char conversion = peek(p);
    p->at++;
    if (conversion == '%') {
        mn_jinja_puts(&p->out, "%");
        return true;
    }
    if (!conversion || !strchr("diuoxXeEfFgGcrsa", conversion))
        return mn_jinja_fail(p->render, MN_ERR_ARGUMENT, "\"%%\": there is no conversion '%c'.",
                             isprint((unsigned char)conversion) ? conversion : '?');
    if (!named && !next_value(p, &value)) return false;
    if (strchr("rsa", conversion)) return put_as_text(p, conversion, &value, &spec);
    if (conversion == 'c') return put_as_character(p, &value, &spec);
    return put_as_number(p, conversion, &value, &spec);
}

bool mn_jinja_percent(jinja_render *r, jinja_string format, const jinja_value *values, jinja_string *out) {
    percent p = {.render = r, .out = mn_jinja_build(r), .format = format, .given = values};
    for (size_t found; p.at < format.bytes;) {
        found = mn_jinja_find(format, JINJA_STRING("%"), p.at);
        mn_jinja_put(&p.out, mn_jinja_part(format, p.at, MN_MIN(found, format.bytes)));
        if (found == SIZE_MAX) break;
        p.at = found + 1;
        if (!mn_jinja_spend(r, 1) || !convert(&p)) return false;
    }
    bool unused = is_tuple(values) ? p.n_used < values->list->n : p.n_used == 0 && !may_be_unused(values);
    if (unused) return mn_jinja_fail(r, MN_ERR_ARGUMENT, "\"%%\": there are more values than places for them.");
    return mn_jinja_built(&p.out, out);
}

/* ---- "{}" ---- */

typedef struct braces {
    jinja_render *render;
    const jinja_list *by_place;
    const jinja_dict *by_name;
    int64_t next; /* of the unnumbered places */
    int depth;
} braces;

static bool substitute(braces *f, jinja_string format, jinja_string *out);

static bool is_number(jinja_string s) {
    for (size_t i = 0; i < s.bytes; i++)
        if (!isdigit((unsigned char)s.text[i])) return false;
    return s.bytes > 0 && s.bytes < 10;
}

static int64_t to_number(jinja_string s) {
    int64_t n = 0;
    for (size_t i = 0; i < s.bytes; i++) n = n * 10 + (s.text[i] - '0');
    return n;
}

/* The argument that a field begins with: nothing, a number or a name. */
static bool find_argument(braces *f, jinja_string name, jinja_value *out) {
    if (name.bytes == 0 || is_number(name)) {
        int64_t at = name.bytes ? to_number(name) : f->next++;
        if (at >= (int64_t)f->by_place->n)
            return mn_jinja_fail(f->render, MN_ERR_ARGUMENT, "format: there is no argument number %lld.",
                                 (long long)at + 1);
        *out = f->by_place->items[at];
        return true;
    }
    const jinja_value *found = mn_jinja_dict_get(f->by_name, name);
    if (!found)
        return mn_jinja_fail(f->render, MN_ERR_ARGUMENT, "format: there is no argument \"%.*s\".",
                             (int)MN_MIN(name.bytes, (size_t)64), name.text);
    *out = *found;
    return true;
}

/* ARGUMENT, then any number of .NAME and [KEY]. */
static bool find_field(braces *f, jinja_string field, jinja_value *out) {
    size_t at = 0;
    while (at < field.bytes && field.text[at] != '.' && field.text[at] != '[') at++;
    if (!find_argument(f, mn_jinja_part(field, 0, at), out)) return false;
    while (at < field.bytes) {
        jinja_value object = *out;
        size_t begin = at + 1;
        if (field.text[at] == '.') {
            for (at = begin; at < field.bytes && field.text[at] != '.' && field.text[at] != '[';) at++;
            if (!mn_jinja_attribute(f->render, &object, mn_jinja_part(field, begin, at), out)) return false;
            continue;
        }
        size_t close = mn_jinja_find(field, JINJA_STRING("]"), begin);
        if (field.text[at] != '[' || close == SIZE_MAX)
            return mn_jinja_fail(f->render, MN_ERR_ARGUMENT, "format: \"]\" is missing.");
        jinja_string name = mn_jinja_part(field, begin, close);
        jinja_value key = is_number(name) ? mn_jinja_int(to_number(name)) : mn_jinja_text(name);
        if (!mn_jinja_subscript(f->render, &object, &key, out)) return false;
        at = close + 1;
    }
    return true;
}

/* What stands between braces: FIELD!CONVERSION:SPECIFICATION. */
static bool put_field(braces *f, jinja_string inside, jinja_builder *out) {
    size_t end = 0;
    for (int brackets = 0; end < inside.bytes; end++) {
        char c = inside.text[end];
        brackets += (c == '[') - (c == ']');
        if (brackets <= 0 && (c == '!' || c == ':')) break;
    }
    char conversion = 0;
    jinja_value value;
    jinja_string spec = {0};
    if (!find_field(f, mn_jinja_part(inside, 0, end), &value)) return false;
    if (end < inside.bytes && inside.text[end] == '!') {
        if (end + 1 < inside.bytes) conversion = inside.text[end + 1];
        end += 2;
        bool ends = end == inside.bytes || (end < inside.bytes && inside.text[end] == ':');
        if (!conversion || !strchr("rsa", conversion) || !ends)
            return mn_jinja_fail(f->render, MN_ERR_ARGUMENT, "format: the conversion behind \"!\" is none of r, s, a.");
    }
    if (end < inside.bytes && !substitute(f, mn_jinja_part(inside, end + 1, inside.bytes), &spec)) return false;
    if (conversion) {
        jinja_builder b = mn_jinja_build(f->render);
        bool done =
            conversion == 's' ? mn_jinja_print(&b, &value) : mn_jinja_print_quoted(&b, &value, conversion == 'a');
        value = mn_jinja_text((jinja_string){0});
        if (!done || !mn_jinja_built(&b, &value.string)) return false;
    }
    return mn_jinja_put_formatted(out, &value, spec);
}

/* The "}" that closes the "{" before at; SIZE_MAX when there is none. */
static size_t find_close(jinja_string s, size_t at) {
    for (int depth = 0; at < s.bytes; at++) {
        if (s.text[at] == '{') depth++;
        if (s.text[at] == '}' && depth-- == 0) return at;
    }
    return SIZE_MAX;
}

static bool substitute(braces *f, jinja_string s, jinja_string *out) {
    jinja_builder b = mn_jinja_build(f->render);
    if (f->depth == 2) return mn_jinja_fail(f->render, MN_ERR_ARGUMENT, "format: braces are nested too deep.");
    f->depth++;
    for (size_t at = 0, begin; at < s.bytes;) {
        for (begin = at; at < s.bytes && s.text[at] != '{' && s.text[at] != '}';) at++;
        mn_jinja_put(&b, mn_jinja_part(s, begin, at));
        if (at == s.bytes) break;
        if (at + 1 < s.bytes && s.text[at + 1] == s.text[at]) {
            mn_jinja_put(&b, mn_jinja_part(s, at, at + 1));
            at += 2;
            continue;
        }
        size_t close = s.text[at] == '{' ? find_close(s, at + 1) : SIZE_MAX;
        if (close == SIZE_MAX) return mn_jinja_fail(f->render, MN_ERR_ARGUMENT, "format: a single brace.");
        if (!mn_jinja_spend(f->render, 1 + (close - at) / 16)) return false;
        if (!put_field(f, mn_jinja_part(s, at + 1, close), &b)) return false;
        at = close + 1;
    }
    f->depth--;
    return mn_jinja_built(&b, out);
}

bool mn_jinja_braces(jinja_render *r, jinja_string format, const jinja_list *by_place, const jinja_dict *by_name,
                     jinja_string *out) {
    braces f = {.render = r, .by_place = by_place, .by_name = by_name};
    return substitute(&f, format, out);
}
