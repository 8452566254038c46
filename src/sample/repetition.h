/* Notices an answer that runs in a circle: its last tokens are one stretch of text over and over.
 *
 * For each period p up to MN_REPETITION_MAX_PERIOD the number of tokens is kept that equal the one p before them. The
 * answer repeats with period p when its last max(4 p, 96) tokens do. A model that draws the likeliest token never
 * leaves such a circle. One thread at a time; no memory but its own.
 */
#ifndef MN_SAMPLE_REPETITION_H
#define MN_SAMPLE_REPETITION_H

#include <stdint.h>

enum { MN_REPETITION_MAX_PERIOD = 256, MN_REPETITION_TIMES = 4, MN_REPETITION_MIN_TOKENS = 96 };

/* Zeroed before the first token of an answer. */
typedef struct mn_repetition {
    int32_t last[MN_REPETITION_MAX_PERIOD]; /* ring of the last tokens */
    int32_t equal[MN_REPETITION_MAX_PERIOD + 1];
    int64_t n_tokens;
} mn_repetition;

/* Takes the next token of an answer. Returns the shortest period that it repeats with, in tokens, or 0. Cost: one
 * comparison for each period. */
int mn_repetition_next(mn_repetition *r, int32_t token);

#endif
