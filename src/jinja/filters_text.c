/* Filters of text. Most work on str() of whatever they are given. */
#include "base/checked.h"
#include "jinja/builtins.h"
#include "jinja/format.h"
#include "jinja/interpolate.h"
#include "jinja/strings.h"
#include "jinja/unicode.h"

static bool self_string(jinja_render *r, const jinja_args *args, jinja_string *out) {
    return mn_jinja_to_string(r, &args->self, out);
}

static bool change_case(jinja_render *r, const jinja_args *args, jinja_case to, jinja_value *out) {
    jinja_string s;
    return self_string(r, args, &s) && mn_jinja_change_case(r, s, to, &s) && mn_jinja_give_text(out, s);
}

bool mn_jinja_filter_upper(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return change_case(r, args, JINJA_UPPER, out);
}

bool mn_jinja_filter_lower(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return change_case(r, args, JINJA_LOWER, out);
}

bool mn_jinja_filter_title(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return change_case(r, args, JINJA_TITLE_FILTER, out);
}

bool mn_jinja_filter_capitalize(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return change_case(r, args, JINJA_CAPITALIZE, out);
}

bool mn_jinja_filter_trim(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_string s;
    return self_string(r, args, &s) && mn_jinja_strip(r, s, &args->values[0], true, true, &s) &&
           mn_jinja_give_text(out, s);
}

bool mn_jinja_filter_string(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_string s;
    return self_string(r, args, &s) && mn_jinja_give_text(out, s);
}

bool mn_jinja_filter_replace(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_string s, old, new;
    int64_t max = -1;
    return self_string(r, args, &s) && mn_jinja_to_string(r, &args->values[0], &old) &&
           mn_jinja_to_string(r, &args->values[1], &new) &&
           mn_jinja_need_integer(r, "replace", &args->values[2], &max) && mn_jinja_replace(r, s, old, new, max, &s) &&
           mn_jinja_give_text(out, s);
}

bool mn_jinja_filter_indent(jinja_render *r, const jinja_args *args, jinja_value *out) {
    const jinja_value *width = &args->values[0];
    bool first = mn_jinja_truth(&args->values[1]), blank = mn_jinja_truth(&args->values[2]);
    int64_t n = 4;
    jinja_string s, by;
    if (width->kind == JINJA_STRING_KIND)
        by = width->string;
    else if (!mn_jinja_need_integer(r, "indent", width, &n) ||
             !mn_jinja_pad(r, (jinja_string){0}, JINJA_STRING(" "), n, 0, &by))
        return false;
    return mn_jinja_need_string(r, "indent", &args->self, &s) && mn_jinja_indent(r, s, by, first, blank, &s) &&
           mn_jinja_give_text(out, s);
}

/* Python puts the odd space to the left when the width is odd. */
bool mn_jinja_filter_center(jinja_render *r, const jinja_args *args, jinja_value *out) {
    int64_t width = 80;
    jinja_string s;
    if (!self_string(r, args, &s) || !mn_jinja_need_integer(r, "center", &args->values[0], &width)) return false;
    int64_t room = width - (int64_t)mn_jinja_n_chars(s), left = room > 0 ? room / 2 + (room & width & 1) : 0;
    return mn_jinja_pad(r, s, JINJA_STRING(" "), left, room - left, &s) && mn_jinja_give_text(out, s);
}

/* A text that is longer than length + leeway, cut to length with `end`, between words unless killwords. */
bool mn_jinja_filter_truncate(jinja_render *r, const jinja_args *args, jinja_value *out) {
    const jinja_value *v = args->values;
    int64_t length = 255, leeway = 5;
    jinja_string s, end = JINJA_STRING("...");
    if (!mn_jinja_given(&args->self)) return mn_jinja_give_text(out, JINJA_STRING(""));
    if (!mn_jinja_need_string(r, "truncate", &args->self, &s) ||
        !mn_jinja_need_integer(r, "truncate", &v[0], &length) || !mn_jinja_need_integer(r, "truncate", &v[3], &leeway))
        return false;
    if (mn_jinja_given(&v[2]) && !mn_jinja_need_string(r, "truncate", &v[2], &end)) return false;
    int64_t n_end = (int64_t)mn_jinja_n_chars(end);
    if (length < n_end || leeway < 0)
        return mn_jinja_fail(r, MN_ERR_ARGUMENT, "truncate: a length of %lld has no room for \"%.*s\".",
                             (long long)length, (int)MN_MIN(end.bytes, (size_t)32), end.text);
    if (!mn_jinja_spend(r, s.bytes / 16)) return false;
    if ((int64_t)mn_jinja_n_chars(s) <= length + leeway) return mn_jinja_give_text(out, s);
    size_t cut = mn_jinja_char_offset(s, length - n_end), space = SIZE_MAX;
    if (!mn_jinja_truth(&v[1]) && !mn_jinja_find_last(r, s, JINJA_STRING(" "), 0, cut, &space)) return false;
    jinja_builder b = mn_jinja_build(r);
    mn_jinja_put(&b, mn_jinja_part(s, 0, MN_MIN(space, cut)));
    mn_jinja_put(&b, end);
    return mn_jinja_built(&b, &s) && mn_jinja_give_text(out, s);
}

bool mn_jinja_filter_wordcount(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_string s;
    int64_t n = 0;
    bool in_word = false;
    if (!self_string(r, args, &s) || !mn_jinja_spend(r, s.bytes)) return false;
    size_t at = 0;
    for (jinja_char c; mn_jinja_next_char(s, &at, &c);) {
        bool is_word = mn_jinja_is_word(c.c);
        n += is_word && !in_word;
        in_word = is_word;
    }
    *out = mn_jinja_int(n);
    return true;
}

/* "%s and %s" | format(a, b), or with names. */
bool mn_jinja_filter_format(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_list places = args->rest;
    jinja_value values = {.kind = JINJA_LIST, .list = &places};
    jinja_string s;
    places.shape = JINJA_TUPLE;
    if (places.n && args->names->n)
        return mn_jinja_fail(r, MN_ERR_ARGUMENT, "format takes values by place or by name, not both.");
    if (args->names->n) values = (jinja_value){.kind = JINJA_DICT, .dict = args->names};
    return self_string(r, args, &s) && mn_jinja_percent(r, s, &values, &s) && mn_jinja_give_text(out, s);
}
