/* One fact of a needle document: how it is stated, how it is asked, and the answer. */
#ifndef MN_TRAIN_NEEDLE_FACTS_H
#define MN_TRAIN_NEEDLE_FACTS_H

#include "train/needles.h"

enum { MN_FACT_BYTES = 160, MN_MAX_HOPS = 8 };

/* A sentence in the haystack: value between two texts. */
typedef struct mn_statement {
    char before[MN_FACT_BYTES], value[MN_WORD_BYTES], after[MN_FACT_BYTES];
} mn_statement;

typedef struct mn_fact {
    mn_statement statements[MN_MAX_HOPS + 1]; /* one; for a chain one a variable, in their order */
    int n_statements;
    char question[MN_FACT_BYTES];
    char restated[2 * MN_FACT_BYTES]; /* the answer up to the value */
    char value[MN_WORD_BYTES];
    char closing[8]; /* behind the value */
} mn_fact;

/* What the facts of one document have in common. */
typedef struct mn_fact_style {
    int attribute;                          /* index of the kind's attributes; -1: each fact draws its own */
    int n_hops;                             /* of chains */
    bool varied_statement, varied_question; /* in other words than the usual ones */
} mn_fact_style;

mn_fact_style mn_fact_style_draw(mn_random *rng, const mn_needle_params *params);
void mn_fact_draw(mn_random *rng, const mn_needle_params *params, const mn_fact_style *style, mn_fact *out);
/* Gives a fact another value, all else alike. */
void mn_fact_redraw_value(mn_random *rng, const mn_needle_params *params, mn_fact *fact);

#endif
