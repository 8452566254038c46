#include "jinja/format_spec.h"

#include "base/checked.h"
#include "jinja/format.h"
#include "jinja/strings.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_PRECISION = 400, MAX_WIDTH = 1 << 20, NUMBER_BYTES = 1024 };

jinja_format_spec mn_jinja_default_spec(void) {
    return (jinja_format_spec){.fill = JINJA_STRING(" "), .sign = '-', .precision = -1};
}

static char peek(jinja_string s, size_t at) { return at < s.bytes ? s.text[at] : 0; }

/* The character at *at if it is one of the set, which passes it; else 0. */
static char take(jinja_string s, size_t *at, const char *set) {
    char c = peek(s, *at);
    if (!c || !strchr(set, c)) return 0;
    ++*at;
    return c;
}

static bool take_number(jinja_render *r, jinja_string s, size_t *at, int64_t max, int64_t *out) {
    for (; isdigit((unsigned char)peek(s, *at)); ++*at) {
        *out = MN_MAX(*out, 0) * 10 + (peek(s, *at) - '0');
        if (*out > max)
            return mn_jinja_fail(r, MN_ERR_LIMIT, "format: the number %lld is beyond %lld.", (long long)*out,
                                 (long long)max);
    }
    return true;
}

static void take_align(jinja_string s, size_t *at, jinja_format_spec *out) {
    size_t first = s.bytes ? mn_jinja_char_bytes(s.text, s.bytes) : 0;
    bool has_fill = first && peek(s, first) && strchr("<>^=", peek(s, first));
    if (has_fill) *at = first;
    out->align = take(s, at, "<>^=");
    out->fill = has_fill ? mn_jinja_part(s, 0, first) : (jinja_string){0};
}

bool mn_jinja_parse_spec(jinja_render *r, jinja_string s, jinja_format_spec *out) {
    size_t at = 0;
    *out = mn_jinja_default_spec();
    take_align(s, &at, out);
    char sign = take(s, &at, "+- ");
    if (sign) out->sign = sign;
    out->alternate = take(s, &at, "#");
    out->zero = take(s, &at, "0");
    if (!take_number(r, s, &at, MAX_WIDTH, &out->width)) return false;
    out->grouping = take(s, &at, ",_");
    if (take(s, &at, ".")) {
        if (!isdigit((unsigned char)peek(s, at)))
            return mn_jinja_fail(r, MN_ERR_ARGUMENT, "format: a precision is missing.");
        if (!take_number(r, s, &at, MAX_WIDTH, &out->precision)) return false;
    }
    out->type = take(s, &at, "bcdeEfFgGnosxX%");
    if (out->zero && !out->align) out->align = '=';
    if (!out->fill.bytes) out->fill = out->zero ? JINJA_STRING("0") : JINJA_STRING(" ");
    if (at == s.bytes) return true;
    return mn_jinja_fail(r, MN_ERR_ARGUMENT, "format: \"%.*s\" is no specification.", (int)MN_MIN(s.bytes, (size_t)64),
                         s.text);
}

/* Appends prefix (sign, 0x) and body, with fill up to the width where the alignment wants it. */
static bool lay_out(jinja_builder *b, jinja_string prefix, jinja_string body, char align,
                    const jinja_format_spec *spec) {
    int64_t used = (int64_t)(mn_jinja_n_chars(prefix) + mn_jinja_n_chars(body));
    int64_t n = spec->width > used ? spec->width - used : 0, left = align == '^' ? n / 2 : align == '<' ? 0 : n;
    jinja_string padded;
    if (align == '=') mn_jinja_put(b, prefix);
    if (!mn_jinja_pad(b->render, (jinja_string){0}, spec->fill, left, 0, &padded)) return false;
    mn_jinja_put(b, padded);
    if (align != '=') mn_jinja_put(b, prefix);
    mn_jinja_put(b, body);
    if (!mn_jinja_pad(b->render, (jinja_string){0}, spec->fill, n - left, 0, &padded)) return false;
    mn_jinja_put(b, padded);
    return b->render->status == MN_OK;
}

/* Puts a separator between the digits of the whole part, every `every` digits. */
static void group(char *text, size_t size, char separator, int every) {
    char grouped[NUMBER_BYTES];
    size_t whole = strspn(text, "0123456789abcdefABCDEF"), n = 0, bytes = strlen(text);
    if (bytes + whole >= MN_MIN(size, sizeof grouped)) return;
    for (size_t i = 0; i < whole; i++) {
        if (i && (whole - i) % (size_t)every == 0) grouped[n++] = separator;
        grouped[n++] = text[i];
    }
    memcpy(grouped + n, text + whole, bytes - whole + 1);
    memcpy(text, grouped, n + bytes - whole + 1);
}

static bool put_number(jinja_builder *b, bool negative, const char *base, char *digits, int group_every,
                       const jinja_format_spec *spec) {
    char prefix[8];
    if (spec->grouping) group(digits, NUMBER_BYTES, spec->grouping, group_every);
    const char *sign = negative ? "-" : spec->sign == '+' ? "+" : spec->sign == ' ' ? " " : "";
    snprintf(prefix, sizeof prefix, "%s%s", sign, base);
    return lay_out(b, mn_jinja_borrow(prefix), mn_jinja_borrow(digits), spec->align ? spec->align : '>', spec);
}

static void binary_digits(uint64_t x, char *out) {
    int n = x ? 64 - __builtin_clzll(x) : 1;
    for (int i = 0; i < n; i++) out[i] = (char)('0' + (x >> (n - 1 - i) & 1));
    out[n] = 0;
}

bool mn_jinja_put_integer(jinja_builder *b, int64_t value, const jinja_format_spec *spec) {
    char digits[NUMBER_BYTES];
    uint64_t size = value < 0 ? -(uint64_t)value : (uint64_t)value;
    const char *base = "";
    switch (spec->type) {
    case 'b': binary_digits(size, digits), base = "0b"; break;
    case 'o': snprintf(digits, sizeof digits, "%llo", (unsigned long long)size), base = "0o"; break;
    case 'x': snprintf(digits, sizeof digits, "%llx", (unsigned long long)size), base = "0x"; break;
    case 'X': snprintf(digits, sizeof digits, "%llX", (unsigned long long)size), base = "0X"; break;
    case 0:
    case 'd':
    case 'n': snprintf(digits, sizeof digits, "%llu", (unsigned long long)size); break;
    case 'c': {
        jinja_builder character = mn_jinja_build(b->render);
        jinja_string s;
        if (value < 0 || value > 0x10ffff)
            return mn_jinja_fail(b->render, MN_ERR_ARGUMENT, "%lld is no character.", (long long)value);
        mn_jinja_put_char(&character, (uint32_t)value, false);
        return mn_jinja_built(&character, &s) &&
               lay_out(b, (jinja_string){0}, s, spec->align ? spec->align : '<', spec);
    }
    default: return mn_jinja_put_real(b, (double)value, spec);
    }
    return put_number(b, value < 0, spec->alternate ? base : "", digits, *base ? 4 : 3, spec);
}

/* Digits of |x| as the type has them; without a type as str() has them, or with a precision as "g" and at least one
 * digit behind the point. */
static void real_digits(double x, const jinja_format_spec *spec, char *out) {
    int precision = spec->precision < 0 ? 6 : (int)MN_MIN(spec->precision, MAX_PRECISION);
    char type = spec->type == 'n' ? 'g' : spec->type, format[16];
    if (!type && spec->precision < 0) {
        mn_jinja_real_text(x, out);
        return;
    }
    bool percent = type == '%';
    snprintf(format, sizeof format, "%%%s.*%c", spec->alternate ? "#" : "", percent ? 'f' : type ? type : 'g');
    if (!type && precision == 0) precision = 1;
    int n = snprintf(out, NUMBER_BYTES - 4, format, precision, percent ? x * 100 : x);
    if (percent && n > 0) strcat(out, "%");
    bool whole = strspn(out, "0123456789") == strlen(out);
    if (!type && whole) strcat(out, ".0");
}

bool mn_jinja_put_real(jinja_builder *b, double value, const jinja_format_spec *spec) {
    char digits[NUMBER_BYTES];
    bool negative = signbit(value) && !isnan(value), upper = spec->type && strchr("EFG", spec->type);
    if (spec->type && !strchr("eEfFgGn%", spec->type))
        return mn_jinja_fail(b->render, MN_ERR_ARGUMENT, "format: the type '%c' is not for numbers with a fraction.",
                             spec->type);
    if (isfinite(value))
        real_digits(fabs(value), spec, digits);
    else
        strcpy(digits, isnan(value) ? upper ? "NAN" : "nan" : upper ? "INF" : "inf");
    return put_number(b, negative, "", digits, 3, spec);
}

bool mn_jinja_put_padded(jinja_builder *b, jinja_string value, const jinja_format_spec *spec) {
    if (spec->precision >= 0) value = mn_jinja_part(value, 0, mn_jinja_char_offset(value, spec->precision));
    if (!mn_jinja_spend(b->render, value.bytes / 16)) return false;
    char align = spec->align == '=' && spec->zero ? '<' : spec->align ? spec->align : '<';
    if (align == '=') return mn_jinja_fail(b->render, MN_ERR_ARGUMENT, "format: '=' is not for strings.");
    return lay_out(b, (jinja_string){0}, value, align, spec);
}

bool mn_jinja_put_formatted(jinja_builder *b, const jinja_value *value, jinja_string text) {
    jinja_format_spec spec;
    if (text.bytes == 0) return mn_jinja_print(b, value);
    if (!mn_jinja_parse_spec(b->render, text, &spec)) return false;
    switch (value->kind) {
    case JINJA_BOOL: return mn_jinja_put_integer(b, value->boolean, &spec);
    case JINJA_INT: return mn_jinja_put_integer(b, value->integer, &spec);
    case JINJA_FLOAT: return mn_jinja_put_real(b, value->real, &spec);
    case JINJA_STRING_KIND:
        if (!spec.type || spec.type == 's') return mn_jinja_put_padded(b, value->string, &spec);
        break;
    default: break;
    }
    return mn_jinja_fail(b->render, MN_ERR_ARGUMENT, "format: \"%.*s\" is not for a %s.",
                         (int)MN_MIN(text.bytes, (size_t)64), text.text, mn_jinja_kind_name(value));
}
