#include "jinja/strings.h"

#include "base/checked.h"
#include "jinja/unicode.h"

#include <string.h>

/* A set of characters as strip takes it: an argument that is a string, or white space when it is not given. */
static bool character_set(jinja_render *r, const jinja_value *value, const jinja_string **out) {
    *out = value->kind == JINJA_STRING_KIND ? &value->string : NULL;
    if (*out || value->kind == JINJA_UNDEFINED || value->kind == JINJA_NONE) return true;
    return mn_jinja_fail(r, MN_ERR_ARGUMENT, "a string is needed, not a %s.", mn_jinja_kind_name(value));
}

static bool is_in_set(jinja_render *r, jinja_string s, size_t at, size_t n, const jinja_string *set) {
    if (set)
        return mn_jinja_spend(r, set->bytes / 16) && mn_jinja_find(*set, mn_jinja_part(s, at, at + n), 0) != SIZE_MAX;
    return mn_jinja_is_space(mn_jinja_code_point(s.text + at, n));
}

bool mn_jinja_strip(jinja_render *r, jinja_string s, const jinja_value *set, bool left, bool right, jinja_string *out) {
    const jinja_string *chars;
    if (!character_set(r, set, &chars)) return false;
    size_t begin = 0, end = s.bytes;
    while (left && begin < end) {
        size_t n = mn_jinja_char_bytes(s.text + begin, end - begin);
        if (!is_in_set(r, s, begin, n, chars)) break;
        begin += n;
    }
    while (right && end > begin) {
        size_t last = mn_jinja_step_back(s, end);
        if (last < begin || !is_in_set(r, s, last, end - last, chars)) break;
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

static uint32_t last_char(jinja_string s) {
    size_t begin = mn_jinja_step_back(s, s.bytes);
    return mn_jinja_code_point(s.text + begin, s.bytes - begin);
}

static bool push_part(jinja_render *r, jinja_list *list, jinja_string s, size_t begin, size_t end) {
    return mn_jinja_push(r, list, mn_jinja_text(mn_jinja_part(s, begin, end)));
}

/* Where the first character from `at` on that is white space, or that is none, begins; the end when there is none. */
static size_t find_space(jinja_string s, size_t at, bool wanted) {
    for (jinja_char c; mn_jinja_next_char(s, &at, &c);)
        if (mn_jinja_is_space(c.c) == wanted) return c.begin;
    return s.bytes;
}

/* The same to the left: where the run that ends at `at` of white space, or of no white space, begins. */
static size_t find_run(jinja_string s, size_t at, bool of_space) {
    while (at > 0) {
        size_t begin = mn_jinja_step_back(s, at);
        if (mn_jinja_is_space(mn_jinja_code_point(s.text + begin, at - begin)) != of_space) break;
        at = begin;
    }
    return at;
}

static bool split_on_space(jinja_render *r, jinja_string s, int64_t max, jinja_list *list) {
    for (size_t at = 0;; max--) {
        at = find_space(s, at, false);
        if (at == s.bytes) return true;
        size_t end = max == 0 ? s.bytes : find_space(s, at, true);
        if (!push_part(r, list, s, at, end)) return false;
        at = end;
    }
}

static bool split_on_space_right(jinja_render *r, jinja_string s, int64_t max, jinja_list *list) {
    for (size_t end = s.bytes;; max--) {
        end = find_run(s, end, true);
        if (end == 0) break;
        size_t begin = max == 0 ? 0 : find_run(s, end, false);
        if (!push_part(r, list, s, begin, end)) return false;
        end = begin;
    }
    for (size_t i = 0; i < list->n / 2; i++) {
        jinja_value first = list->items[i];
        list->items[i] = list->items[list->n - 1 - i];
        list->items[list->n - 1 - i] = first;
    }
    return true;
}

bool mn_jinja_split(jinja_render *r, jinja_string s, const jinja_value *separator, int64_t max, jinja_list **out) {
    const jinja_string *by;
    if (!character_set(r, separator, &by) || !mn_jinja_new_list(r, 0, out)) return false;
    if (!mn_jinja_spend(r, s.bytes)) return false;
    if (!by) return split_on_space(r, s, max, *out);
    if (by->bytes == 0) return mn_jinja_fail(r, MN_ERR_ARGUMENT, "split: the separator is empty.");
    size_t at = 0, found;
    for (; max != 0 && (found = mn_jinja_find(s, *by, at)) != SIZE_MAX; max--, at = found + by->bytes)
        if (!push_part(r, *out, s, at, found)) return false;
    return push_part(r, *out, s, at, s.bytes);
}

bool mn_jinja_split_right(jinja_render *r, jinja_string s, const jinja_value *separator, int64_t max,
                          jinja_list **out) {
    const jinja_string *by;
    jinja_list *parts;
    if (!character_set(r, separator, &by)) return false;
    if (!by) return mn_jinja_spend(r, s.bytes) && mn_jinja_new_list(r, 0, out) && split_on_space_right(r, s, max, *out);
    if (max < 0) return mn_jinja_split(r, s, separator, -1, out);
    if (by->bytes == 0) return mn_jinja_fail(r, MN_ERR_ARGUMENT, "rsplit: the separator is empty.");
    size_t end = s.bytes, n = 0;
    if (!mn_jinja_new_list(r, 0, &parts)) return false;
    for (; max > 0; max--, n++) {
        size_t found;
        if (!mn_jinja_find_last(r, s, *by, 0, end, &found)) return false;
        if (found == SIZE_MAX) break;
        if (!push_part(r, parts, s, found + by->bytes, end)) return false;
        end = found;
    }
    if (!mn_jinja_new_list(r, n + 1, out) || !push_part(r, *out, s, 0, end)) return false;
    while (n > 0) (*out)->items[(*out)->n++] = parts->items[--n];
    return true;
}

bool mn_jinja_split_lines(jinja_render *r, jinja_string s, bool keep_ends, jinja_list **out) {
    size_t line = 0, at = 0;
    if (!mn_jinja_new_list(r, 0, out) || !mn_jinja_spend(r, s.bytes)) return false;
    for (jinja_char c; mn_jinja_next_char(s, &at, &c);) {
        if (!mn_jinja_is_line_break(c.c)) continue;
        if (c.c == '\r' && at < s.bytes && s.text[at] == '\n') at++;
        if (!push_part(r, *out, s, line, keep_ends ? at : c.begin)) return false;
        line = at;
    }
    return line == s.bytes || push_part(r, *out, s, line, s.bytes);
}

bool mn_jinja_indent(jinja_render *r, jinja_string s, jinja_string by, bool first, bool blank, jinja_string *out) {
    jinja_builder b = mn_jinja_build(r);
    jinja_list *lines;
    if (!mn_jinja_split_lines(r, s, false, &lines)) return false;
    /* The filter puts "\n" behind the text before it splits: one more line, but where that completes a "\r\n". */
    bool ends_in_break = s.bytes > 0 && mn_jinja_is_line_break(last_char(s)) && last_char(s) != '\r';
    size_t n = lines->n + (ends_in_break || s.bytes == 0);
    for (size_t i = 0; i < n; i++) {
        jinja_string line = i < lines->n ? lines->items[i].string : (jinja_string){0};
        if (i > 0) mn_jinja_puts(&b, "\n");
        if (i == 0 ? first : blank || line.bytes) mn_jinja_put(&b, by);
        mn_jinja_put(&b, line);
    }
    return mn_jinja_built(&b, out);
}

static void put_times(jinja_builder *b, jinja_string s, int64_t times) {
    for (; times > 0 && s.bytes > 0 && b->render->status == MN_OK; times--) mn_jinja_put(b, s);
}

bool mn_jinja_pad(jinja_render *r, jinja_string s, jinja_string fill, int64_t n_left, int64_t n_right,
                  jinja_string *out) {
    jinja_builder b = mn_jinja_build(r);
    put_times(&b, fill, n_left);
    mn_jinja_put(&b, s);
    put_times(&b, fill, n_right);
    return mn_jinja_built(&b, out);
}

size_t mn_jinja_char_offset(jinja_string s, int64_t n) {
    size_t at = 0;
    for (; n > 0 && at < s.bytes; n--) at += mn_jinja_char_bytes(s.text + at, s.bytes - at);
    return at;
}

bool mn_jinja_escape(jinja_render *r, jinja_string s, jinja_string *out) {
    static const char special[] = "&<>'\"";
    static const char *const spellings[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    jinja_builder b = mn_jinja_build(r);
    for (size_t at = 0, end; at < s.bytes; at = end) {
        const char *found = s.text[at] ? strchr(special, s.text[at]) : NULL;
        end = at + 1;
        if (found)
            mn_jinja_put_bytes(&b, spellings[found - special], strlen(spellings[found - special]),
                               mn_jinja_marked_at(s, at));
        else {
            while (end < s.bytes && !(s.text[end] && strchr(special, s.text[end]))) end++;
            mn_jinja_put(&b, mn_jinja_part(s, at, end));
        }
    }
    bool built = mn_jinja_built(&b, out);
    out->escaped = true;
    return built;
}
