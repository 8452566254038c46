/* What needles are about: names and values, drawn so that a model cannot learn them by heart. */
#ifndef MN_TRAIN_NEEDLE_WORDS_H
#define MN_TRAIN_NEEDLE_WORDS_H

#include "base/random.h"
#include "train/corpus.h"

enum { MN_WORD_BYTES = 48 };

typedef struct mn_word {
    char text[MN_WORD_BYTES];
} mn_word;

/* One word in eight belongs to evaluation and is never drawn for training, and the other way round: decided by a hash
 * of its spelling, so that both sides agree without a list. */
typedef enum mn_word_side { MN_WORDS_TRAIN, MN_WORDS_EVAL } mn_word_side;
bool mn_word_is_of(const char *word, mn_word_side side);

/* A name: mostly a capitalised word from the middle of a sentence of the corpus, else a word of it in small letters or
 * one made of syllables ("Velmora"). At most 15 letters. */
mn_word mn_draw_name(mn_random *rng, const mn_corpus *corpus, mn_word_side side);
/* A word of small letters of the corpus, 4 to 10 of them. */
mn_word mn_draw_word(mn_random *rng, const mn_corpus *corpus, mn_word_side side);
/* n_digits digits, the first not 0. */
mn_word mn_draw_digits(mn_random *rng, int n_digits);
/* n digits of base 16, small letters, at least one letter and one digit when n > 1. */
mn_word mn_draw_hex(mn_random *rng, int n);

#endif
