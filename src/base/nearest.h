/* The word that was probably meant. */
#ifndef MN_CLI_NEAREST_H
#define MN_CLI_NEAREST_H

/* Single-character edits (insertion, deletion, exchange, two neighbours swapped) from one word to the other; words of
 * up to 63 bytes, longer ones are cut. */
int mn_word_distance(const char *a, const char *b);
/* Whether the distance is small enough, for words of this length, that one may be a slip for the other. */
int mn_word_is_near(const char *given, const char *known);

#endif
