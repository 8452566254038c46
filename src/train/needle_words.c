#include "train/needle_words.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

enum { MAX_TRIES = 64, MAX_LETTERS = 15, MIN_LETTERS = 4, MAX_SMALL_LETTERS = 10, ONE_IN = 8 };

bool mn_word_is_of(const char *word, mn_word_side side) {
    bool for_eval = XXH3_64bits(word, strlen(word)) % ONE_IN == 0;
    return for_eval == (side == MN_WORDS_EVAL);
}

static bool is_letter(char c) { return isalpha((unsigned char)c) && !(c & 0x80); }

/* The word at or behind a random place of the corpus: its length, 0 when there is none near; *before is the byte in
 * front of the blank before it. */
static size_t word_near(mn_random *rng, const mn_corpus *corpus, const char **word, char *before) {
    mn_corpus_piece p = mn_corpus_at(corpus, (int64_t)(mn_random_u64(rng) % (uint64_t)corpus->n_pieces));
    if (p.bytes < 64) return 0;
    size_t at = mn_random_u64(rng) % (p.bytes - 32);
    while (at < p.bytes && p.text[at] != ' ') at++;
    size_t begin = at + 1, end = begin;
    while (end < p.bytes && is_letter(p.text[end])) end++;
    if (end >= p.bytes || at == 0) return 0;
    *word = p.text + begin;
    *before = p.text[at - 1];
    return end - begin;
}

/* A word without capitals but, if wanted, the first; from the middle of a sentence. */
static bool draw_from_corpus(mn_random *rng, const mn_corpus *corpus, bool capital, mn_word_side side, mn_word *out) {
    for (int i = 0; i < MAX_TRIES; i++) {
        const char *word;
        char before;
        size_t n = word_near(rng, corpus, &word, &before);
        if (n < MIN_LETTERS || n > (size_t)(capital ? MAX_LETTERS : MAX_SMALL_LETTERS)) continue;
        if (!is_letter(before) && before != ',') continue;
        bool right = (isupper((unsigned char)word[0]) != 0) == capital;
        for (size_t c = 1; c < n; c++) right &= islower((unsigned char)word[c]) != 0;
        if (!right) continue;
        snprintf(out->text, sizeof out->text, "%.*s", (int)n, word);
        if (mn_word_is_of(out->text, side)) return true;
    }
    return false;
}

static mn_word from_syllables(mn_random *rng, bool capital, mn_word_side side) {
    static const char *const starts[] = {"b", "br", "c",  "d", "dr", "f", "g",  "gl", "h", "k", "l",
                                         "m", "n",  "pr", "r", "s",  "t", "th", "v",  "w", "z", "st"};
    static const char *const vowels[] = {"a", "e", "i", "o", "u", "ai", "ea", "or", "an", "el", "in", "ar"};
    mn_word w;
    do {
        w.text[0] = 0;
        size_t n_syllables = 2 + mn_random_below(rng, 2), used = 0;
        for (size_t i = 0; i < n_syllables; i++) {
            const char *vowel = vowels[mn_random_below(rng, sizeof vowels / sizeof *vowels)];
            const char *start = starts[mn_random_below(rng, sizeof starts / sizeof *starts)];
            used += (size_t)snprintf(w.text + used, sizeof w.text - used, "%s%s", start, vowel);
        }
        if (capital) w.text[0] = (char)toupper((unsigned char)w.text[0]);
    } while (!mn_word_is_of(w.text, side));
    return w;
}

mn_word mn_draw_word(mn_random *rng, const mn_corpus *corpus, mn_word_side side) {
    mn_word w;
    return draw_from_corpus(rng, corpus, false, side, &w) ? w : from_syllables(rng, false, side);
}

/* "John Hope": two names, as people and places have them. */
static bool draw_two_names(mn_random *rng, const mn_corpus *corpus, mn_word_side side, mn_word *out) {
    mn_word first, second;
    if (!draw_from_corpus(rng, corpus, true, side, &first)) return false;
    if (!draw_from_corpus(rng, corpus, true, side, &second)) return false;
    snprintf(out->text, sizeof out->text, "%.20s %.20s", first.text, second.text);
    return true;
}

mn_word mn_draw_name(mn_random *rng, const mn_corpus *corpus, mn_word_side side) {
    uint32_t kind = mn_random_below(rng, 10);
    mn_word w;
    if (kind == 0 && draw_two_names(rng, corpus, side, &w)) return w;
    if (kind < 7 && draw_from_corpus(rng, corpus, true, side, &w)) return w;
    return kind < 9 ? from_syllables(rng, true, side) : mn_draw_word(rng, corpus, side);
}

mn_word mn_draw_digits(mn_random *rng, int n_digits) {
    mn_word w = {""};
    for (int i = 0; i < n_digits; i++)
        w.text[i] = (char)('0' + (i == 0 ? 1 + mn_random_below(rng, 9) : mn_random_below(rng, 10)));
    w.text[n_digits] = 0;
    return w;
}

mn_word mn_draw_hex(mn_random *rng, int n) {
    mn_word w = {""};
    bool letter = false, digit = false;
    while (n > 0 && (!w.text[0] || (n > 1 && !(letter && digit)))) {
        letter = digit = false;
        for (int i = 0; i < n; i++) {
            w.text[i] = "0123456789abcdef"[mn_random_below(rng, 16)];
            if (isdigit((unsigned char)w.text[i]))
                digit = true;
            else
                letter = true;
        }
        w.text[n] = 0;
    }
    return w;
}
