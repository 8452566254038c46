/* Where the segments of a compressive memory begin in a text: every S tokens, and at each token that completes the
 * model's mark, a few tokens that stand before a question. So no question is cut in two, wherever the text before it
 * ends, and where segments begin is a function of the text alone: not of how it was cut into steps, saved or reused.
 */
#ifndef MN_MODEL_SEGMENTS_H
#define MN_MODEL_SEGMENTS_H

#include <stdint.h>

enum { MN_MAX_MARK = 16 };

/* The tokens whose last one begins a segment; n 0: segments begin every S tokens alone. */
typedef struct mn_segment_mark {
    int n;
    int32_t ids[MN_MAX_MARK];
} mn_segment_mark;

/* A place in a text; zeros at its start. Plain memory: a copy walks on by itself. */
typedef struct mn_segments {
    int64_t n_tokens;          /* passed */
    int64_t begin;             /* of the segment that the last of them lies in */
    int32_t last[MN_MAX_MARK]; /* token i at [i % MN_MAX_MARK] */
} mn_segments;

/* Passes the next token, and says which place it has in its segment of `segment` tokens at most. */
int64_t mn_segments_pass(mn_segments *s, const mn_segment_mark *mark, int64_t segment, int32_t token);

/* The first token that the next one may attend to, whatever it is. */
static inline int64_t mn_segments_next_begin(const mn_segments *s, int64_t segment) {
    return s->n_tokens - s->begin >= segment ? s->n_tokens : s->begin;
}

#endif
