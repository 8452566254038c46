/* Upper and lower case as Python's str has them. */
#include "jinja/strings.h"
#include "jinja/unicode.h"

#include <string.h>

enum { CAPITAL_SIGMA = 0x3a3, SIGMA = 0x3c3, FINAL_SIGMA = 0x3c2 };

/* Whether the next character before `at`, or behind it, that is not ignorable is cased. */
static bool cased_before(jinja_string s, size_t at) {
    while (at > 0) {
        size_t begin = mn_jinja_step_back(s, at);
        uint32_t c = mn_jinja_code_point(s.text + begin, at - begin);
        if (!mn_jinja_is_case_ignorable(c)) return mn_jinja_is_cased(c);
        at = begin;
    }
    return false;
}

static bool cased_behind(jinja_string s, size_t at) {
    for (jinja_char c; mn_jinja_next_char(s, &at, &c);)
        if (!mn_jinja_is_case_ignorable(c.c)) return mn_jinja_is_cased(c.c);
    return false;
}

/* A capital sigma becomes another letter at the end of a word. */
static size_t lower(jinja_string s, jinja_char c, uint32_t out[JINJA_MAX_CASE_CHARS]) {
    if (c.c != CAPITAL_SIGMA) return mn_jinja_to_lower(c.c, out);
    bool is_final = cased_before(s, c.begin) && !cased_behind(s, c.begin + c.bytes);
    out[0] = is_final ? FINAL_SIGMA : SIGMA;
    return 1;
}

/* Whether |title begins a word behind this character. */
static bool separates(uint32_t c) { return mn_jinja_is_space(c) || (c < 0x80 && c && strchr("-({[<", (int)c)); }

/* |title lowers what is behind a word's first letter by itself: a sigma there is not at the end of a word of two. */
static size_t lower_in_rest(jinja_string s, jinja_char c, size_t rest, uint32_t out[JINJA_MAX_CASE_CHARS]) {
    size_t end = c.begin, at = c.begin;
    if (c.c != CAPITAL_SIGMA) return mn_jinja_to_lower(c.c, out);
    for (jinja_char next; mn_jinja_next_char(s, &at, &next) && !separates(next.c);) end = at;
    c.begin -= rest;
    return lower(mn_jinja_part(s, rest, end), c, out);
}

/* The character before, and where the rest of |title's word begins. */
typedef struct context {
    uint32_t previous;
    size_t rest;
} context;

static size_t change(jinja_string s, jinja_char c, jinja_case to, context *around, uint32_t out[JINJA_MAX_CASE_CHARS]) {
    bool first = c.begin == 0;
    switch (to) {
    case JINJA_UPPER: return mn_jinja_to_upper(c.c, out);
    case JINJA_LOWER: return lower(s, c, out);
    case JINJA_CASEFOLD: return mn_jinja_fold_case(c.c, out);
    case JINJA_CAPITALIZE: return first ? mn_jinja_to_title(c.c, out) : lower(s, c, out);
    case JINJA_TITLE:
        return !first && mn_jinja_is_cased(around->previous) ? lower(s, c, out) : mn_jinja_to_title(c.c, out);
    case JINJA_TITLE_FILTER:
        if (!first && !separates(around->previous)) return lower_in_rest(s, c, around->rest, out);
        around->rest = c.begin + c.bytes;
        return mn_jinja_to_upper(c.c, out);
    default:
        if (mn_jinja_is_upper(c.c)) return lower(s, c, out);
        if (mn_jinja_is_lower(c.c)) return mn_jinja_to_upper(c.c, out);
        out[0] = c.c;
        return 1;
    }
}

bool mn_jinja_change_case(jinja_render *r, jinja_string s, jinja_case to, jinja_string *out) {
    jinja_builder b = mn_jinja_build(r);
    context around = {' ', 0};
    jinja_char c;
    if (!mn_jinja_spend(r, s.bytes)) return false;
    for (size_t at = 0; mn_jinja_next_char(s, &at, &c); around.previous = c.c) {
        uint32_t changed[JINJA_MAX_CASE_CHARS];
        size_t n = change(s, c, to, &around, changed);
        if (n == 1 && changed[0] == c.c)
            mn_jinja_put(&b, mn_jinja_part(s, c.begin, at));
        else
            for (size_t i = 0; i < n; i++) mn_jinja_put_char(&b, changed[i], mn_jinja_marked_at(s, c.begin));
    }
    return mn_jinja_built(&b, out);
}
