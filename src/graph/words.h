/* Words of a text, folded and stemmed, and what their writing says: for an index and for keys by rules.
 *
 * A word is a run of letters, marks and digits. Folding: NFKD, without marks, lower case. Terms are Porter stems of
 * folded words of three or more letters a to z (Snowball's "porter"), others as they are. Chinese and Japanese, which
 * put no blanks between words, give overlapping pairs of characters. Words beyond 64 bytes are known by these.
 *
 * Threads: a lexicon learns words as it sees them, so it is used by one thread at a time.
 */
#ifndef MN_GRAPH_WORDS_H
#define MN_GRAPH_WORDS_H

#include "base/intern.h"
#include "base/status.h"

enum mn_word_traits {
    MN_WORD_CAPITAL = 1,  /* begins with a capital, as written here */
    MN_WORD_NUMBER = 2,   /* begins with a digit */
    MN_WORD_STOP = 4,     /* one of 170 function words of English */
    MN_WORD_MONTH = 8,    /* January, Jan */
    MN_WORD_WEAK = 16,    /* a question's words that say little: would, many, kind */
    MN_WORD_CONNECTS = 32 /* stands inside names: of, the, de, van */
};

typedef struct mn_word {
    uint32_t id;         /* of the folded word: mn_lexicon.words */
    uint32_t begin, end; /* bytes in the text */
    uint8_t traits;
} mn_word;

typedef struct mn_word_list {
    mn_word *items;
    size_t n, capacity;
} mn_word_list;

/* Zeroed: empty. */
typedef struct mn_lexicon {
    mn_intern spellings, words, terms;
    uint32_t *word_of_spelling;
    uint8_t *traits_of_spelling;
    uint32_t *term_of_word;
    uint8_t *traits_of_word;
    size_t spellings_capacity, words_capacity;
    void *stemmer;
} mn_lexicon;

/* The words of text[0..bytes), bytes below 4 GiB; *out is emptied first and keeps its memory. */
mn_status mn_words_find(mn_lexicon *lexicon, const char *text, size_t bytes, mn_word_list *out, mn_error *err);
void mn_word_list_release(mn_word_list *list);
void mn_lexicon_release(mn_lexicon *lexicon);

static inline uint32_t mn_word_term(const mn_lexicon *lexicon, const mn_word *word) {
    return lexicon->term_of_word[word->id];
}

/* The word's number of a month, 1 to 12; 0 = none. */
int mn_month_of(const char *folded);

#endif
