#include "grammar/json_pattern.h"

#include "base/checked.h"
#include "tokenizer/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_RANGES = 512, MAX_DEPTH = 64, MAX_COUNT = 100000 };

typedef struct range {
    uint32_t first, last;
} range;

typedef struct parser {
    mn_grammar *g;
    const char *at;
    int depth;
    range ranges[MAX_RANGES];
    int n_ranges;
    mn_error *err;
} parser;

typedef struct piece {
    int32_t start, end;
} piece;

/* ---- characters of a JSON string ---- */

static void put_escaped(mn_grammar *g, int32_t from, uint32_t c, int32_t to) {
    static const char plain[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    const char *known = c ? strchr(plain, (int)c) : NULL;
    char text[8];
    if (known)
        snprintf(text, sizeof text, "\\%c", letters[known - plain]);
    else
        snprintf(text, sizeof text, "\\u%04x", c);
    mn_grammar_nothing(g, mn_grammar_text(g, from, text, strlen(text)), to);
}

void mn_json_characters(mn_grammar *g, int32_t from, uint32_t first, uint32_t last, int32_t to) {
    for (uint32_t c = MN_MAX(first, 1); c <= last && c <= '\\'; c++)
        if (c < 0x20 || c == '"' || c == '\\') put_escaped(g, from, c, to);
    static const range plain[] = {{0x20, '"' - 1}, {'"' + 1, '\\' - 1}, {'\\' + 1, 0x10ffff}};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        uint32_t low = MN_MAX(first, plain[i].first), high = MN_MIN(last, plain[i].last);
        if (low <= high) mn_grammar_characters(g, from, low, high, to);
    }
}

/* ---- classes ---- */

static mn_status fail(const parser *p, const char *what) { return mn_fail(p->err, MN_ERR_UNSUPPORTED, "%s", what); }

static void add_range(parser *p, uint32_t first, uint32_t last) {
    if (p->n_ranges < MAX_RANGES) p->ranges[p->n_ranges++] = (range){first, last};
}

static int by_first(const void *a, const void *b) {
    const range *x = a, *y = b;
    return x->first < y->first ? -1 : x->first > y->first;
}

/* All characters but those from ranges[begin] on. */
static void invert(parser *p, int begin) {
    range kept[MAX_RANGES];
    int n = p->n_ranges - begin;
    uint32_t next = 0;
    memcpy(kept, p->ranges + begin, (size_t)n * sizeof *kept);
    qsort(kept, (size_t)n, sizeof *kept, by_first);
    p->n_ranges = begin;
    for (int i = 0; i < n; i++) {
        if (kept[i].first > next) add_range(p, next, kept[i].first - 1);
        next = MN_MAX(next, kept[i].last + 1);
    }
    if (next <= 0x10ffff) add_range(p, next, 0x10ffff);
}

static void put_class(parser *p, piece *out) {
    uint32_t next = 0;
    *out = (piece){mn_grammar_state(p->g), mn_grammar_state(p->g)};
    qsort(p->ranges, (size_t)p->n_ranges, sizeof *p->ranges, by_first);
    for (int i = 0; i < p->n_ranges; i++) {
        range r = p->ranges[i];
        if (r.last >= next) mn_json_characters(p->g, out->start, MN_MAX(r.first, next), r.last, out->end);
        next = MN_MAX(next, r.last + 1);
    }
}

/* \d and its kin; false where the letter is none of them. */
static bool add_named(parser *p, char letter) {
    int begin = p->n_ranges;
    switch (letter | 32) {
    case 'd': add_range(p, '0', '9'); break;
    case 'w':
        add_range(p, '0', '9');
        add_range(p, 'A', 'Z');
        add_range(p, '_', '_');
        add_range(p, 'a', 'z');
        break;
    case 's':
        add_range(p, '\t', '\r');
        add_range(p, ' ', ' ');
        add_range(p, 0xa0, 0xa0);
        add_range(p, 0x2028, 0x2029);
        break;
    default: return false;
    }
    if (letter < 'a') invert(p, begin);
    return true;
}

static mn_status take_hex(parser *p, int digits, uint32_t *out) {
    *out = 0;
    for (int i = 0; i < digits; i++, p->at++) {
        char c = *p->at;
        int value = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 87 : -1;
        if (value < 0) return fail(p, "\\x and \\u need 2 and 4 hexadecimal digits");
        *out = *out << 4 | (uint32_t)value;
    }
    return MN_OK;
}

/* What stands behind a backslash and is one character. */
static mn_status take_escape(parser *p, uint32_t *out) {
    static const char from[] = "nrtfv0", to[] = "\n\r\t\f\v";
    char c = *p->at;
    const char *known = c ? strchr(from, c) : NULL;
    if (!c) return fail(p, "it ends with a backslash");
    p->at++;
    if (c == 'x') return take_hex(p, 2, out);
    if (c == 'u') return take_hex(p, 4, out);
    if (known) {
        *out = (unsigned char)to[known - from];
        return MN_OK;
    }
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '1' && c <= '9') || (unsigned char)c >= 0x80)
        return fail(p, "this escape is not known here");
    *out = (unsigned char)c;
    return MN_OK;
}

static mn_status take_character(parser *p, uint32_t *out) {
    int32_t c;
    if (*p->at == '\\') {
        p->at++;
        return take_escape(p, out);
    }
    p->at += mn_utf8_next_of(p->at, &c);
    *out = (uint32_t)c;
    return c < MN_UTF8_INVALID ? MN_OK : fail(p, "it is no UTF-8");
}

static mn_status take_class(parser *p, piece *out) {
    bool negated = *p->at == '^';
    p->at += negated;
    for (p->n_ranges = 0; *p->at != ']';) {
        range r;
        if (!*p->at) return fail(p, "a class of characters is not closed");
        if (p->n_ranges > MAX_RANGES / 2) return fail(p, "a class of characters has too many ranges");
        if (*p->at == '\\' && p->at[1] && add_named(p, p->at[1])) {
            p->at += 2;
            continue;
        }
        MN_TRY(take_character(p, &r.first));
        r.last = r.first;
        if (p->at[0] == '-' && p->at[1] && p->at[1] != ']') {
            p->at++;
            MN_TRY(take_character(p, &r.last));
        }
        if (r.last < r.first) return fail(p, "a range of characters runs backwards");
        add_range(p, r.first, r.last);
    }
    p->at++;
    if (negated) invert(p, 0);
    put_class(p, out);
    return MN_OK;
}

/* ---- the expression ---- */

static mn_status take_alternatives(parser *p, piece *out);

static mn_status take_group(parser *p, piece *out) {
    if (p->at[0] == '?' && p->at[1] != ':') return fail(p, "look-around and named groups are not there");
    if (p->at[0] == '?') p->at += 2;
    if (++p->depth > MAX_DEPTH) return fail(p, "groups are nested too deeply");
    MN_TRY(take_alternatives(p, out));
    p->depth--;
    return *p->at++ == ')' ? MN_OK : fail(p, "a group is not closed");
}

static mn_status take_atom(parser *p, piece *out) {
    p->n_ranges = 0;
    char c = *p->at;
    if (strchr("*+?{})]", c)) return fail(p, "a repetition or a bracket stands where nothing precedes it");
    if (c == '^' || c == '$') return fail(p, "^ and $ are known at its ends only");
    if (c == '(' || c == '[') {
        p->at++;
        return c == '(' ? take_group(p, out) : take_class(p, out);
    }
    if (c == '.') {
        p->at++;
        add_range(p, '\n', '\n');
        add_range(p, '\r', '\r');
        add_range(p, 0x2028, 0x2029);
        invert(p, 0);
    } else if (c == '\\' && p->at[1] && add_named(p, p->at[1])) {
        p->at += 2;
    } else {
        uint32_t one;
        MN_TRY(take_character(p, &one));
        add_range(p, one, one);
    }
    put_class(p, out);
    return MN_OK;
}

static mn_status take_counts(parser *p, int64_t *min, int64_t *max) {
    char *end;
    if (*p->at < '0' || *p->at > '9') return fail(p, "a repetition is {n}, {n,} or {m,n}");
    *min = *max = strtol(p->at, &end, 10);
    if (*end == ',') {
        *max = -1;
        end++;
        if (*end >= '0' && *end <= '9') *max = strtol(end, &end, 10);
    }
    p->at = end;
    if (*p->at++ != '}') return fail(p, "a repetition is {n}, {n,} or {m,n}");
    if (*min > MAX_COUNT || *max > MAX_COUNT) return fail(p, "a repetition is of more than 100000 times");
    return *max < 0 || *max >= *min ? MN_OK : fail(p, "a repetition {m,n} has m above n");
}

static mn_status take_repetition(parser *p, piece *out) {
    char c = *p->at++;
    int64_t min = c == '+', max = c == '?' ? 1 : -1;
    if (c == '{') MN_TRY(take_counts(p, &min, &max));
    if (*p->at == '?' || *p->at == '+') return fail(p, "lazy and possessive repetition are not there");
    int32_t rule = mn_grammar_add_rule(p->g, "a repetition", 0), start = mn_grammar_state(p->g);
    mn_grammar_define(p->g, rule, out->start, out->end);
    *out = (piece){start, mn_grammar_repeat(p->g, start, rule, min, max)};
    return MN_OK;
}

static bool is_last_dollar(const char *at) { return at[0] == '$' && !at[1]; }

static mn_status take_row(parser *p, piece *out) {
    out->start = out->end = mn_grammar_state(p->g);
    while (*p->at && *p->at != '|' && *p->at != ')' && !(p->depth == 0 && is_last_dollar(p->at))) {
        piece next;
        if (p->g->failed) return mn_grammar_check(p->g, p->err);
        MN_TRY(take_atom(p, &next));
        while (*p->at && strchr("*+?{", *p->at)) MN_TRY(take_repetition(p, &next));
        mn_grammar_nothing(p->g, out->end, next.start);
        out->end = next.end;
    }
    return MN_OK;
}

static mn_status take_alternatives(parser *p, piece *out) {
    *out = (piece){mn_grammar_state(p->g), mn_grammar_state(p->g)};
    for (;; p->at++) {
        piece row;
        MN_TRY(take_row(p, &row));
        mn_grammar_nothing(p->g, out->start, row.start);
        mn_grammar_nothing(p->g, row.end, out->end);
        if (*p->at != '|') return MN_OK;
    }
}

/* ^a|b$ anchors each alternative at one end only. */
static bool anchors_a_part(const char *pattern) {
    int depth = 0;
    bool in_class = false;
    for (const char *at = pattern; *at; at++) {
        if (*at == '\\' && at[1])
            at++;
        else if (in_class || *at == '[')
            in_class = *at != ']';
        else if (*at == '|' && depth == 0)
            return *pattern == '^' || is_last_dollar(pattern + strlen(pattern) - 1);
        else
            depth += (*at == '(') - (*at == ')');
    }
    return false;
}

static int32_t put_anything(mn_grammar *g, int32_t from) {
    int32_t loop = mn_grammar_state(g);
    mn_grammar_nothing(g, from, loop);
    mn_json_characters(g, loop, 1, 0x10ffff, loop);
    return loop;
}

mn_status mn_json_pattern(mn_grammar *g, int32_t from, const char *pattern, int32_t *to, mn_error *err) {
    parser p = {.g = g, .at = pattern, .err = err};
    piece body;
    if (anchors_a_part(pattern)) return fail(&p, "^ and $ beside | count for one alternative; put a group around them");
    bool anchored = *p.at == '^';
    p.at += anchored;
    from = mn_grammar_text(g, from, "\"", 1);
    if (!anchored) from = put_anything(g, from);
    MN_TRY(take_alternatives(&p, &body));
    mn_grammar_nothing(g, from, body.start);
    from = body.end;
    if (is_last_dollar(p.at))
        p.at++;
    else if (!*p.at)
        from = put_anything(g, from);
    if (*p.at) return fail(&p, "a bracket is closed that was not opened");
    *to = mn_grammar_text(g, from, "\"", 1);
    return MN_OK;
}
