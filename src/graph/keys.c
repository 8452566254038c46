/* Keys by rules: capitals, quotes, subjects. */
#include "graph/keys.h"

#include <string.h>

static bool is_word(const mn_lexicon *l, const mn_word *w, const char *text) {
    return !strcmp(mn_intern_text(&l->words, w->id, NULL), text);
}

bool mn_key_form(const mn_lexicon *l, const mn_word_list *words, size_t first, size_t end, mn_strbuf *out) {
    const mn_word *w = words->items;
    mn_strbuf_reset(out);
    while (first < end && (is_word(l, &w[first], "the") || is_word(l, &w[first], "a") || is_word(l, &w[first], "an")))
        first++;
    if (end - first > 1 && is_word(l, &w[end - 1], "s")) end--;
    if (first >= end || end - first > MN_KEY_WORDS) return false;
    bool says = false;
    for (size_t i = first; i < end; i++) {
        size_t bytes;
        const char *text = mn_intern_text(&l->words, w[i].id, &bytes);
        says = says || !(l->traits_of_word[w[i].id] & (MN_WORD_STOP | MN_WORD_MONTH));
        if (i > first) mn_strbuf_putc(out, ' ');
        mn_strbuf_put(out, text, bytes);
    }
    return says && out->bytes > 1 && !out->failed;
}

/* Whether a run of words goes on over text[begin, end), what stands between two of them; the word before it has
 * n_bytes. */
static bool joins(const char *text, size_t begin, size_t end, size_t n_bytes) {
    for (size_t i = begin; i < end; i++) {
        char c = text[i];
        if (c == ' ' || c == '\'' || c == '&' || (c == '.' && n_bytes <= 2)) continue;
        if (!strncmp(text + i, "\xe2\x80\x99", 3)) {
            i += 2;
            continue;
        }
        if (c == '\n' && i + 1 < end && text[i + 1] != '\n') continue;
        return false;
    }
    return end > begin;
}

static bool joins_next(const char *text, const mn_word_list *words, size_t i) {
    const mn_word *w = &words->items[i];
    return i + 1 < words->n && joins(text, w->end, w[1].begin, w->end - w->begin);
}

/* The end of the run of capitalised words that begins at word `first`. */
static size_t run_end(const char *text, const mn_word_list *words, size_t first) {
    size_t end = first + 1, at = first;
    int n_connectors = 0;
    while (joins_next(text, words, at)) {
        const mn_word *next = &words->items[++at];
        bool is_s = next->end - next->begin == 1 && text[next->begin] == 's';
        if (next->traits & (MN_WORD_CAPITAL | MN_WORD_NUMBER)) {
            end = at + 1;
            n_connectors = 0;
        } else if (is_s && at == end) {
            end = at + 1;
        } else if (!(next->traits & MN_WORD_CONNECTS) || ++n_connectors > 2) {
            break;
        }
    }
    return end;
}

/* Bytes of a quotation mark at p, 0 = none. */
static size_t quote_bytes(const char *p, const char *end) {
    if (*p == '"') return 1;
    if (end - p >= 3 && (!memcmp(p, "\xe2\x80\x9c", 3) || !memcmp(p, "\xe2\x80\x9d", 3))) return 3;
    return end - p >= 2 && ((p[0] == '`' && p[1] == '`') || (p[0] == '\'' && p[1] == '\'')) ? 2 : 0;
}

/* Words between quotation marks. */
static void find_quoted(const char *text, size_t bytes, const mn_word_list *words, mn_key_fn *fn, void *arg) {
    size_t opened = 0, first = 0, word = 0, n;
    bool inside = false;
    for (size_t at = 0; at < bytes; at++) {
        while (word < words->n && words->items[word].begin < at) word++;
        if (!(n = quote_bytes(text + at, text + bytes))) continue;
        if (inside && word > first && at - opened >= 2 && at - opened <= 60) fn(arg, words, first, word);
        inside = !inside;
        first = word;
        opened = at + n;
        at += n - 1;
    }
}

void mn_keys_find(const char *text, size_t bytes, const mn_word_list *words, mn_key_fn *fn, void *arg) {
    for (size_t i = 0; i < words->n;) {
        uint8_t traits = words->items[i].traits;
        if (!(traits & MN_WORD_CAPITAL) || (i == 0 && (traits & MN_WORD_STOP))) {
            i++;
            continue;
        }
        size_t end = run_end(text, words, i);
        if (end - i <= MN_KEY_WORDS) fn(arg, words, i, end);
        i = end;
    }
    find_quoted(text, bytes, words, fn, arg);
}

bool mn_key_subject(const char *text, size_t bytes, const mn_word_list *words, size_t *end) {
    static const char *const ends[] = {" is ", " was ", " are ", " were ", " refers ",     " has ",       "(",
                                       "[",    ", ",    ";",     " - ",    "\xe2\x80\x93", "\xe2\x80\x94"};
    size_t least = bytes, n = 0;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        const char *at = memmem(text, bytes, ends[i], strlen(ends[i]));
        if (at && (size_t)(at - text) < least) least = (size_t)(at - text);
    }
    while (n < words->n && words->items[n].end <= least) n++;
    *end = n;
    if (least == bytes || n == 0 || n > MN_KEY_WORDS) return false;
    uint8_t traits = words->items[0].traits;
    return (traits & (MN_WORD_CAPITAL | MN_WORD_NUMBER)) && (n > 1 || !(traits & MN_WORD_STOP));
}

size_t mn_key_title_bytes(const char *title) {
    size_t n = strlen(title);
    if (!n || title[n - 1] != ')') return n;
    const char *open = strrchr(title, '(');
    if (!open || open == title) return n;
    n = (size_t)(open - title);
    while (n && title[n - 1] == ' ') n--;
    return n;
}
