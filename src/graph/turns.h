/* Search in conversations: the turns that answer a question, without a model.
 *
 * BM25 over turns (k1 0.9, b 0.4) whose counts are spread over the turns beside them when a question is asked:
 * tf'(i) = sum of w_o tf(i + o) for o in -3..3, w_o = 0.5^|o|, and 0.8 for the turn before one where that asks; lengths
 * alike. Question words count by what they say: function words 0, names of speakers 0.5, weak words 0.6. Added to the
 * score, as shares of the best turn's: pairs of neighbouring content words 0.3; 0.2 for turns of the one speaker who is
 * named; 0.25 for the month that is named; -0.1 for a turn that ends in a question; up to 0.1 for its content; and,
 * where there are several conversations, 0.8 for the share of the people named who take part in the session.
 *
 * Everything is in memory, about 30 bytes for each word, but for what is kept in a store (turns_saved.h). Adding is
 * linear; a question costs the postings of its words and one pass over the turns.
 *
 * Threads: one object is used by one thread at a time.
 */
#ifndef MN_GRAPH_TURNS_H
#define MN_GRAPH_TURNS_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct mn_turns mn_turns;

enum { MN_NO_TIME = -1 };

typedef struct mn_turn {
    const char *conversation, *session; /* NULL = "". Turns are neighbours within both, in the order they are added */
    const char *speaker;                /* NULL = unknown */
    int64_t time;                       /* seconds since 1970, MN_NO_TIME = unknown */
    int64_t id;                         /* the caller's name for it */
    const char *text;
    size_t bytes;
} mn_turn;

typedef struct mn_turn_hit {
    uint32_t turn; /* counted from 0 in the order they were added */
    float score;   /* the best turn by words alone has 1 */
} mn_turn_hit;

mn_status mn_turns_create(mn_turns **out, mn_error *err);
void mn_turns_destroy(mn_turns *turns);
/* Copies nothing but words. Its number is mn_turns_n before the call. */
mn_status mn_turns_add(mn_turns *turns, const mn_turn *turn, mn_error *err);
uint32_t mn_turns_n(const mn_turns *turns);
/* The caller's name for a turn that there is. */
int64_t mn_turns_id(const mn_turns *turns, uint32_t turn);

/* The best turns, at most k, best first, of equal ones the earlier; none where no word of the question is found.
 * hits [k]. */
mn_status mn_turns_search(mn_turns *turns, const char *question, uint32_t k, mn_turn_hit *hits, uint32_t *n_hits,
                          mn_error *err);

/* "2023-05-08T13:56:00", "2023-05-08", "2023/05/08 (Mon) 13:56", "1:56 pm on 8 May, 2023", or a number as
 * mn_turn_seconds has it: the time, MN_NO_TIME where it is none of these, or a day that no month has. UTC, unless an
 * offset stands behind the clock: "2023-05-08T15:56:00.000+02:00". */
int64_t mn_turn_time(const char *text);
/* Seconds since 1970, or milliseconds, which numbers beyond the year 5000 are; MN_NO_TIME: neither. */
int64_t mn_turn_seconds(double number);

#endif
