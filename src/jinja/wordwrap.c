/* |wordwrap: the lines of a text broken to a width, as Python's textwrap does it. */
#include "base/checked.h"
#include "jinja/builtins.h"
#include "jinja/strings.h"
#include "jinja/unicode.h"

#include <string.h>

typedef struct wrapper {
    jinja_render *render;
    size_t width;
    bool break_long, break_hyphens;
    jinja_string line; /* what is being wrapped */
    uint32_t *chars;   /* [n] of the line */
    size_t *begins;    /* [n + 1] where each begins */
    size_t n, at;      /* at: the first that is not in the result */
    jinja_builder out;
    jinja_string separator;
} wrapper;

static bool is_space(uint32_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
static bool is_letter(uint32_t c) { return c == '_' || mn_jinja_is_alpha(c); }
static bool is_word_mark(uint32_t c) { return mn_jinja_is_word(c) || (c && c < 0x80 && strchr("!\"'&.,?", (int)c)); }

static uint32_t char_at(const wrapper *w, size_t i) { return i < w->n ? w->chars[i] : 0; }

/* Whether two or more dashes between words begin at i; *end gets theirs. */
static bool at_dashes(const wrapper *w, size_t i, size_t *end) {
    for (*end = i; char_at(w, *end) == '-';) ++*end;
    return i > 0 && *end - i >= 2 && is_word_mark(w->chars[i - 1]) && mn_jinja_is_word(char_at(w, *end));
}

/* Whether a line may break behind the hyphen at i: letters stand around it. */
static bool at_hyphen(const wrapper *w, size_t i) {
    if (char_at(w, i) != '-' || i < 2 || !is_letter(w->chars[i - 1])) return false;
    bool before = is_letter(w->chars[i - 2]) || (i >= 3 && w->chars[i - 2] == '-' && is_letter(w->chars[i - 3]));
    size_t second = i + 2 + (char_at(w, i + 2) == '-');
    return before && is_letter(char_at(w, i + 1)) && is_letter(char_at(w, second));
}

/* The end of the chunk at i, which no line breaks: white space, dashes, a word, a part of one with its hyphen. */
static size_t chunk_end(const wrapper *w, size_t i) {
    bool space = is_space(w->chars[i]);
    size_t end;
    if (w->break_hyphens && !space && at_dashes(w, i, &end)) return end;
    for (i++; i < w->n && is_space(w->chars[i]) == space; i++) {
        if (space || !w->break_hyphens) continue;
        if (at_hyphen(w, i)) return i + 1;
        if (at_dashes(w, i, &end)) return i;
    }
    return i;
}

/* How much of a chunk longer than the width goes on a line with room for so many characters. */
static size_t cut_long(const wrapper *w, size_t begin, size_t end, size_t room) {
    if (!w->break_hyphens) return begin + room;
    for (size_t i = MN_MIN(begin + room, end); i-- > begin + 1;) {
        if (w->chars[i] != '-') continue;
        for (size_t k = begin; k < i; k++)
            if (w->chars[k] != '-') return i + 1;
        break;
    }
    return begin + room;
}

/* The next line of the result: [begin, *end) of the characters, white space at its end dropped. */
static size_t take_line(wrapper *w, size_t *end) {
    size_t begin = w->at, last_space = SIZE_MAX;
    *end = begin;
    while (*end < w->n) {
        size_t next = chunk_end(w, *end), used = *end - begin;
        if (next - begin > w->width) {
            if (next - *end <= w->width) break;
            if (!w->break_long && used > 0) break;
            next = w->break_long ? cut_long(w, *end, next, w->width - used) : next;
            last_space = next > *end && is_space(w->chars[*end]) ? *end : SIZE_MAX;
            *end = next;
            break;
        }
        last_space = is_space(w->chars[*end]) ? *end : SIZE_MAX;
        *end = next;
    }
    w->at = *end;
    if (last_space != SIZE_MAX) *end = last_space;
    return begin;
}

static bool read_chars(wrapper *w, jinja_string line) {
    size_t at = 0, n = mn_jinja_n_chars(line);
    w->line = line;
    w->n = w->at = 0;
    w->chars = mn_jinja_alloc(w->render, n, sizeof *w->chars);
    w->begins = mn_jinja_alloc(w->render, n + 1, sizeof *w->begins);
    if (!w->chars || !w->begins) return false;
    for (jinja_char c; mn_jinja_next_char(line, &at, &c); w->n++) {
        w->chars[w->n] = c.c;
        w->begins[w->n] = c.begin;
    }
    w->begins[w->n] = line.bytes;
    return true;
}

static bool wrap(wrapper *w, jinja_string line) {
    bool has_lines = false;
    if (!read_chars(w, line)) return false;
    while (w->at < w->n) {
        size_t end;
        if (has_lines && is_space(w->chars[w->at])) w->at = chunk_end(w, w->at);
        size_t before = w->at, begin = take_line(w, &end);
        if (!mn_jinja_spend(w->render, 1 + (w->at - before) / 4)) return false;
        if (end == begin) continue;
        if (has_lines) mn_jinja_put(&w->out, w->separator);
        has_lines = true;
        mn_jinja_put(&w->out, mn_jinja_part(w->line, w->begins[begin], w->begins[end]));
    }
    return true;
}

bool mn_jinja_filter_wordwrap(jinja_render *r, const jinja_args *args, jinja_value *out) {
    const jinja_value *v = args->values;
    int64_t width = 79;
    jinja_string s;
    jinja_list *lines;
    wrapper w = {.render = r, .out = mn_jinja_build(r), .separator = JINJA_STRING("\n")};
    if (!mn_jinja_need_string(r, "wordwrap", &args->self, &s) || !mn_jinja_need_integer(r, "wordwrap", &v[0], &width))
        return false;
    if (mn_jinja_stated(&v[2]) && !mn_jinja_need_string(r, "wordwrap", &v[2], &w.separator)) return false;
    if (width < 1) return mn_jinja_fail(r, MN_ERR_ARGUMENT, "wordwrap: the width is less than 1.");
    w.width = (size_t)width;
    w.break_long = !mn_jinja_given(&v[1]) || mn_jinja_truth(&v[1]);
    w.break_hyphens = !mn_jinja_given(&v[3]) || mn_jinja_truth(&v[3]);
    if (!mn_jinja_split_lines(r, s, false, &lines)) return false;
    for (size_t i = 0; i < lines->n; i++) {
        if (i) mn_jinja_put(&w.out, w.separator);
        if (!wrap(&w, lines->items[i].string)) return false;
    }
    return mn_jinja_built(&w.out, &s) && mn_jinja_give_text(out, s);
}
