/* What the tasks share: numbered facts put into haystacks, and values of RULER's types. */
#ifndef MN_EVAL_HAYSTACKS_H
#define MN_EVAL_HAYSTACKS_H

#include "eval/task.h"

/* A version 4 UUID, in small letters. */
mn_word mn_draw_uuid(mn_random *rng);
/* Two words with a hyphen, "quiet-harbour" in form: words of the corpus, since no list of adjectives and nouns ships.
 */
mn_word mn_draw_pair(mn_random *rng, const mn_corpus *corpus);
/* n capital letters. */
mn_word mn_draw_capitals(mn_random *rng, int n);

/* Sentences of one text of the corpus: `units` of them, from a place drawn by the rng, NUL-terminated into *out; *ends
 * [units] is where each ends in it (the caller frees it). Fewer when the file ends: then from its beginning again. */
void mn_essay(mn_random *rng, const mn_corpus *corpus, int64_t units, mn_strbuf *out, size_t **ends, int64_t *n_ends);

/* Puts `needles` between the parts of a haystack that end at `ends`, each at the part that `at` names (0 = before the
 * first), ascending; several at one place stand in their order. */
void mn_put_needles(mn_strbuf *out, const char *haystack, const size_t *ends, int64_t n_ends, const int64_t *at,
                    const char *const *needles, int n_needles);

/* n different places among [0, n_parts], ascending. With depth >= 0 and n = 1: that one. RULER's needles stand at
 * depths drawn without replacement from 40 points, 0 to 100 % of the parts. */
void mn_draw_places(mn_random *rng, int64_t n_parts, double depth, int64_t *at, int n);

#endif
