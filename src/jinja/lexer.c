#include "jinja/ast.h"

#include "base/checked.h"

#include <stdlib.h>
#include <string.h>

typedef struct lexer {
    jinja_compile *c;
    const char *source, *at, *end;
    int line, brackets; /* open brackets: inside them "}}" closes dicts, not the tag */
    jinja_token *tokens;
    size_t n, capacity;
} lexer;

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

static bool starts_with(const lexer *l, const char *text) {
    size_t n = strlen(text);
    return (size_t)(l->end - l->at) >= n && memcmp(l->at, text, n) == 0;
}

static void advance(lexer *l, size_t bytes) {
    for (; bytes > 0; bytes--) l->line += *l->at++ == '\n';
}

static void skip_space(lexer *l) {
    while (l->at < l->end && is_space(*l->at)) advance(l, 1);
}

static bool push(lexer *l, jinja_token_kind kind, const char *text, size_t bytes, int line) {
    if (l->n == l->capacity) {
        size_t capacity = MN_MAX((size_t)256, l->capacity * 2);
        jinja_token *tokens = mn_jinja_new(l->c, capacity, sizeof *tokens);
        if (!tokens) return false;
        if (l->n) memcpy(tokens, l->tokens, l->n * sizeof *tokens);
        l->tokens = tokens;
        l->capacity = capacity;
    }
    l->tokens[l->n++] = (jinja_token){kind, line, text, bytes};
    return true;
}

/* What is left of the text before a tag: "-" strips all white space at its end; a statement or comment that stands
 * first on its line takes the indentation with it (lstrip_blocks), unless "+" keeps it. */
static const char *trimmed_end(const lexer *l, const char *begin, const char *end, char tag, char sign) {
    if (sign == '-') {
        while (end > begin && is_space(end[-1])) end--;
        return end;
    }
    if (tag == '{' || sign == '+') return end;
    const char *line_start = end;
    while (line_start > begin && line_start[-1] != '\n') {
        if (!is_space(line_start[-1])) return end;
        line_start--;
    }
    return line_start == l->source || line_start[-1] == '\n' ? line_start : end;
}

/* Passes the white space that a closing tag takes along: all of it after "-", else one newline after a statement or
 * comment (trim_blocks) unless "+" keeps it. */
static void trim_after(lexer *l, char tag, char sign) {
    if (sign == '-')
        skip_space(l);
    else if (tag != '{' && sign != '+' && starts_with(l, "\n"))
        advance(l, 1);
}

static const char *find_tag(const lexer *l) {
    for (const char *p = l->at; p + 1 < l->end; p++)
        if (p[0] == '{' && (p[1] == '{' || p[1] == '%' || p[1] == '#')) return p;
    return l->end;
}

static bool skip_comment(lexer *l, int line) {
    const char *close = memmem(l->at, (size_t)(l->end - l->at), "#}", 2);
    if (!close) return mn_jinja_reject(l->c, MN_ERR_FORMAT, line, "the comment is not closed: \"#}\" is missing.");
    char sign = close > l->at ? close[-1] : 0;
    advance(l, (size_t)(close - l->at) + 2);
    trim_after(l, '#', sign);
    return true;
}

static char *copy_text(lexer *l, const char *text, size_t bytes) {
    char *copy = mn_jinja_new(l->c, bytes + 1, 1);
    if (copy) memcpy(copy, text, bytes);
    return copy;
}

static size_t put_utf8(char *out, uint32_t c) {
    if (c >= 0x110000 || (c >= 0xd800 && c < 0xe000)) c = 0xfffd;
    if (c < 0x80) return out[0] = (char)c, 1;
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, c >>= 6) out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)((0xf00 >> n & 0xff) | c);
    return n;
}

/* \xhh, \uhhhh and \Uhhhhhhhh: p is at the letter; returns the bytes read, 0 when digits are missing. */
static size_t hex_escape(const char *p, const char *end, uint32_t *out) {
    size_t n_digits = *p == 'x' ? 2 : *p == 'u' ? 4 : 8;
    char digits[9] = {0};
    if ((size_t)(end - p) <= n_digits) return 0;
    memcpy(digits, p + 1, n_digits);
    if (strspn(digits, "0123456789abcdefABCDEF") != n_digits) return 0;
    *out = (uint32_t)strtoul(digits, NULL, 16);
    return 1 + n_digits;
}

/* Replaces Python's escapes. An escape is never shorter than what it stands for. */
static size_t unescape(const char *p, const char *end, char *out) {
    static const char letters[] = "ntrabfv\\'\"", meanings[] = "\n\t\r\a\b\f\v\\'\"";
    char *begin = out;
    while (p < end) {
        if (*p != '\\' || p + 1 == end) {
            *out++ = *p++;
            continue;
        }
        const char *letter = p[1] ? strchr(letters, p[1]) : NULL;
        uint32_t c = 0;
        size_t n_read = 0;
        if (strchr("xuU", p[1]) && p[1]) n_read = hex_escape(p + 1, end, &c);
        if (letter)
            *out++ = meanings[letter - letters];
        else if (n_read)
            out += put_utf8(out, c);
        else if (p[1] != '\n')
            *out++ = '\\', *out++ = p[1];
        p += 1 + (n_read ? n_read : 1);
    }
    return (size_t)(out - begin);
}

static bool lex_string(lexer *l) {
    int line = l->line;
    const char *p = l->at + 1;
    while (p < l->end && *p != *l->at) p += *p == '\\' && p + 1 < l->end ? 2 : 1;
    if (p >= l->end) return mn_jinja_reject(l->c, MN_ERR_FORMAT, line, "a string is not closed.");
    char *text = mn_jinja_new(l->c, (size_t)(p - l->at), 1);
    if (!text) return false;
    size_t bytes = unescape(l->at + 1, p, text);
    advance(l, (size_t)(p + 1 - l->at));
    return push(l, JINJA_T_STRING, text, bytes, line);
}

static bool lex_number(lexer *l) {
    const char *p = l->at;
    jinja_token_kind kind = JINJA_T_INT;
    while (p < l->end && is_digit(*p)) p++;
    if (p + 1 < l->end && *p == '.' && is_digit(p[1])) {
        kind = JINJA_T_FLOAT;
        for (p++; p < l->end && is_digit(*p);) p++;
    }
    const char *digits = p + (p + 1 < l->end && (p[1] == '-' || p[1] == '+') ? 2 : 1);
    if (p < l->end && (*p == 'e' || *p == 'E') && digits < l->end && is_digit(*digits)) {
        kind = JINJA_T_FLOAT;
        for (p = digits; p < l->end && is_digit(*p);) p++;
    }
    size_t bytes = (size_t)(p - l->at);
    const char *text = copy_text(l, l->at, bytes);
    l->at = p;
    return text && push(l, kind, text, bytes, l->line);
}

static bool lex_name(lexer *l) {
    const char *p = l->at;
    while (p < l->end && (is_name_start(*p) || is_digit(*p))) p++;
    size_t bytes = (size_t)(p - l->at);
    const char *text = copy_text(l, l->at, bytes);
    l->at = p;
    return text && push(l, JINJA_T_NAME, text, bytes, l->line);
}

static bool lex_operator(lexer *l) {
    static const char *const operators[] = {"//", "**", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "<",
                                            ">",  "=",  ".",  ":",  "|",  ",",  "(", ")", "[", "]", "{", "}"};
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        if (!starts_with(l, operators[i])) continue;
        size_t bytes = strlen(operators[i]);
        if (strchr("([{", operators[i][0])) l->brackets++;
        if (strchr(")]}", operators[i][0])) l->brackets--;
        l->at += bytes;
        return push(l, JINJA_T_OPERATOR, operators[i], bytes, l->line);
    }
    size_t n = mn_jinja_char_bytes(l->at, (size_t)(l->end - l->at));
    return mn_jinja_reject(l->c, MN_ERR_FORMAT, l->line, "the character \"%.*s\" has no meaning here.", (int)n, l->at);
}

/* Passes the closing tag, with its sign, if it is here. */
static bool lex_close(lexer *l, char tag) {
    char sign = *l->at == '-' || (*l->at == '+' && tag == '%') ? *l->at : 0;
    const char close[] = {tag == '{' ? '}' : tag, '}', 0};
    const char *p = l->at + (sign != 0);
    if (l->brackets > 0 || l->end - p < 2 || memcmp(p, close, 2) != 0) return false;
    push(l, tag == '{' ? JINJA_T_EXPR_END : JINJA_T_STMT_END, close[0] == '}' ? "}}" : "%}", 2, l->line);
    l->at = p + 2;
    trim_after(l, tag, sign);
    return true;
}

static bool lex_tag(lexer *l, char tag, int line) {
    if (!push(l, tag == '{' ? JINJA_T_EXPR_BEGIN : JINJA_T_STMT_BEGIN, tag == '{' ? "{{" : "{%", 2, line)) return false;
    l->brackets = 0;
    for (;;) {
        skip_space(l);
        if (l->at == l->end)
            return mn_jinja_reject(l->c, MN_ERR_FORMAT, line, "the tag is not closed: \"%s\" is missing.",
                                   tag == '{' ? "}}" : "%}");
        if (lex_close(l, tag)) return l->c->status == MN_OK;
        bool done = *l->at == '"' || *l->at == '\'' ? lex_string(l)
                    : is_digit(*l->at)              ? lex_number(l)
                    : is_name_start(*l->at)         ? lex_name(l)
                                                    : lex_operator(l);
        if (!done) return false;
    }
}

/* The text up to the next tag, then the tag. */
static bool lex_piece(lexer *l) {
    const char *open = find_tag(l), *end = open;
    char tag = 0, sign = 0;
    if (open < l->end) {
        tag = open[1];
        sign = open + 2 < l->end && (open[2] == '-' || open[2] == '+') ? open[2] : 0;
        end = trimmed_end(l, l->at, open, tag, sign);
    }
    if (end > l->at && !push(l, JINJA_T_TEXT, l->at, (size_t)(end - l->at), l->line)) return false;
    advance(l, (size_t)(open - l->at));
    if (!tag) return true;
    advance(l, sign ? 3 : 2);
    return tag == '#' ? skip_comment(l, l->line) : lex_tag(l, tag, l->line);
}

/* A copy with every line ending a "\n", and without the one at the end. */
static bool normalise(lexer *l, const char *source, size_t bytes) {
    char *copy = mn_jinja_new(l->c, bytes + 1, 1), *out = copy;
    if (!copy) return false;
    for (size_t i = 0; i < bytes; i++) {
        if (source[i] == '\r' && i + 1 < bytes && source[i + 1] == '\n') continue;
        *out++ = source[i] == '\r' ? '\n' : source[i];
    }
    if (out > copy && out[-1] == '\n') out--;
    l->source = l->at = copy;
    l->end = out;
    return true;
}

const jinja_token *mn_jinja_tokenize(jinja_compile *c, const char *source, size_t bytes) {
    lexer l = {.c = c, .line = 1};
    if (!normalise(&l, source, bytes)) return NULL;
    while (l.at < l.end)
        if (!lex_piece(&l)) return NULL;
    return push(&l, JINJA_T_END, "the end", 7, l.line) ? l.tokens : NULL;
}
