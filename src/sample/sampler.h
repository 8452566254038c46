/* The sampler chain: logits to the next token.
 *
 * Order: what a filter allows (a grammar is one: grammar/constraint.h), penalties (repetition, presence, frequency),
 * top-k, top-p, min-p, temperature, draw. temperature 0 is greedy (after the penalties). Same seed and logits, same
 * tokens, at any thread count. Of equal logits the lower id is the more likely one wherever an order is needed: in
 * greedy choice and at the edge of top-k and top-p.
 */
#ifndef MN_SAMPLE_SAMPLER_H
#define MN_SAMPLE_SAMPLER_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct mn_sampler_params {
    float temperature;       /* 0.8 ; >= 0, 0 = greedy */
    int32_t top_k;           /* 40 ; <= 0 = off */
    float top_p;             /* 0.95 ; (0, 1], 1 = off */
    float min_p;             /* 0.05 ; [0, 1], 0 = off */
    float repeat_penalty;    /* 1 ; > 0, 1 = off */
    float presence_penalty;  /* 0 = off */
    float frequency_penalty; /* 0 = off */
    int32_t repeat_last_n;   /* 64 ; tokens the penalties look back at, 0 = off, -1 = all */
    uint64_t seed;
} mn_sampler_params;

mn_sampler_params mn_sampler_defaults(void);

typedef struct mn_sampler mn_sampler;

/* Out-of-range parameters are errors naming the flag. The caller destroys it. */
mn_status mn_sampler_create(const mn_sampler_params *params, int32_t n_vocab, mn_sampler **out, mn_error *err);
void mn_sampler_destroy(mn_sampler *sampler);
/* Tells the sampler of a token that was fed or drawn, for the penalties. Ids outside the vocabulary are ignored. */
void mn_sampler_accept(mn_sampler *sampler, int32_t token);
/* Never draws this token; an id outside the vocabulary is ignored. */
mn_status mn_sampler_exclude(mn_sampler *sampler, int32_t token, mn_error *err);
/* Chooses the next token; does not accept it. logits [n_vocab] is left unchanged. -inf excludes a token; a NaN, or
 * -inf everywhere, is an error. No allocation; O(n_vocab) and, for each token looked at in order, O(log top_k). */
mn_status mn_sampler_draw(mn_sampler *sampler, const float *logits, int32_t *out, mn_error *err);
/* Which tokens may be drawn. */
typedef struct mn_token_filter {
    void *arg; /* of the functions below */
    /* Tokens of which no other may come, in no order; NULL where they are too many, and any may. Borrowed until the
     * next draw. */
    const int32_t *(*list)(void *arg, int32_t *n);
    bool (*allows)(void *arg, int32_t token);
    /* All tokens that may come, found at one go, which takes longer than a few hundred questions: for when many were
     * asked in vain. In no order, borrowed until the next draw. NULL: there is no such way. */
    const int32_t *(*all)(void *arg, int32_t *n);
    /* What went wrong in the two above. */
    mn_status (*check)(const void *arg, mn_error *err);
} mn_token_filter;

/* The same among the tokens that the filter allows, as if the logits of all others were -inf. Where few are allowed it
 * costs O(those). {0}: all are allowed. */
mn_status mn_sampler_draw_allowed(mn_sampler *sampler, const float *logits, mn_token_filter filter, int32_t *out,
                                  mn_error *err);

#endif
