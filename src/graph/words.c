/* Words: found, folded, stemmed, each spelling once. */
#include "graph/words.h"

#include "base/checked.h"

#include <libstemmer.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { MAX_WORD_BYTES = 64 };

/* Each list begins and ends with a blank. */
static const char stop_words[] =
    " a about above after again against ain all am an and any are aren as at be because been before being below "
    "between both but by can couldn d did didn do does doesn doing don down during each few for from further had hadn "
    "has hasn have haven having he her here hers herself him himself his how i if in into is isn it its itself just ll "
    "m ma me mightn more most mustn my myself needn no nor not now o of off on once only or other our ours ourselves "
    "out over own re s same shan she should shouldn so some such t than that the their theirs them themselves then "
    "there these they this those through to too under until up ve very was wasn we were weren what when where which "
    "while who whom why will with won wouldn y you your yours yourself yourselves also ";
static const char weak_words[] =
    " like likely would might could may must many much kind kinds type types sort name named consider considered think "
    "thinks ever still current currently yet whose us one ";
static const char connecting_words[] =
    " of the and de van von for in on at la le du da di del der den des el al bin ibn y to a ";
static const char *const months[] = {"january", "february",  "march",   "april",    "may",      "june", "july",
                                     "august",  "september", "october", "november", "december", NULL};

static bool is_in(const char *list, const char *word, size_t bytes) {
    for (const char *at = list; (at = memmem(at, strlen(at), word, bytes)); at++)
        if (at[-1] == ' ' && at[bytes] == ' ') return true;
    return false;
}

int mn_month_of(const char *folded) {
    size_t n = strlen(folded);
    for (int i = 0; months[i]; i++)
        if (!strcmp(folded, months[i]) || (n == 3 && !strncmp(folded, months[i], 3)) ||
            (i == 8 && !strcmp(folded, "sept")))
            return i + 1;
    return 0;
}

/* ---- characters ---- */

static bool is_ideograph(int32_t c) {
    return (c >= 0x3040 && c <= 0x30ff) || (c >= 0x3400 && c <= 0x9fff) || (c >= 0xf900 && c <= 0xfaff) ||
           (c >= 0x20000 && c <= 0x3ffff);
}

static bool is_word_character(int32_t c) {
    if (c < 0x80) return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO: return true;
    default: return false;
    }
}

/* The character at text[at], and its bytes; what is no UTF-8 is one byte of no word. */
static size_t decode(const char *text, size_t bytes, size_t at, int32_t *c) {
    unsigned char byte = (unsigned char)text[at];
    *c = byte;
    if (byte < 0x80) return 1;
    utf8proc_ssize_t n =
        utf8proc_iterate((const utf8proc_uint8_t *)text + at, (utf8proc_ssize_t)MN_MIN(bytes - at, 4), c);
    if (n > 0) return (size_t)n;
    *c = 0xfffd;
    return 1;
}

static bool is_capital(int32_t c) {
    if (c < 0x80) return c >= 'A' && c <= 'Z';
    utf8proc_category_t category = utf8proc_category(c);
    return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LT;
}

/* ---- spellings ---- */

/* Folds a spelling into out[MAX_WORD_BYTES + 1]; returns its bytes. */
static size_t fold(const char *spelling, size_t bytes, char *out) {
    size_t n = 0;
    bool is_ascii = true;
    for (size_t i = 0; i < bytes; i++) {
        unsigned char c = (unsigned char)spelling[i];
        is_ascii = is_ascii && c < 0x80;
        if (i < MAX_WORD_BYTES) out[n++] = (char)(c >= 'A' && c <= 'Z' ? c | 32 : c);
    }
    out[n] = '\0';
    if (is_ascii) return n;
    utf8proc_uint8_t *mapped = NULL;
    utf8proc_ssize_t m = utf8proc_map((const utf8proc_uint8_t *)spelling, (utf8proc_ssize_t)bytes, &mapped,
                                      UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT | UTF8PROC_STRIPMARK | UTF8PROC_CASEFOLD);
    if (m > 0) {
        n = MN_MIN((size_t)m, MAX_WORD_BYTES);
        while (n < (size_t)m && n > 0 && (mapped[n] & 0xc0) == 0x80) n--;
        memcpy(out, mapped, n);
        out[n] = '\0';
    }
    free(mapped);
    return n;
}

static uint32_t term_of(mn_lexicon *lexicon, const char *word, size_t bytes) {
    bool stems = bytes >= 3;
    for (size_t i = 0; i < bytes; i++) stems = stems && word[i] >= 'a' && word[i] <= 'z';
    if (!stems) return mn_intern_put(&lexicon->terms, word, bytes);
    if (!lexicon->stemmer) lexicon->stemmer = sb_stemmer_new("porter", "UTF_8");
    const sb_symbol *stem = NULL;
    if (lexicon->stemmer) stem = sb_stemmer_stem(lexicon->stemmer, (const sb_symbol *)word, (int)bytes);
    if (!stem) return MN_INTERN_NONE;
    return mn_intern_put(&lexicon->terms, (const char *)stem, (size_t)sb_stemmer_length(lexicon->stemmer));
}

static bool reserve(void **list, size_t item_bytes, size_t capacity) {
    void *grown = realloc(*list, capacity * item_bytes);
    if (grown) *list = grown;
    return grown;
}

static uint32_t learn_word(mn_lexicon *l, const char *folded, size_t bytes) {
    uint32_t n = l->words.n, id = mn_intern_put(&l->words, folded, bytes);
    if (id == MN_INTERN_NONE || id < n) return id;
    if (id >= l->words_capacity) {
        size_t capacity = 2 * (size_t)id + 1024;
        if (!reserve((void **)&l->term_of_word, sizeof *l->term_of_word, capacity) ||
            !reserve((void **)&l->traits_of_word, sizeof *l->traits_of_word, capacity))
            return MN_INTERN_NONE;
        l->words_capacity = capacity;
    }
    uint8_t traits = 0;
    if (*folded >= '0' && *folded <= '9') traits |= MN_WORD_NUMBER;
    if (is_in(stop_words, folded, bytes)) traits |= MN_WORD_STOP;
    if (is_in(weak_words, folded, bytes)) traits |= MN_WORD_WEAK;
    if (is_in(connecting_words, folded, bytes)) traits |= MN_WORD_CONNECTS;
    if (mn_month_of(folded)) traits |= MN_WORD_MONTH;
    l->traits_of_word[id] = traits;
    l->term_of_word[id] = term_of(l, folded, bytes);
    return l->term_of_word[id] == MN_INTERN_NONE ? MN_INTERN_NONE : id;
}

static uint32_t learn_spelling(mn_lexicon *l, const char *text, size_t bytes) {
    char folded[MAX_WORD_BYTES + 1];
    uint32_t n = l->spellings.n, id = mn_intern_put(&l->spellings, text, bytes);
    if (id == MN_INTERN_NONE || id < n) return id;
    if (id >= l->spellings_capacity) {
        size_t capacity = 2 * (size_t)id + 1024;
        if (!reserve((void **)&l->word_of_spelling, sizeof *l->word_of_spelling, capacity) ||
            !reserve((void **)&l->traits_of_spelling, sizeof *l->traits_of_spelling, capacity))
            return MN_INTERN_NONE;
        l->spellings_capacity = capacity;
    }
    int32_t first;
    decode(text, bytes, 0, &first);
    uint32_t word = learn_word(l, folded, fold(text, bytes, folded));
    if (word == MN_INTERN_NONE) return MN_INTERN_NONE;
    l->word_of_spelling[id] = word;
    l->traits_of_spelling[id] = l->traits_of_word[word] | (is_capital(first) ? MN_WORD_CAPITAL : 0);
    return id;
}

/* ---- the words of a text ---- */

static mn_status add_word(mn_lexicon *l, const char *text, size_t begin, size_t end, mn_word_list *out, mn_error *err) {
    size_t known = begin;
    while (known < end && known - begin < MAX_WORD_BYTES) known++;
    while (known < end && known > begin && ((unsigned char)text[known] & 0xc0) == 0x80) known--;
    uint32_t spelling = learn_spelling(l, text + begin, known - begin);
    if (spelling != MN_INTERN_NONE && out->n == out->capacity) {
        size_t capacity = out->capacity ? 2 * out->capacity : 256;
        if (reserve((void **)&out->items, sizeof *out->items, capacity))
            out->capacity = capacity;
        else
            spelling = MN_INTERN_NONE;
    }
    if (spelling == MN_INTERN_NONE)
        return mn_fail(err, MN_ERR_MEMORY, "There is no memory for the words of a text of %u spellings.",
                       l->spellings.n);
    out->items[out->n++] = (mn_word){.id = l->word_of_spelling[spelling],
                                     .begin = (uint32_t)begin,
                                     .end = (uint32_t)end,
                                     .traits = l->traits_of_spelling[spelling]};
    return MN_OK;
}

/* A run of ideographs: each pair of neighbours, or the only one. */
static mn_status add_pairs(mn_lexicon *l, const char *text, size_t bytes, size_t *at, mn_word_list *out,
                           mn_error *err) {
    int32_t c;
    size_t first = *at, second = first + decode(text, bytes, first, &c), third;
    if (second >= bytes || !(third = second + decode(text, bytes, second, &c)) || !is_ideograph(c)) {
        *at = second;
        return add_word(l, text, first, second, out, err);
    }
    while (is_ideograph(c)) {
        MN_TRY(add_word(l, text, first, third, out, err));
        first = second;
        second = third;
        if (third >= bytes) break;
        third = second + decode(text, bytes, second, &c);
    }
    *at = second;
    return MN_OK;
}

mn_status mn_words_find(mn_lexicon *l, const char *text, size_t bytes, mn_word_list *out, mn_error *err) {
    out->n = 0;
    if (bytes >= UINT32_MAX) return mn_fail(err, MN_ERR_LIMIT, "A text of %zu bytes is beyond 4 GiB.", bytes);
    for (size_t at = 0; at < bytes;) {
        int32_t c;
        size_t begin = at, next = at + decode(text, bytes, at, &c);
        if (is_ideograph(c)) {
            MN_TRY(add_pairs(l, text, bytes, &at, out, err));
            continue;
        }
        at = next;
        if (!is_word_character(c)) continue;
        while (at < bytes) {
            next = at + decode(text, bytes, at, &c);
            if (!is_word_character(c) || is_ideograph(c)) break;
            at = next;
        }
        MN_TRY(add_word(l, text, begin, at, out, err));
    }
    return MN_OK;
}

void mn_word_list_release(mn_word_list *list) {
    free(list->items);
    *list = (mn_word_list){0};
}

void mn_lexicon_release(mn_lexicon *l) {
    mn_intern_release(&l->spellings);
    mn_intern_release(&l->words);
    mn_intern_release(&l->terms);
    free(l->word_of_spelling);
    free(l->traits_of_spelling);
    free(l->term_of_word);
    free(l->traits_of_word);
    if (l->stemmer) sb_stemmer_delete(l->stemmer);
    *l = (mn_lexicon){0};
}
