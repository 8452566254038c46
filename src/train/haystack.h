/* A haystack: real prose, or filler, into which needles are put at the ends of sentences. */
#ifndef MN_TRAIN_HAYSTACK_H
#define MN_TRAIN_HAYSTACK_H

#include "base/random.h"
#include "base/strbuf.h"
#include "train/corpus.h"

/* Appends about `bytes` bytes of the corpus to *out: from the beginning of a sentence at a random place, across pieces
 * of one file (and from its beginning again, behind its end), to the end of a sentence where there is one within the
 * last fifth. */
void mn_haystack_prose(mn_random *rng, const mn_corpus *corpus, size_t bytes, mn_strbuf *out);
/* Appends sentences that say nothing, over and over, as the pass-key task has them (Mohtashami and Jaggi 2023). */
void mn_haystack_filler(size_t bytes, mn_strbuf *out);

/* Where needles can be put: offsets behind the blank after a sentence's end, or behind a line's end, ascending, 0 first
 * and `bytes` last. At most `max` of them, spread over all of the text when there are more. Returns how many. */
size_t mn_haystack_gaps(const char *text, size_t bytes, size_t *gaps, size_t max);

#endif
