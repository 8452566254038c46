/* Methods of strings. */
#include "base/checked.h"
#include "jinja/builtins.h"
#include "jinja/interpolate.h"
#include "jinja/methods.h"
#include "jinja/strings.h"
#include "jinja/unicode.h"

#include <string.h>

static bool strip(jinja_render *r, const jinja_args *args, bool left, bool right, jinja_value *out) {
    jinja_string s;
    return mn_jinja_strip(r, args->self.string, &args->values[0], left, right, &s) && mn_jinja_give_text(out, s);
}

static bool method_strip(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return strip(r, args, true, true, out);
}

static bool method_lstrip(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return strip(r, args, true, false, out);
}

static bool method_rstrip(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return strip(r, args, false, true, out);
}

/* ---- case ---- */

#define CASE_METHOD(name, to)                                                                                          \
    static bool method_##name(jinja_render *r, const jinja_args *args, jinja_value *out) {                             \
        jinja_string s;                                                                                                \
        return mn_jinja_change_case(r, args->self.string, to, &s) && mn_jinja_give_text(out, s);                       \
    }

CASE_METHOD(upper, JINJA_UPPER)
CASE_METHOD(lower, JINJA_LOWER)
CASE_METHOD(title, JINJA_TITLE)
CASE_METHOD(capitalize, JINJA_CAPITALIZE)
CASE_METHOD(swapcase, JINJA_SWAPCASE)
CASE_METHOD(casefold, JINJA_CASEFOLD)

/* ---- what a string is made of ---- */

static bool is_alnum(uint32_t c) { return mn_jinja_is_alpha(c) || mn_jinja_is_numeric(c); }
static bool is_ascii(uint32_t c) { return c < 0x80; }

/* Whether all characters have a property, and, unless `empty` will do, there is one. */
static bool all_are(jinja_render *r, const jinja_args *args, bool (*has)(uint32_t), bool empty, jinja_value *out) {
    jinja_string s = args->self.string;
    bool all = s.bytes > 0 || empty;
    size_t at = 0;
    for (jinja_char c; all && mn_jinja_next_char(s, &at, &c);) all = has(c.c);
    *out = mn_jinja_bool(all);
    return mn_jinja_spend(r, s.bytes / 16);
}

#define PROPERTY_METHOD(name, has, empty)                                                                              \
    static bool method_##name(jinja_render *r, const jinja_args *args, jinja_value *out) {                             \
        return all_are(r, args, has, empty, out);                                                                      \
    }

PROPERTY_METHOD(isalnum, is_alnum, false)
PROPERTY_METHOD(isalpha, mn_jinja_is_alpha, false)
PROPERTY_METHOD(isascii, is_ascii, true)
PROPERTY_METHOD(isdecimal, mn_jinja_is_decimal, false)
PROPERTY_METHOD(isdigit, mn_jinja_is_digit, false)
PROPERTY_METHOD(isnumeric, mn_jinja_is_numeric, false)
PROPERTY_METHOD(isprintable, mn_jinja_is_printable, true)
PROPERTY_METHOD(isspace, mn_jinja_is_space, false)

bool mn_jinja_has_case(jinja_string s, bool (*wanted)(uint32_t)) {
    bool found = false;
    size_t at = 0;
    for (jinja_char c; mn_jinja_next_char(s, &at, &c);) {
        if (mn_jinja_is_cased(c.c) && !wanted(c.c)) return false;
        found |= mn_jinja_is_cased(c.c);
    }
    return found;
}

static bool method_islower(jinja_render *r, const jinja_args *args, jinja_value *out) {
    *out = mn_jinja_bool(mn_jinja_has_case(args->self.string, mn_jinja_is_lower));
    return mn_jinja_spend(r, args->self.string.bytes / 16);
}

static bool method_isupper(jinja_render *r, const jinja_args *args, jinja_value *out) {
    *out = mn_jinja_bool(mn_jinja_has_case(args->self.string, mn_jinja_is_upper));
    return mn_jinja_spend(r, args->self.string.bytes / 16);
}

/* Every cased letter behind an uncased character is upper or title case, every other lower. */
static bool method_istitle(jinja_render *r, const jinja_args *args, jinja_value *out) {
    bool found = false, behind_cased = false, title = true;
    size_t at = 0;
    for (jinja_char c; title && mn_jinja_next_char(args->self.string, &at, &c);) {
        bool up = mn_jinja_is_upper(c.c) || mn_jinja_is_title(c.c), down = mn_jinja_is_lower(c.c);
        title = !(up && behind_cased) && !(down && !behind_cased);
        behind_cased = up || down;
        found |= behind_cased;
    }
    *out = mn_jinja_bool(title && found);
    return mn_jinja_spend(r, args->self.string.bytes / 16);
}

static bool method_isidentifier(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_string s = args->self.string;
    size_t at = 0;
    jinja_char c;
    bool is = mn_jinja_next_char(s, &at, &c) && mn_jinja_starts_identifier(c.c);
    while (is && mn_jinja_next_char(s, &at, &c)) is = mn_jinja_starts_identifier(c.c) || mn_jinja_is_decimal(c.c);
    *out = mn_jinja_bool(is);
    return mn_jinja_spend(r, s.bytes / 16);
}

/* ---- parts ---- */

static bool method_replace(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_string s, old, new;
    int64_t max = -1;
    return mn_jinja_need_string(r, "replace", &args->values[0], &old) &&
           mn_jinja_need_string(r, "replace", &args->values[1], &new) &&
           mn_jinja_need_integer(r, "replace", &args->values[2], &max) &&
           mn_jinja_replace(r, args->self.string, old, new, max, &s) && mn_jinja_give_text(out, s);
}

static bool method_split(jinja_render *r, const jinja_args *args, jinja_value *out) {
    int64_t max = -1;
    *out = (jinja_value){.kind = JINJA_LIST};
    return mn_jinja_need_integer(r, "split", &args->values[1], &max) &&
           mn_jinja_split(r, args->self.string, &args->values[0], max, &out->list);
}

static bool method_rsplit(jinja_render *r, const jinja_args *args, jinja_value *out) {
    int64_t max = -1;
    *out = (jinja_value){.kind = JINJA_LIST};
    return mn_jinja_need_integer(r, "rsplit", &args->values[1], &max) &&
           mn_jinja_split_right(r, args->self.string, &args->values[0], max, &out->list);
}

static bool method_splitlines(jinja_render *r, const jinja_args *args, jinja_value *out) {
    *out = (jinja_value){.kind = JINJA_LIST};
    return mn_jinja_split_lines(r, args->self.string, mn_jinja_truth(&args->values[0]), &out->list);
}

/* (before, separator, behind), or the whole and two empty strings. */
static bool partition(jinja_render *r, const jinja_args *args, bool from_right, jinja_value *out) {
    jinja_string s = args->self.string, by, parts[3] = {s};
    size_t found;
    if (!mn_jinja_need_string(r, "partition", &args->values[0], &by)) return false;
    if (by.bytes == 0) return mn_jinja_fail(r, MN_ERR_ARGUMENT, "partition: the separator is empty.");
    if (!from_right)
        found = mn_jinja_find(s, by, 0);
    else if (!mn_jinja_find_last(r, s, by, 0, s.bytes, &found))
        return false;
    if (found == SIZE_MAX && from_right) {
        parts[2] = s;
        parts[0] = (jinja_string){0};
    } else if (found != SIZE_MAX) {
        parts[0] = mn_jinja_part(s, 0, found);
        parts[1] = mn_jinja_part(s, found, found + by.bytes);
        parts[2] = mn_jinja_part(s, found + by.bytes, s.bytes);
    }
    *out = (jinja_value){.kind = JINJA_LIST};
    if (!mn_jinja_new_list(r, 3, &out->list) || !mn_jinja_spend(r, s.bytes / 16)) return false;
    out->list->shape = JINJA_TUPLE;
    for (int i = 0; i < 3; i++)
        out->list->items[out->list->n++] = mn_jinja_text(parts[i].bytes ? parts[i] : JINJA_STRING(""));
    return true;
}

static bool method_partition(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return partition(r, args, false, out);
}

static bool method_rpartition(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return partition(r, args, true, out);
}

static bool has_affix(jinja_string s, jinja_string affix, bool at_end) {
    if (affix.bytes > s.bytes) return false;
    size_t begin = at_end ? s.bytes - affix.bytes : 0;
    return memcmp(s.text + begin, affix.text, affix.bytes) == 0;
}

/* The part of the string that `start` and `end`, which count characters, leave: what find, count and startswith see.
 * False in *inside when it begins beyond the string's end: then not even the empty string is in it. */
static bool bounded(jinja_render *r, jinja_string s, const jinja_value *start, const jinja_value *end, size_t *from,
                    size_t *to, bool *inside) {
    int64_t n = (int64_t)mn_jinja_n_chars(s), first = 0, last = n;
    if (!mn_jinja_spend(r, s.bytes / 16) || !mn_jinja_need_integer(r, "a bound", start, &first) ||
        !mn_jinja_need_integer(r, "a bound", end, &last))
        return false;
    if (first < 0) first = MN_MAX(first + n, 0);
    if (last < 0) last = MN_MAX(last + n, 0);
    *inside = first <= n && first <= last;
    *from = mn_jinja_char_offset(s, MN_MIN(first, n));
    *to = MN_MAX(*from, mn_jinja_char_offset(s, MN_MIN(last, n)));
    return true;
}

/* startswith and endswith take one string or a tuple of them. */
static bool affix(jinja_render *r, const jinja_args *args, bool at_end, jinja_value *out) {
    const jinja_value *wanted = &args->values[0];
    size_t n = 1, from, to;
    bool inside;
    if (!bounded(r, args->self.string, &args->values[1], &args->values[2], &from, &to, &inside)) return false;
    if (wanted->kind == JINJA_LIST) {
        n = wanted->list->n;
        wanted = wanted->list->items;
    }
    *out = mn_jinja_bool(false);
    for (size_t i = 0; i < n && !out->boolean; i++) {
        jinja_string s;
        if (!mn_jinja_need_string(r, at_end ? "endswith" : "startswith", &wanted[i], &s)) return false;
        out->boolean = inside && has_affix(mn_jinja_part(args->self.string, from, to), s, at_end);
        if (!mn_jinja_spend(r, 1 + s.bytes / 16)) return false;
    }
    return true;
}

static bool method_startswith(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return affix(r, args, false, out);
}

static bool method_endswith(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return affix(r, args, true, out);
}

static bool method_removeprefix(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_string s = args->self.string, prefix;
    if (!mn_jinja_need_string(r, "removeprefix", &args->values[0], &prefix)) return false;
    return mn_jinja_give_text(out, has_affix(s, prefix, false) ? mn_jinja_part(s, prefix.bytes, s.bytes) : s);
}

static bool method_removesuffix(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_string s = args->self.string, suffix;
    if (!mn_jinja_need_string(r, "removesuffix", &args->values[0], &suffix)) return false;
    return mn_jinja_give_text(out, has_affix(s, suffix, true) ? mn_jinja_part(s, 0, s.bytes - suffix.bytes) : s);
}

/* ---- places ---- */

/* The place of a substring in characters, -1 when there is none. */
static bool find(jinja_render *r, const jinja_args *args, bool last, int64_t *out) {
    jinja_string s = args->self.string, needle;
    size_t from, to, found = SIZE_MAX;
    bool inside;
    if (!mn_jinja_need_string(r, "find", &args->values[0], &needle) ||
        !bounded(r, s, &args->values[1], &args->values[2], &from, &to, &inside))
        return false;
    if (inside && last && !mn_jinja_find_last(r, s, needle, from, to, &found)) return false;
    if (inside && !last) found = mn_jinja_find(mn_jinja_part(s, 0, to), needle, from);
    *out = found == SIZE_MAX ? -1 : (int64_t)mn_jinja_n_chars(mn_jinja_part(s, 0, found));
    return true;
}

static bool give_place(jinja_render *r, const jinja_args *args, bool last, bool needed, jinja_value *out) {
    int64_t place;
    if (!find(r, args, last, &place)) return false;
    if (needed && place < 0) return mn_jinja_fail(r, MN_ERR_ARGUMENT, "index: the substring is not there.");
    *out = mn_jinja_int(place);
    return true;
}

static bool method_find(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return give_place(r, args, false, false, out);
}

static bool method_rfind(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return give_place(r, args, true, false, out);
}

static bool method_index(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return give_place(r, args, false, true, out);
}

static bool method_rindex(jinja_render *r, const jinja_args *args, jinja_value *out) {
    return give_place(r, args, true, true, out);
}

static bool method_count(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_string s = args->self.string, needle;
    size_t from, to;
    int64_t n = 0;
    bool inside;
    if (!mn_jinja_need_string(r, "count", &args->values[0], &needle) ||
        !bounded(r, s, &args->values[1], &args->values[2], &from, &to, &inside))
        return false;
    s = mn_jinja_part(s, 0, to);
    if (inside && needle.bytes == 0) n = (int64_t)mn_jinja_n_chars(mn_jinja_part(s, from, to)) + 1;
    for (size_t at = from; inside && needle.bytes && (at = mn_jinja_find(s, needle, at)) != SIZE_MAX; n++)
        at += needle.bytes;
    *out = mn_jinja_int(n);
    return mn_jinja_spend(r, (size_t)n);
}

/* ---- padding ---- */

typedef enum side { LEFT, RIGHT, BOTH } side;

/* Pads to a width: on the given side, with one character. */
static bool pad(jinja_render *r, const jinja_args *args, side where, jinja_value *out) {
    int64_t width = 0;
    jinja_string s = args->self.string, fill = JINJA_STRING(" ");
    if (!mn_jinja_need_integer(r, "a width", &args->values[0], &width)) return false;
    if (mn_jinja_given(&args->values[1]) && !mn_jinja_need_string(r, "a filler", &args->values[1], &fill)) return false;
    if (mn_jinja_n_chars(fill) != 1) return mn_jinja_fail(r, MN_ERR_ARGUMENT, "the filler is not one character.");
    int64_t room = MN_MAX(width - (int64_t)mn_jinja_n_chars(s), 0);
    int64_t left = where == LEFT ? room : where == RIGHT ? 0 : room / 2 + (room & width & 1);
    return mn_jinja_pad(r, s, fill, left, room - left, &s) && mn_jinja_give_text(out, s);
}

static bool method_ljust(jinja_render *r, const jinja_args *args, jinja_value *out) { return pad(r, args, RIGHT, out); }

static bool method_rjust(jinja_render *r, const jinja_args *args, jinja_value *out) { return pad(r, args, LEFT, out); }

static bool method_center(jinja_render *r, const jinja_args *args, jinja_value *out) { return pad(r, args, BOTH, out); }

/* Zeros behind the sign. */
static bool method_zfill(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_string s = args->self.string, padded;
    int64_t width = 0;
    if (!mn_jinja_need_integer(r, "zfill", &args->values[0], &width)) return false;
    int64_t room = MN_MAX(width - (int64_t)mn_jinja_n_chars(s), 0);
    size_t sign = s.bytes > 0 && (s.text[0] == '-' || s.text[0] == '+');
    if (!mn_jinja_pad(r, mn_jinja_part(s, sign, s.bytes), JINJA_STRING("0"), room, 0, &padded)) return false;
    jinja_builder b = mn_jinja_build(r);
    mn_jinja_put(&b, mn_jinja_part(s, 0, sign));
    mn_jinja_put(&b, padded);
    return mn_jinja_built(&b, &s) && mn_jinja_give_text(out, s);
}

static bool method_expandtabs(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_string s = args->self.string;
    jinja_builder b = mn_jinja_build(r);
    int64_t size = 8, column = 0;
    size_t at = 0;
    if (!mn_jinja_need_integer(r, "expandtabs", &args->values[0], &size) || !mn_jinja_spend(r, s.bytes)) return false;
    for (jinja_char c; mn_jinja_next_char(s, &at, &c);) {
        int64_t n = c.c == '\t' && size > 0 ? size - column % size : 0;
        jinja_string spaces;
        if (!mn_jinja_pad(r, (jinja_string){0}, JINJA_STRING(" "), n, 0, &spaces)) return false;
        mn_jinja_put(&b, c.c == '\t' ? spaces : mn_jinja_part(s, c.begin, at));
        column = c.c == '\n' || c.c == '\r' ? 0 : column + (c.c == '\t' ? n : 1);
    }
    return mn_jinja_built(&b, &s) && mn_jinja_give_text(out, s);
}

/* ---- putting together ---- */

static bool method_join(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_list *items;
    jinja_builder b = mn_jinja_build(r);
    if (!mn_jinja_iterate(r, &args->values[0], &items)) return false;
    for (size_t i = 0; i < items->n; i++) {
        jinja_string s;
        if (!mn_jinja_need_string(r, "join", &items->items[i], &s)) return false;
        if (i) mn_jinja_put(&b, args->self.string);
        mn_jinja_put(&b, s);
    }
    *out = mn_jinja_text((jinja_string){0});
    return mn_jinja_built(&b, &out->string);
}

static bool method_format(jinja_render *r, const jinja_args *args, jinja_value *out) {
    jinja_string s;
    return mn_jinja_braces(r, args->self.string, &args->rest, args->names, &s) && mn_jinja_give_text(out, s);
}

static bool method_format_map(jinja_render *r, const jinja_args *args, jinja_value *out) {
    const jinja_list none = {0};
    jinja_string s;
    if (args->values[0].kind != JINJA_DICT) return mn_jinja_fail(r, MN_ERR_ARGUMENT, "format_map needs a dict.");
    return mn_jinja_braces(r, args->self.string, &none, args->values[0].dict, &s) && mn_jinja_give_text(out, s);
}

#define METHOD(text, ...)                                                                                              \
    { .name = #text, .call = method_##text, .receiver = JINJA_STRING_KIND, ##__VA_ARGS__ }
#define PLACE_METHOD(text, first) METHOD(text, .params = {first, "start", "end"}, .n_required = 1)

const jinja_builtin mn_jinja_string_methods[] = {
    METHOD(capitalize),
    METHOD(casefold),
    METHOD(center, .params = {"width", "fillchar"}, .n_required = 1),
    PLACE_METHOD(count, "sub"),
    PLACE_METHOD(endswith, "suffix"),
    METHOD(expandtabs, .params = {"tabsize"}),
    PLACE_METHOD(find, "sub"),
    METHOD(format, .any_places = true, .any_names = true),
    METHOD(format_map, .params = {"mapping"}, .n_required = 1),
    PLACE_METHOD(index, "sub"),
    METHOD(isalnum),
    METHOD(isalpha),
    METHOD(isascii),
    METHOD(isdecimal),
    METHOD(isdigit),
    METHOD(isidentifier),
    METHOD(islower),
    METHOD(isnumeric),
    METHOD(isprintable),
    METHOD(isspace),
    METHOD(istitle),
    METHOD(isupper),
    METHOD(join, .params = {"iterable"}, .n_required = 1),
    METHOD(ljust, .params = {"width", "fillchar"}, .n_required = 1),
    METHOD(lower),
    METHOD(lstrip, .params = {"chars"}),
    METHOD(partition, .params = {"sep"}, .n_required = 1),
    METHOD(removeprefix, .params = {"prefix"}, .n_required = 1),
    METHOD(removesuffix, .params = {"suffix"}, .n_required = 1),
    METHOD(replace, .params = {"old", "new", "count"}, .n_required = 2),
    PLACE_METHOD(rfind, "sub"),
    PLACE_METHOD(rindex, "sub"),
    METHOD(rjust, .params = {"width", "fillchar"}, .n_required = 1),
    METHOD(rpartition, .params = {"sep"}, .n_required = 1),
    METHOD(rsplit, .params = {"sep", "maxsplit"}),
    METHOD(rstrip, .params = {"chars"}),
    METHOD(split, .params = {"sep", "maxsplit"}),
    METHOD(splitlines, .params = {"keepends"}),
    PLACE_METHOD(startswith, "prefix"),
    METHOD(strip, .params = {"chars"}),
    METHOD(swapcase),
    METHOD(title),
    METHOD(upper),
    METHOD(zfill, .params = {"width"}, .n_required = 1),
};
const int mn_jinja_n_string_methods = sizeof mn_jinja_string_methods / sizeof *mn_jinja_string_methods;
