/* The word that was probably meant. */
#ifndef MN_BASE_NEAREST_H
#define MN_BASE_NEAREST_H

#include <stdbool.h>

/* Single-character edits (insertion, deletion, exchange, two neighbours swapped) from one word to the other; words of
 * up to 63 bytes, longer ones are cut. */
int mn_word_distance(const char *a, const char *b);
/* Whether the distance is small enough, for words of this length, that one may be a slip for the other. */
bool mn_word_is_near(const char *given, const char *known);

/* A search for the word that is nearest to a given one: begins as {.given = WORD}. */
typedef struct mn_nearest {
    const char *given;
    const char *best; /* of those tried; NULL: none is near */
    int distance;     /* to it */
} mn_nearest;

/* Returns whether `known` is now the best. */
bool mn_nearest_try(mn_nearest *n, const char *known);

#endif
