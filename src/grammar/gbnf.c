#include "grammar/gbnf.h"

#include "base/checked.h"
#include "base/intern.h"
#include "tokenizer/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 128, MAX_RANGES = 4096, MAX_NAME = 255 };

typedef struct range {
    uint32_t first, last;
} range;

typedef struct parser {
    mn_grammar *g;
    const char *at, *end;
    int line, depth;
    mn_intern names;
    int32_t *rules; /* [names.n] */
    int32_t n_rules;
    range ranges[MAX_RANGES]; /* of the class under way */
    int n_ranges;
    mn_error *err;
} parser;

/* What was parsed last: from its first state to its last. */
typedef struct piece {
    int32_t start, end;
} piece;

static mn_status fail(const parser *p, const char *what) {
    return mn_fail(p->err, MN_ERR_FORMAT, "line %d: %s", p->line, what);
}

static mn_status check_size(const parser *p) {
    if (!p->g->failed) return MN_OK;
    if (p->g->failed == MN_ERR_MEMORY)
        return mn_fail(p->err, MN_ERR_MEMORY, "There is no memory for a grammar of %d states.", p->g->n_states);
    return mn_fail(p->err, MN_ERR_LIMIT,
                   "line %d: the grammar becomes larger than %d states; fewer or smaller repetitions make it smaller.",
                   p->line, MN_GRAMMAR_MAX_STATES);
}

static int peek(const parser *p) { return p->at < p->end ? (unsigned char)*p->at : -1; }

static bool take(parser *p, char c) {
    if (peek(p) != c) return false;
    p->at++;
    return true;
}

static void skip_blanks(parser *p, bool lines) {
    for (; p->at < p->end; p->at++) {
        if (*p->at == '#')
            while (p->at < p->end && *p->at != '\n') p->at++;
        if (p->at == p->end || !strchr(lines ? " \t\r\n" : " \t\r", *p->at) || !*p->at) return;
        if (*p->at == '\n') p->line++;
    }
}

static bool is_name(int c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* ---- characters ---- */

static mn_status take_hex(parser *p, int digits, uint32_t *out) {
    *out = 0;
    for (int i = 0; i < digits; i++, p->at++) {
        int c = peek(p), value = c >= '0' && c <= '9'                 ? c - '0'
                                 : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 87
                                                                      : -1;
        if (c < 0 || value < 0) return fail(p, "\\x, \\u and \\U need 2, 4 and 8 hexadecimal digits.");
        *out = *out << 4 | (uint32_t)value;
    }
    return *out <= 0x10ffff ? MN_OK : fail(p, "\\U stands for no character of Unicode.");
}

static mn_status take_escape(parser *p, uint32_t *out) {
    static const char from[] = "nrt\\\"[]-^", to[] = "\n\r\t\\\"[]-^";
    int c = peek(p);
    p->at += c >= 0;
    if (c == 'x') return take_hex(p, 2, out);
    if (c == 'u') return take_hex(p, 4, out);
    if (c == 'U') return take_hex(p, 8, out);
    const char *known = c > 0 ? strchr(from, c) : NULL;
    if (!known) return fail(p, "a backslash stands before n, r, t, \\, \", [, ], -, ^, x, u or U.");
    *out = (unsigned char)to[known - from];
    return MN_OK;
}

static mn_status take_character(parser *p, uint32_t *out) {
    int32_t c;
    if (peek(p) < 0 || peek(p) == '\n') return fail(p, "a string or a class of characters is not closed.");
    if (take(p, '\\')) return take_escape(p, out);
    p->at += mn_utf8_next(p->at, (size_t)(p->end - p->at), &c);
    *out = (uint32_t)c;
    return c < MN_UTF8_INVALID ? MN_OK : fail(p, "this is not UTF-8.");
}

static mn_status take_string(parser *p, piece *out) {
    out->start = out->end = mn_grammar_state(p->g);
    while (!take(p, '"')) {
        uint32_t c;
        MN_TRY(take_character(p, &c));
        if (c >= 0xd800 && c <= 0xdfff) return fail(p, "a surrogate is no character; write \\U with its code point.");
        int32_t to = mn_grammar_state(p->g);
        mn_grammar_characters(p->g, out->end, c, c, to);
        out->end = to;
    }
    return MN_OK;
}

static int by_first(const void *a, const void *b) {
    const range *x = a, *y = b;
    return x->first < y->first ? -1 : x->first > y->first;
}

/* Each character once, in one way. */
static void add_ranges(parser *p, bool negated, piece *out) {
    uint32_t next = 0; /* all below is dealt with */
    qsort(p->ranges, (size_t)p->n_ranges, sizeof *p->ranges, by_first);
    for (int i = 0; i < p->n_ranges; i++) {
        range r = p->ranges[i];
        if (negated && r.first > next) mn_grammar_characters(p->g, out->start, next, r.first - 1, out->end);
        if (!negated && r.last >= next)
            mn_grammar_characters(p->g, out->start, MN_MAX(r.first, next), r.last, out->end);
        next = MN_MAX(next, r.last + 1);
    }
    if (negated) mn_grammar_characters(p->g, out->start, next, 0x10ffff, out->end);
}

static mn_status take_class(parser *p, piece *out) {
    bool negated = take(p, '^');
    *out = (piece){mn_grammar_state(p->g), mn_grammar_state(p->g)};
    for (p->n_ranges = 0; !take(p, ']'); p->n_ranges++) {
        range r;
        if (p->n_ranges == MAX_RANGES) return fail(p, "a class of characters has more than 4096 ranges.");
        MN_TRY(take_character(p, &r.first));
        r.last = r.first;
        if (p->end - p->at > 1 && p->at[0] == '-' && p->at[1] != ']') {
            p->at++;
            MN_TRY(take_character(p, &r.last));
        }
        if (r.last < r.first) return fail(p, "a range of characters runs backwards.");
        p->ranges[p->n_ranges] = r;
    }
    add_ranges(p, negated, out);
    return MN_OK;
}

/* ---- rules ---- */

static mn_status name_rule(parser *p, int32_t *rule) {
    const char *begin = p->at;
    while (is_name(peek(p))) p->at++;
    size_t bytes = (size_t)(p->at - begin);
    char name[MAX_NAME + 1];
    if (bytes == 0) return fail(p, "a rule's name is missing: letters, digits and - make one.");
    if (bytes > MAX_NAME) return fail(p, "a rule's name has more than 255 characters.");
    snprintf(name, sizeof name, "%.*s", (int)bytes, begin);
    uint32_t id = mn_intern_put(&p->names, begin, bytes);
    if (id != MN_INTERN_NONE && (int32_t)id == p->n_rules) {
        int32_t *larger = realloc(p->rules, ((size_t)p->n_rules + 1) * sizeof *larger);
        if (larger) {
            p->rules = larger;
            p->rules[p->n_rules++] = mn_grammar_add_rule(p->g, name, p->line);
        }
    }
    if (id == MN_INTERN_NONE || (int32_t)id >= p->n_rules)
        return mn_fail(p->err, MN_ERR_MEMORY, "There is no memory for the rules of a grammar.");
    *rule = p->rules[id];
    return MN_OK;
}

static mn_status take_count(parser *p, int64_t *out) {
    if (peek(p) < '0' || peek(p) > '9') return fail(p, "a repetition is {n}, {n,} or {m,n}.");
    for (*out = 0; peek(p) >= '0' && peek(p) <= '9'; p->at++) {
        *out = *out * 10 + (peek(p) - '0');
        if (*out > MN_GRAMMAR_MAX_STATES)
            return mn_fail(p->err, MN_ERR_LIMIT, "line %d: a repetition of more than %d times is too large.", p->line,
                           MN_GRAMMAR_MAX_STATES);
    }
    return MN_OK;
}

static mn_status take_counts(parser *p, int64_t *min, int64_t *max) {
    skip_blanks(p, false);
    MN_TRY(take_count(p, min));
    *max = *min;
    skip_blanks(p, false);
    if (take(p, ',')) {
        *max = -1;
        skip_blanks(p, false);
        if (peek(p) != '}') MN_TRY(take_count(p, max));
    }
    skip_blanks(p, false);
    if (!take(p, '}')) return fail(p, "a repetition is {n}, {n,} or {m,n}.");
    return *max < 0 || *max >= *min ? MN_OK : fail(p, "a repetition {m,n} has m above n.");
}

/* The piece as often as is written behind it. */
static mn_status take_repetition(parser *p, piece *out) {
    int64_t min = p->at < p->end && *p->at == '+', max = peek(p) == '?' ? 1 : -1;
    int32_t start = mn_grammar_state(p->g), end = mn_grammar_state(p->g);
    if (take(p, '{')) {
        MN_TRY(take_counts(p, &min, &max));
        int32_t rule = mn_grammar_add_rule(p->g, "a repetition", p->line);
        mn_grammar_define(p->g, rule, out->start, out->end);
        *out = (piece){start, mn_grammar_repeat(p->g, start, rule, min, max)};
        return MN_OK;
    }
    p->at++;
    mn_grammar_nothing(p->g, start, out->start);
    mn_grammar_nothing(p->g, out->end, end);
    if (min == 0) mn_grammar_nothing(p->g, start, end);
    if (max < 0) mn_grammar_nothing(p->g, out->end, out->start);
    *out = (piece){start, end};
    return MN_OK;
}

static mn_status take_alternatives(parser *p, piece *out);

static mn_status take_element(parser *p, piece *out) {
    if (take(p, '"')) return take_string(p, out);
    if (take(p, '[')) return take_class(p, out);
    if (take(p, '(')) {
        if (++p->depth > MAX_DEPTH) return fail(p, "groups are nested more than 128 deep.");
        skip_blanks(p, true);
        MN_TRY(take_alternatives(p, out));
        p->depth--;
        return take(p, ')') ? MN_OK : fail(p, "a group is not closed.");
    }
    *out = (piece){mn_grammar_state(p->g), mn_grammar_state(p->g)};
    if (take(p, '.')) {
        mn_grammar_characters(p->g, out->start, 0, 0x10ffff, out->end);
        return MN_OK;
    }
    int32_t rule;
    MN_TRY(name_rule(p, &rule));
    mn_grammar_call(p->g, out->start, rule, out->end);
    return MN_OK;
}

static bool begins_element(int c) { return c == '"' || c == '[' || c == '(' || c == '.' || is_name(c); }

static bool is_repetition(int c) { return c == '*' || c == '+' || c == '?' || c == '{'; }

static mn_status take_row(parser *p, piece *out) {
    out->start = out->end = mn_grammar_state(p->g);
    while (begins_element(peek(p))) {
        piece next;
        MN_TRY(take_element(p, &next));
        skip_blanks(p, p->depth > 0);
        while (is_repetition(peek(p))) {
            MN_TRY(take_repetition(p, &next));
            skip_blanks(p, p->depth > 0);
            MN_TRY(check_size(p));
        }
        MN_TRY(check_size(p));
        mn_grammar_nothing(p->g, out->end, next.start);
        out->end = next.end;
    }
    return MN_OK;
}

/* A line that begins with | goes on with the rule above. */
static bool goes_on(parser *p) {
    const char *at = p->at;
    int line = p->line;
    skip_blanks(p, true);
    if (take(p, '|')) return true;
    p->at = at;
    p->line = line;
    return false;
}

static mn_status take_alternatives(parser *p, piece *out) {
    *out = (piece){mn_grammar_state(p->g), mn_grammar_state(p->g)};
    do {
        piece row;
        skip_blanks(p, true);
        MN_TRY(take_row(p, &row));
        mn_grammar_nothing(p->g, out->start, row.start);
        mn_grammar_nothing(p->g, row.end, out->end);
        if (p->depth > 0) skip_blanks(p, true);
    } while (goes_on(p));
    return check_size(p);
}

static mn_status take_rule(parser *p) {
    int32_t rule;
    int line = p->line;
    MN_TRY(name_rule(p, &rule));
    if (p->g->failed) return check_size(p);
    skip_blanks(p, false);
    if (p->end - p->at < 3 || memcmp(p->at, "::=", 3) != 0) return fail(p, "::= is missing behind a rule's name.");
    p->at += 3;
    if (p->g->rules[rule].start >= 0) return fail(p, "this rule was defined before.");
    p->g->rules[rule].line = line;
    skip_blanks(p, true);
    piece body;
    MN_TRY(take_alternatives(p, &body));
    mn_grammar_define(p->g, rule, body.start, body.end);
    skip_blanks(p, false);
    return p->at == p->end || *p->at == '\n' ? MN_OK : fail(p, "this is no element of a rule.");
}

mn_status mn_gbnf_add(mn_grammar *g, const char *text, size_t bytes, mn_error *err) {
    parser *p = calloc(1, sizeof *p);
    if (!p) return mn_fail(err, MN_ERR_MEMORY, "There is no memory to parse a grammar.");
    *p = (parser){.g = g, .at = text, .end = text + bytes, .line = 1, .err = err};
    mn_status status = MN_OK;
    for (skip_blanks(p, true); status == MN_OK && p->at < p->end; skip_blanks(p, true)) status = take_rule(p);
    uint32_t root = mn_intern_find(&p->names, "root", 4);
    if (root != MN_INTERN_NONE && (int32_t)root < p->n_rules) g->root = p->rules[root];
    mn_intern_release(&p->names);
    free(p->rules);
    free(p);
    return status;
}

mn_status mn_gbnf_parse(const char *text, size_t bytes, mn_grammar **out, mn_error *err) {
    mn_grammar *g = mn_grammar_create();
    *out = NULL;
    mn_status status =
        g ? mn_gbnf_add(g, text, bytes, err) : mn_fail(err, MN_ERR_MEMORY, "There is no memory to parse a grammar.");
    if (status == MN_OK) status = mn_grammar_check(g, err);
    if (status == MN_OK)
        *out = g;
    else
        mn_grammar_destroy(g);
    return status;
}

int32_t mn_gbnf_find(const mn_grammar *g, const char *name) {
    for (int32_t i = 0; i < g->n_rules; i++)
        if (!strcmp(g->rules[i].name, name)) return i;
    return -1;
}
