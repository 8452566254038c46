/* The table of filters, and those of numbers and of any value. */
#include "base/checked.h"
#include "jinja/builtins.h"
#include "jinja/eval.h"
#include "jinja/format.h"
#include "jinja/json.h"
#include "jinja/strings.h"
#include "jinja/unicode.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool filter_default(jinja_render *r, const jinja_args *args, jinja_value *out) {
    (void)r;
    bool keep = mn_jinja_given(&args->self) && (!mn_jinja_truth(&args->values[1]) || mn_jinja_truth(&args->self));
    bool given = mn_jinja_given(&args->values[0]);
    *out = keep ? args->self : given ? args->values[0] : mn_jinja_text(JINJA_STRING(""));
    return true;
}

/* value.NAME, but never value["NAME"]: a dict has only its methods. */
static bool filter_attr(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_string name;
    const jinja_value empty = {.kind = JINJA_DICT, .dict = &(jinja_dict){0}};
    if (!mn_jinja_need_string(r, "attr", &args->values[0], &name)) return false;
    *out = mn_jinja_undefined("an attribute");
    if (!mn_jinja_given(&args->self)) return true;
    jinja_value found;
    if (args->self.kind == JINJA_DICT && (!mn_jinja_attribute(r, &empty, name, &found) || !mn_jinja_given(&found)))
        return r->status == MN_OK;
    return mn_jinja_attribute(r, &args->self, name, out);
}

/* indent: a number of spaces, or a string. */
static bool read_indent(jinja_render *r, const jinja_value *indent, jinja_json_style *style) {
    int64_t n = 0;
    if (!mn_jinja_stated(indent)) return true;
    style->is_broken = true;
    style->item_separator = JINJA_STRING(",");
    if (indent->kind == JINJA_STRING_KIND) {
        style->indent = indent->string;
        return true;
    }
    return mn_jinja_need_integer(r, "tojson", indent, &n) &&
           mn_jinja_pad(r, (jinja_string){0}, JINJA_STRING(" "), n, 0, &style->indent);
}

static bool filter_tojson(jinja_render *r, const jinja_args *args, jinja_value *out) {
    const jinja_value *separators = &args->values[2];
    jinja_json_style style = {.ensure_ascii = mn_jinja_truth(&args->values[0]),
                              .sort_keys = mn_jinja_truth(&args->values[3]),
                              .item_separator = JINJA_STRING(", "),
                              .key_separator = JINJA_STRING(": ")};
    if (!read_indent(r, &args->values[1], &style)) return false;
    if (mn_jinja_stated(separators)) {
        if (separators->kind != JINJA_LIST || separators->list->n != 2)
            return mn_jinja_fail(r, MN_ERR_ARGUMENT, "tojson: separators are two strings.");
        const jinja_value *two = separators->list->items;
        if (!mn_jinja_need_string(r, "tojson", &two[0], &style.item_separator) ||
            !mn_jinja_need_string(r, "tojson", &two[1], &style.key_separator))
            return false;
    }
    jinja_builder b = mn_jinja_build(r);
    *out = mn_jinja_text((jinja_string){0});
    return mn_jinja_to_json(&b, &args->self, &style) && mn_jinja_built(&b, &out->string);
}

/* ---- numbers ---- */

enum { MAX_NUMBER_BYTES = 64 };

/* The number that a string spells, as Python reads it, in ASCII: white space at the ends dropped, digits of any script
 * made ASCII ones, single underscores between digits dropped. False when it has other characters or is too long. */
static bool plain_number(jinja_render *r, jinja_string s, char out[MAX_NUMBER_BYTES]) {
    const jinja_value no_set = mn_jinja_undefined(NULL);
    size_t n = 0, at = 0;
    bool digit = false;
    if (!mn_jinja_strip(r, s, &no_set, true, true, &s) || s.bytes == 0) return false;
    for (jinja_char c; mn_jinja_next_char(s, &at, &c);) {
        bool is_digit = mn_jinja_is_decimal(c.c), lone = c.c == '_' && digit && at < s.bytes;
        if (n + 1 >= MAX_NUMBER_BYTES || (c.c >= 0x80 && !is_digit) || !c.c) return false;
        if (c.c == '_' && (!lone || s.text[at] == '_' || s.text[at] == '.')) return false;
        digit = is_digit || (c.c < 0x80 && strchr("abcdefABCDEFxXoO", (int)c.c));
        if (c.c != '_') out[n++] = is_digit ? (char)('0' + mn_jinja_decimal_value(c.c)) : (char)c.c;
    }
    out[n] = 0;
    return true;
}

static bool read_real(jinja_render *r, jinja_string s, double *out) {
    char text[MAX_NUMBER_BYTES], *end;
    if (!plain_number(r, s, text)) return false;
    const char *unsigned_text = text + (*text == '-' || *text == '+');
    bool is_named = strcasecmp(unsigned_text, "inf") == 0 || strcasecmp(unsigned_text, "infinity") == 0 ||
                    strcasecmp(unsigned_text, "nan") == 0;
    if (!is_named && strspn(text, "+-.0123456789eE") != strlen(text)) return false;
    *out = strtod(text, &end);
    return *end == 0;
}

static bool read_integer(jinja_render *r, jinja_string s, int64_t base, int64_t *out) {
    char text[MAX_NUMBER_BYTES], *end;
    if (base != 0 && (base < 2 || base > 36)) return false;
    if (!plain_number(r, s, text)) return false;
    char *digits = text + (*text == '-' || *text == '+');
    int letter = digits[0] == '0' ? digits[1] | 0x20 : 0, named = letter == 'x'   ? 16
                                                                  : letter == 'o' ? 8
                                                                  : letter == 'b' ? 2
                                                                                  : 0;
    if (named && (base == named || base == 0)) {
        base = named;
        memmove(digits, digits + 2, strlen(digits + 2) + 1);
    }
    if (!*digits || *digits == '+' || *digits == '-' || isspace((unsigned char)*digits)) return false;
    errno = 0;
    *out = strtoll(text, &end, base ? (int)base : 10);
    return *end == 0 && errno == 0;
}

/* As int() reads it, else as float() does, without the fraction; else the default. */
static bool filter_int(jinja_render *r, const jinja_args *args, jinja_value *out) {
    const jinja_value *self = &args->self;
    int64_t base = 10, integer;
    double x;
    if (!mn_jinja_given(self)) return mn_jinja_fail(r, MN_ERR_ARGUMENT, "int needs a number, not an undefined.");
    if (!mn_jinja_need_integer(r, "int", &args->values[1], &base)) return false;
    *out = mn_jinja_given(&args->values[0]) ? args->values[0] : mn_jinja_int(0);
    if (mn_jinja_integer(self, &integer) ||
        (self->kind == JINJA_STRING_KIND && read_integer(r, self->string, base, &integer)))
        *out = mn_jinja_int(integer);
    else if (mn_jinja_number(self, &x) || (self->kind == JINJA_STRING_KIND && read_real(r, self->string, &x))) {
        if (fabs(x) < 0x1p63)
            *out = mn_jinja_int((int64_t)x);
        else if (isfinite(x))
            return mn_jinja_fail(r, MN_ERR_LIMIT, "int: %g does not fit in 64 bits.", x);
    }
    return r->status == MN_OK;
}

static bool filter_float(jinja_render *r, const jinja_args *args, jinja_value *out) {
    double x;
    if (!mn_jinja_given(&args->self))
        return mn_jinja_fail(r, MN_ERR_ARGUMENT, "float needs a number, not an undefined.");
    *out = mn_jinja_given(&args->values[0]) ? args->values[0] : mn_jinja_float(0);
    if (mn_jinja_number(&args->self, &x) ||
        (args->self.kind == JINJA_STRING_KIND && read_real(r, args->self.string, &x)))
        *out = mn_jinja_float(x);
    return r->status == MN_OK;
}

static bool need_number(jinja_render *r, const char *what, const jinja_value *value, double *out) {
    if (mn_jinja_number(value, out)) return true;
    return mn_jinja_fail(r, MN_ERR_ARGUMENT, "%s needs a number, not a %s.", what, mn_jinja_kind_name(value));
}

static bool filter_abs(jinja_render *r, const jinja_args *args, jinja_value *out) {
    double x;
    int64_t integer;
    if (!need_number(r, "abs", &args->self, &x)) return false;
    *out = mn_jinja_integer(&args->self, &integer) ? mn_jinja_int(integer) : mn_jinja_float(fabs(x));
    return x >= 0 || out->kind == JINJA_FLOAT || mn_jinja_negate(r, out, out);
}

/* To the nearest with so many digits behind the point, ties to even: as the decimal expansion of x says. */
static double round_to(double x, int64_t precision) {
    char text[512];
    if (!isfinite(x) || precision > 100) return x;
    if (precision < 0) {
        double scale = pow(10, (double)-precision);
        return isfinite(scale) ? nearbyint(x / scale) * scale : 0;
    }
    if ((size_t)snprintf(text, sizeof text, "%.*f", (int)precision, x) >= sizeof text) return x;
    return strtod(text, NULL);
}

static int64_t round_integer(int64_t x, int64_t precision) {
    int64_t scale = 1;
    for (; precision < 0; precision++)
        if (__builtin_mul_overflow(scale, 10, &scale)) return 0;
    int64_t rest = x % scale, down = x - rest, half = (rest < 0 ? -rest : rest) * 2, step = x < 0 ? -scale : scale;
    bool away = half > scale || (half == scale && down / scale % 2 != 0);
    if (away) __builtin_add_overflow(down, step, &down);
    return down;
}

static bool filter_round(jinja_render *r, const jinja_args *args, jinja_value *out) {
    int64_t precision = 0, integer;
    jinja_string method = JINJA_STRING("common");
    double x;
    if (!need_number(r, "round", &args->self, &x) || !mn_jinja_need_integer(r, "round", &args->values[0], &precision) ||
        (mn_jinja_given(&args->values[1]) && !mn_jinja_need_string(r, "round", &args->values[1], &method)))
        return false;
    bool up = mn_jinja_same_text(method, JINJA_STRING("ceil")),
         down = mn_jinja_same_text(method, JINJA_STRING("floor"));
    if (!up && !down && !mn_jinja_same_text(method, JINJA_STRING("common")))
        return mn_jinja_fail(r, MN_ERR_ARGUMENT, "round: the method is none of common, ceil and floor.");
    double scale = pow(10, (double)precision);
    if (up || down)
        *out = mn_jinja_float(((up ? ceil(x * scale) : floor(x * scale)) + 0.0) / scale); /* no -0.0 */
    else if (mn_jinja_integer(&args->self, &integer))
        *out = mn_jinja_int(round_integer(integer, MN_MIN(precision, 0)));
    else
        *out = mn_jinja_float(round_to(x, precision));
    return true;
}

static bool filter_filesizeformat(jinja_render *r, const jinja_args *args, jinja_value *out) {
    static const char *const decimal[] = {"kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"}, *const binary[] = {
                                                                                               "KiB", "MiB", "GiB",
                                                                                               "TiB", "PiB", "EiB",
                                                                                               "ZiB", "YiB"};
    bool is_binary = mn_jinja_truth(&args->values[0]);
    double base = is_binary ? 1024 : 1000, bytes, unit;
    char text[64];
    int i = 0;
    bool is_text = args->self.kind == JINJA_STRING_KIND && read_real(r, args->self.string, &bytes);
    if (!is_text && !need_number(r, "filesizeformat", &args->self, &bytes)) return false;
    for (unit = base * base; i < 7 && !(bytes < unit); i++) unit *= base;
    if (bytes == 1)
        snprintf(text, sizeof text, "1 Byte");
    else if (bytes < base)
        snprintf(text, sizeof text, "%lld Bytes", fabs(bytes) < 0x1p63 ? (long long)bytes : 0);
    else
        snprintf(text, sizeof text, "%.1f %s", base * bytes / unit, is_binary ? binary[i] : decimal[i]);
    jinja_builder b = mn_jinja_build(r);
    mn_jinja_puts(&b, text);
    *out = mn_jinja_text((jinja_string){0});
    return mn_jinja_built(&b, &out->string);
}

static const jinja_builtin filters[] = {
    BUILTIN("abs", filter_abs),
    BUILTIN("attr", filter_attr, .params = {"name"}, .n_required = 1),
    BUILTIN("batch", mn_jinja_filter_batch, .params = {"linecount", "fill_with"}, .n_required = 1),
    BUILTIN("capitalize", mn_jinja_filter_capitalize),
    BUILTIN("center", mn_jinja_filter_center, .params = {"width"}),
    BUILTIN("count", mn_jinja_filter_length),
    BUILTIN("d", filter_default, .params = {"default_value", "boolean"}),
    BUILTIN("default", filter_default, .params = {"default_value", "boolean"}),
    BUILTIN("dictsort", mn_jinja_filter_dictsort, .params = {"case_sensitive", "by", "reverse"}),
    BUILTIN("e", mn_jinja_filter_escape),
    BUILTIN("escape", mn_jinja_filter_escape),
    BUILTIN("filesizeformat", filter_filesizeformat, .params = {"binary"}),
    BUILTIN("first", mn_jinja_filter_first),
    BUILTIN("float", filter_float, .params = {"default"}),
    BUILTIN("forceescape", mn_jinja_filter_forceescape),
    BUILTIN("format", mn_jinja_filter_format, .any_places = true, .any_names = true),
    BUILTIN("groupby", mn_jinja_filter_groupby, .params = {"attribute", "default", "case_sensitive"}, .n_required = 1),
    BUILTIN("indent", mn_jinja_filter_indent, .params = {"width", "first", "blank"}),
    BUILTIN("int", filter_int, .params = {"default", "base"}),
    BUILTIN("items", mn_jinja_filter_items),
    BUILTIN("join", mn_jinja_filter_join, .params = {"d", "attribute"}),
    BUILTIN("last", mn_jinja_filter_last),
    BUILTIN("length", mn_jinja_filter_length),
    BUILTIN("list", mn_jinja_filter_list),
    BUILTIN("lower", mn_jinja_filter_lower),
    BUILTIN("map", mn_jinja_filter_map, .any_places = true, .any_names = true),
    BUILTIN("max", mn_jinja_filter_max, .params = {"case_sensitive", "attribute"}),
    BUILTIN("min", mn_jinja_filter_min, .params = {"case_sensitive", "attribute"}),
    BUILTIN("reject", mn_jinja_filter_reject, .any_places = true, .any_names = true),
    BUILTIN("rejectattr", mn_jinja_filter_rejectattr, .params = {"attribute"}, .n_required = 1, .any_places = true,
            .any_names = true),
    BUILTIN("replace", mn_jinja_filter_replace, .params = {"old", "new", "count"}, .n_required = 2),
    BUILTIN("reverse", mn_jinja_filter_reverse),
    BUILTIN("round", filter_round, .params = {"precision", "method"}),
    BUILTIN("safe", mn_jinja_filter_safe),
    BUILTIN("select", mn_jinja_filter_select, .any_places = true, .any_names = true),
    BUILTIN("selectattr", mn_jinja_filter_selectattr, .params = {"attribute"}, .n_required = 1, .any_places = true,
            .any_names = true),
    BUILTIN("slice", mn_jinja_filter_slice, .params = {"slices", "fill_with"}, .n_required = 1),
    BUILTIN("sort", mn_jinja_filter_sort, .params = {"reverse", "case_sensitive", "attribute"}),
    BUILTIN("string", mn_jinja_filter_string),
    BUILTIN("striptags", mn_jinja_filter_striptags),
    BUILTIN("sum", mn_jinja_filter_sum, .params = {"attribute", "start"}),
    BUILTIN("title", mn_jinja_filter_title),
    BUILTIN("tojson", filter_tojson, .params = {"ensure_ascii", "indent", "separators", "sort_keys"}),
    BUILTIN("trim", mn_jinja_filter_trim, .params = {"chars"}),
    BUILTIN("truncate", mn_jinja_filter_truncate, .params = {"length", "killwords", "end", "leeway"}),
    BUILTIN("unique", mn_jinja_filter_unique, .params = {"case_sensitive", "attribute"}),
    BUILTIN("upper", mn_jinja_filter_upper),
    BUILTIN("urlencode", mn_jinja_filter_urlencode),
    BUILTIN("wordcount", mn_jinja_filter_wordcount),
    BUILTIN("wordwrap", mn_jinja_filter_wordwrap,
            .params = {"width", "break_long_words", "wrapstring", "break_on_hyphens"}),
    BUILTIN("xmlattr", mn_jinja_filter_xmlattr, .params = {"autospace"}),
};

const jinja_builtin *mn_jinja_filter(const char *name) {
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
        if (strcmp(filters[i].name, name) == 0) return &filters[i];
    return NULL;
}
