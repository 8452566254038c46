/* Sentences by rules: English abbreviations, and the marks of other scripts. */
#include "graph/sentences.h"

#include <string.h>

static const char abbreviations[] =
    " mr mrs ms dr prof st sr jr rev hon gen col sgt capt lt cmdr gov sen rep vs etc inc ltd co corp bros dept est fig "
    "no nos vol vols ed eds pp cf al ca approx jan feb mar apr jun jul aug sep sept oct nov dec e.g i.e a.m p.m ph.d ";

static bool is_blank(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f'; }
static bool is_letter(char c) { return (c | 32) >= 'a' && (c | 32) <= 'z'; }

/* Whether the dot at text[dot] belongs to a word that does not end a sentence. */
static bool is_abbreviation(const char *text, size_t first, size_t dot) {
    char word[16] = " ";
    size_t begin = dot, n = 1;
    while (begin > first && (is_letter(text[begin - 1]) || text[begin - 1] == '.')) begin--;
    size_t bytes = dot - begin;
    if (bytes == 1) return text[begin] >= 'A' && text[begin] <= 'Z' && text[begin] != 'I';
    if (bytes == 0 || bytes > 8) return false;
    /* U.S., J.R.R. */
    if (bytes >= 3 && text[dot - 2] == '.') return true;
    for (size_t i = begin; i < dot; i++) word[n++] = (char)(text[i] | (text[i] == '.' ? 0 : 32));
    word[n++] = ' ';
    word[n] = '\0';
    return strstr(abbreviations, word);
}

/* Bytes of a mark that ends a sentence in Chinese or Japanese, 0 = none: 。！？ */
static size_t wide_stop(const char *p, size_t left) {
    if (left < 3) return 0;
    return !memcmp(p, "\xe3\x80\x82", 3) || !memcmp(p, "\xef\xbc\x81", 3) || !memcmp(p, "\xef\xbc\x9f", 3) ? 3 : 0;
}

/* Bytes of a closing quote or bracket, 0 = none. */
static size_t closing(const char *p, size_t left) {
    if (*p == '"' || *p == '\'' || *p == ')' || *p == ']') return 1;
    if (left < 3) return 0;
    return !memcmp(p, "\xe2\x80\x9d", 3) || !memcmp(p, "\xe2\x80\x99", 3) || !memcmp(p, "\xe3\x80\x8d", 3) ? 3 : 0;
}

/* Whether the line that begins at p starts something new: a list item, a heading, a table's row. */
static bool starts_item(const char *p, const char *end) {
    if (p >= end) return true;
    if ((*p == '-' || *p == '*' || *p == '+') && p + 1 < end && p[1] == ' ') return true;
    return *p == '#' || *p == '|' || *p == '>';
}

/* Whether a sentence ends at the line end text[at]. */
static bool line_ends(const char *text, size_t bytes, size_t first, size_t at) {
    size_t next = at + 1;
    while (next < bytes && (text[next] == ' ' || text[next] == '\t' || text[next] == '\r')) next++;
    return next >= bytes || text[next] == '\n' || text[first] == '#' || starts_item(text + next, text + bytes);
}

/* Where a sentence that would be too long is cut: behind its last blank, else before a character. */
static size_t cut(const char *text, size_t first, size_t at) {
    for (size_t i = at; i > first + MN_SENTENCE_BYTES / 2; i--)
        if (is_blank(text[i - 1])) return i;
    while (at > first + 1 && ((unsigned char)text[at] & 0xc0) == 0x80) at--;
    return at;
}

/* The end of the sentence that begins at `first`. */
static size_t end_of(const char *text, size_t bytes, size_t first) {
    for (size_t at = first; at < bytes; at++) {
        if (at - first >= MN_SENTENCE_BYTES) return cut(text, first, at);
        char c = text[at];
        size_t wide = wide_stop(text + at, bytes - at);
        if (c == '\n' && line_ends(text, bytes, first, at)) return at;
        if (c != '.' && c != '!' && c != '?' && !wide) continue;
        size_t end = at + (wide ? wide : 1), n;
        while (end < bytes && (text[end] == '.' || text[end] == '!' || text[end] == '?')) end++;
        while (end < bytes && (n = closing(text + end, bytes - end))) end += n;
        if (wide || end >= bytes) return end;
        if (!is_blank(text[end])) continue;
        size_t next = end;
        while (next < bytes && is_blank(text[next])) next++;
        bool goes_on = next < bytes && text[next] >= 'a' && text[next] <= 'z';
        if (goes_on || (c == '.' && end == at + 1 && is_abbreviation(text, first, at))) continue;
        return end;
    }
    return bytes;
}

bool mn_sentence_next(const char *text, size_t bytes, size_t *at, size_t *begin, size_t *end) {
    while (*at < bytes && is_blank(text[*at])) ++*at;
    if (*at >= bytes) return false;
    *begin = *at;
    *at = end_of(text, bytes, *begin);
    if (*at <= *begin) *at = *begin + 1;
    *end = *at;
    while (*end > *begin && is_blank(text[*end - 1])) --*end;
    return true;
}
