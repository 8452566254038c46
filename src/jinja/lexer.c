#include "jinja/ast.h"

#include "base/checked.h"
#include "jinja/unicode.h"

#include <stdlib.h>
#include <string.h>

typedef struct lexer {
    jinja_compile *c;
    const char *source, *at, *end;
    int line, brackets; /* open brackets: inside them "}}" closes dicts, not the tag */
    jinja_token *tokens;
    size_t n, capacity;
} lexer;

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* The character at p; *bytes gets its length. */
static uint32_t char_at(const char *p, const char *end, size_t *bytes) {
    *bytes = mn_jinja_char_bytes(p, (size_t)(end - p));
    return mn_jinja_code_point(p, *bytes);
}

/* Bytes of white space at p, 0 when there is none. */
static size_t space_bytes(const char *p, const char *end) {
    size_t bytes;
    return p < end && mn_jinja_is_space(char_at(p, end, &bytes)) ? bytes : 0;
}

/* The same for the white space that ends at p. */
static size_t space_bytes_before(const char *begin, const char *p) {
    if (p == begin) return 0;
    size_t n = (size_t)(p - begin), last = mn_jinja_step_back((jinja_string){.text = begin, .bytes = n}, n);
    return space_bytes(begin + last, p);
}

static bool starts_with(const lexer *l, const char *text) {
    size_t n = strlen(text);
    return (size_t)(l->end - l->at) >= n && memcmp(l->at, text, n) == 0;
}

static void advance(lexer *l, size_t bytes) {
    for (; bytes > 0; bytes--) l->line += *l->at++ == '\n';
}

static void skip_space(lexer *l) {
    for (size_t n; (n = space_bytes(l->at, l->end));) advance(l, n);
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
    size_t n;
    if (sign == '-') {
        while ((n = space_bytes_before(begin, end))) end -= n;
        return end;
    }
    if (tag == '{' || sign == '+') return end;
    const char *line_start = end;
    while (line_start > begin && line_start[-1] != '\n') {
        if (!(n = space_bytes_before(begin, line_start))) return end;
        line_start -= n;
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

/* Up to three digits. */
static size_t octal_escape(const char *p, const char *end, uint32_t *out) {
    size_t n = 0;
    for (*out = 0; n < 3 && p + n < end && p[n] >= '0' && p[n] <= '7'; n++) *out = *out * 8 + (uint32_t)(p[n] - '0');
    return n;
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
        if (p[1] >= '0' && p[1] <= '7') n_read = octal_escape(p + 1, end, &c);
        if (letter)
            *out++ = meanings[letter - letters];
        else if (n_read)
            out += mn_jinja_encode(c >= 0xd800 && c < 0xe000 ? 0xfffd : c, out);
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

/* Digits, perhaps with single underscores between them; NULL when p is at none. */
static const char *skip_digits(const char *p, const char *end, const char *digits) {
    if (p == end || !*p || !strchr(digits, *p)) return NULL;
    while (p < end && *p && (strchr(digits, *p) || (*p == '_' && p + 1 < end && p[1] && strchr(digits, p[1])))) p++;
    return p;
}

/* The end of a number at p, which begins with a digit; behind a dot ("a.0.1") it is only digits. */
static const char *number_end(const char *p, const char *end, bool behind_dot, jinja_token_kind *kind) {
    static const char decimal[] = "0123456789";
    static const struct {
        char letter;
        const char *digits;
    } bases[] = {{'x', "0123456789abcdefABCDEF"}, {'o', "01234567"}, {'b', "01"}};
    *kind = JINJA_T_INT;
    for (size_t i = 0; !behind_dot && *p == '0' && i < 3; i++)
        if (end - p > 2 && (p[1] | 0x20) == bases[i].letter) {
            const char *last = skip_digits(p + 2, end, bases[i].digits);
            if (last) return last;
        }
    p = skip_digits(p, end, decimal);
    if (behind_dot) return p;
    const char *fraction = end - p > 1 && *p == '.' ? skip_digits(p + 1, end, decimal) : NULL;
    if (fraction) p = fraction;
    bool has_exponent = end - p > 1 && (*p == 'e' || *p == 'E');
    const char *exponent =
        has_exponent ? skip_digits(p + (end - p > 2 && (p[1] == '-' || p[1] == '+') ? 2 : 1), end, decimal) : NULL;
    if (fraction || exponent) *kind = JINJA_T_FLOAT;
    return exponent ? exponent : p;
}

static bool lex_number(lexer *l) {
    jinja_token_kind kind;
    const jinja_token *last = &l->tokens[l->n - 1];
    bool behind_dot = last->kind == JINJA_T_OPERATOR && strcmp(last->text, ".") == 0;
    const char *p = number_end(l->at, l->end, behind_dot, &kind);
    char *text = copy_text(l, l->at, (size_t)(p - l->at)), *out = text;
    if (!text) return false;
    for (const char *c = l->at; c < p; c++)
        if (*c != '_') *out++ = *c;
    *out = 0;
    l->at = p;
    return push(l, kind, text, (size_t)(out - text), l->line);
}

/* Bytes of the part of a name at p: letters, digits and underscores of any script; 0 when there is none. */
static size_t name_bytes(const lexer *l, const char *p) {
    size_t n = 0;
    return p < l->end && mn_jinja_is_word(char_at(p, l->end, &n)) ? n : 0;
}

static bool lex_name(lexer *l) {
    const char *p = l->at;
    for (size_t n; (n = name_bytes(l, p));) p += n;
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
                    : name_bytes(l, l->at)          ? lex_name(l)
                                                    : lex_operator(l);
        if (!done) return false;
    }
}

/* Passes "{% NAME %}" with white space and signs anywhere a tag may have them, if it is here; *sign gets the last one.
 */
static bool passes_bare_tag(const lexer *l, const char **at, const char *name, char *sign) {
    const char *p = *at;
    if (l->end - p < 2 || memcmp(p, "{%", 2) != 0) return false;
    p += 2;
    if (p < l->end && (*p == '-' || *p == '+')) p++;
    for (size_t n; (n = space_bytes(p, l->end));) p += n;
    size_t bytes = strlen(name);
    if ((size_t)(l->end - p) < bytes || memcmp(p, name, bytes) != 0) return false;
    p += bytes;
    for (size_t n; (n = space_bytes(p, l->end));) p += n;
    *sign = p < l->end && (*p == '-' || *p == '+') ? *p++ : 0;
    if (l->end - p < 2 || memcmp(p, "%}", 2) != 0) return false;
    *at = p + 2;
    return true;
}

/* Behind {% raw %}: text up to {% endraw %}, whatever it holds. */
static bool lex_raw(lexer *l, char sign, int line) {
    const char *close = l->at, *behind;
    char last_sign = 0;
    if (sign == '-') skip_space(l);
    for (close = l->at;; close++) {
        close = memmem(close, (size_t)(l->end - close), "{%", 2);
        if (!close) return mn_jinja_reject(l->c, MN_ERR_FORMAT, line, "\"endraw\" is missing.");
        behind = close;
        if (passes_bare_tag(l, &behind, "endraw", &last_sign)) break;
    }
    const char *end = trimmed_end(l, l->at, close, '%', close[2]);
    if (end > l->at && !push(l, JINJA_T_TEXT, l->at, (size_t)(end - l->at), l->line)) return false;
    advance(l, (size_t)(behind - l->at));
    trim_after(l, '%', last_sign);
    return true;
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
    const char *behind = l->at;
    char raw_sign;
    if (passes_bare_tag(l, &behind, "raw", &raw_sign)) {
        int line = l->line;
        advance(l, (size_t)(behind - l->at));
        return lex_raw(l, raw_sign, line);
    }
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
