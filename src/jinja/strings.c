#include "jinja/strings.h"

#include <string.h>
#include <utf8proc.h>

/* What Python's str.isspace says. */
static bool is_space(uint32_t c) {
    return (c >= 9 && c <= 13) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

static bool is_letter(uint32_t c) {
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)c);
    return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

static bool starts_word(jinja_case to, uint32_t previous) {
    if (to == JINJA_TITLE) return !is_letter(previous);
    return is_space(previous) || (previous < 0x80 && strchr("-({[<", (int)previous));
}

static uint32_t change(uint32_t c, jinja_case to, uint32_t previous, bool is_first) {
    bool up = to == JINJA_UPPER || (to != JINJA_LOWER && is_first) || (to >= JINJA_TITLE && starts_word(to, previous));
    utf8proc_int32_t point = (utf8proc_int32_t)c;
    return (uint32_t)(up ? utf8proc_toupper(point) : utf8proc_tolower(point));
}

bool mn_jinja_change_case(jinja_render *r, jinja_string s, jinja_case to, jinja_string *out) {
    jinja_builder b = mn_jinja_build(r);
    uint32_t previous = ' ';
    if (!mn_jinja_spend(r, s.bytes)) return false;
    for (size_t at = 0, n; at < s.bytes; at += n) {
        n = mn_jinja_char_bytes(s.text + at, s.bytes - at);
        uint32_t c = mn_jinja_code_point(s.text + at, n), changed = change(c, to, previous, at == 0);
        bool is_stray_byte = n == 1 && c >= 0x80;
        previous = c;
        if (changed == c || is_stray_byte)
            mn_jinja_put(&b, mn_jinja_part(s, at, at + n));
        else {
            utf8proc_uint8_t text[4];
            utf8proc_ssize_t bytes = utf8proc_encode_char((utf8proc_int32_t)changed, text);
            mn_jinja_put_bytes(&b, (const char *)text, (size_t)bytes, s.marks && s.marks[at]);
        }
    }
    return mn_jinja_built(&b, out);
}

/* A set of characters as strip takes it: an argument that is a string, or white space when it is not given. */
static bool character_set(jinja_render *r, const jinja_value *value, const jinja_string **out) {
    *out = value->kind == JINJA_STRING_KIND ? &value->string : NULL;
    if (*out || value->kind == JINJA_UNDEFINED || value->kind == JINJA_NONE) return true;
    return mn_jinja_fail(r, MN_ERR_ARGUMENT, "a string is needed, not a %s.", mn_jinja_kind_name(value));
}

static bool is_in_set(jinja_string s, size_t at, size_t n, const jinja_string *set) {
    if (set) return mn_jinja_find(*set, mn_jinja_part(s, at, at + n), 0) != SIZE_MAX;
    return is_space(mn_jinja_code_point(s.text + at, n));
}

/* Where the last character before `end` begins. */
static size_t step_back(jinja_string s, size_t end) {
    for (size_t n = 2; n <= 4 && n <= end; n++)
        if (mn_jinja_char_bytes(s.text + end - n, n) == n) return end - n;
    return end - 1;
}

bool mn_jinja_strip(jinja_render *r, jinja_string s, const jinja_value *set, bool left, bool right, jinja_string *out) {
    const jinja_string *chars;
    if (!character_set(r, set, &chars)) return false;
    size_t begin = 0, end = s.bytes;
    while (left && begin < end) {
        size_t n = mn_jinja_char_bytes(s.text + begin, end - begin);
        if (!is_in_set(s, begin, n, chars)) break;
        begin += n;
    }
    while (right && end > begin) {
        size_t last = step_back(s, end);
        if (last < begin || !is_in_set(s, last, end - last, chars)) break;
        end = last;
    }
    *out = mn_jinja_part(s, begin, end);
    return mn_jinja_spend(r, (begin + s.bytes - end) / 16);
}

/* Python puts new before every character, and at the end, where old is empty. */
static bool interleave(jinja_render *r, jinja_string s, jinja_string new, int64_t max, jinja_string *out) {
    jinja_builder b = mn_jinja_build(r);
    size_t at = 0;
    for (; max != 0 && at < s.bytes; max--) {
        size_t n = mn_jinja_char_bytes(s.text + at, s.bytes - at);
        mn_jinja_put(&b, new);
        mn_jinja_put(&b, mn_jinja_part(s, at, at + n));
        at += n;
    }
    mn_jinja_put(&b, max != 0 ? new : mn_jinja_part(s, at, s.bytes));
    return mn_jinja_built(&b, out);
}

bool mn_jinja_replace(jinja_render *r, jinja_string s, jinja_string old, jinja_string new, int64_t max,
                      jinja_string *out) {
    if (old.bytes == 0) return interleave(r, s, new, max, out);
    jinja_builder b = mn_jinja_build(r);
    size_t at = 0, found;
    for (; max != 0 && (found = mn_jinja_find(s, old, at)) != SIZE_MAX; max--) {
        if (!mn_jinja_spend(r, 1)) return false;
        mn_jinja_put(&b, mn_jinja_part(s, at, found));
        mn_jinja_put(&b, new);
        at = found + old.bytes;
    }
    mn_jinja_put(&b, mn_jinja_part(s, at, s.bytes));
    return mn_jinja_built(&b, out);
}

static bool push_part(jinja_render *r, jinja_list *list, jinja_string s, size_t begin, size_t end) {
    return mn_jinja_push(r, list, mn_jinja_text(mn_jinja_part(s, begin, end)));
}

static bool split_on_space(jinja_render *r, jinja_string s, int64_t max, jinja_list *list) {
    const jinja_value no_set = mn_jinja_undefined(NULL);
    for (;; max--) {
        if (!mn_jinja_strip(r, s, &no_set, true, false, &s)) return false;
        if (s.bytes == 0) return true;
        if (max == 0) return push_part(r, list, s, 0, s.bytes);
        size_t at = 0, n = 0;
        for (; at < s.bytes; at += n) {
            n = mn_jinja_char_bytes(s.text + at, s.bytes - at);
            if (is_space(mn_jinja_code_point(s.text + at, n))) break;
        }
        if (!push_part(r, list, s, 0, at)) return false;
        s = mn_jinja_part(s, at, s.bytes);
    }
}

bool mn_jinja_split(jinja_render *r, jinja_string s, const jinja_value *separator, int64_t max, jinja_list **out) {
    const jinja_string *by;
    if (!character_set(r, separator, &by) || !mn_jinja_new_list(r, 0, out)) return false;
    if (!mn_jinja_spend(r, s.bytes / 16)) return false;
    if (!by) return split_on_space(r, s, max, *out);
    if (by->bytes == 0) return mn_jinja_fail(r, MN_ERR_ARGUMENT, "split: the separator is empty.");
    size_t at = 0, found;
    for (; max != 0 && (found = mn_jinja_find(s, *by, at)) != SIZE_MAX; max--, at = found + by->bytes)
        if (!push_part(r, *out, s, at, found)) return false;
    return push_part(r, *out, s, at, s.bytes);
}

bool mn_jinja_split_right(jinja_render *r, jinja_string s, jinja_string separator, int64_t max, jinja_list **out) {
    const jinja_value by = mn_jinja_text(separator);
    jinja_list *parts;
    if (!mn_jinja_split(r, s, &by, -1, &parts)) return false;
    *out = parts;
    if (max < 0 || parts->n <= (size_t)max + 1) return true;
    /* All but the last `max` parts are one: the string up to where they begin. */
    size_t n_joined = parts->n - (size_t)max, joined_bytes = (n_joined - 1) * separator.bytes;
    for (size_t i = 0; i < n_joined; i++) joined_bytes += parts->items[i].string.bytes;
    if (!mn_jinja_new_list(r, (size_t)max + 1, out) || !push_part(r, *out, s, 0, joined_bytes)) return false;
    for (size_t i = n_joined; i < parts->n; i++)
        if (!mn_jinja_push(r, *out, parts->items[i])) return false;
    return true;
}

bool mn_jinja_indent(jinja_render *r, jinja_string s, jinja_string by, bool first, bool blank, jinja_string *out) {
    jinja_builder b = mn_jinja_build(r);
    if (first) mn_jinja_put(&b, by);
    for (size_t at = 0; at < s.bytes;) {
        size_t newline = mn_jinja_find(s, JINJA_STRING("\n"), at);
        size_t end = newline == SIZE_MAX ? s.bytes : newline + 1;
        mn_jinja_put(&b, mn_jinja_part(s, at, end));
        bool next_is_blank = end == s.bytes || s.text[end] == '\n';
        if (newline != SIZE_MAX && (blank || !next_is_blank)) mn_jinja_put(&b, by);
        at = end;
    }
    return mn_jinja_built(&b, out);
}
