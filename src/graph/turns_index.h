/* What an index of turns holds: for turns.c and turns_search.c. */
#ifndef MN_GRAPH_TURNS_INDEX_H
#define MN_GRAPH_TURNS_INDEX_H

#include "graph/postings.h"
#include "graph/turns.h"
#include "graph/words.h"
#include "store/store.h"

enum { MN_TURN_SPEAKERS = 14 };
#define MN_TURN_NONE UINT32_MAX

typedef struct mn_turn_item {
    int64_t id;
    uint32_t session, speaker;   /* speaker MN_TURN_NONE = unknown */
    uint32_t before, after;      /* neighbours in the session, MN_TURN_NONE = none */
    uint32_t n_words, n_content; /* all; without function words */
    int32_t month;               /* months since the year 0, -1 = unknown */
    bool asks, ends_asking;      /* holds a question mark; ends in one */
} mn_turn_item;

typedef struct mn_turn_session {
    uint32_t last, n_turns;
    int n_speakers;
    uint32_t speakers[MN_TURN_SPEAKERS];
} mn_turn_session;

/* What of an index is in a store (turns_saved.c): the first turns, and the names they use. Their postings are there
 * alone. */
typedef struct mn_turns_saved {
    mn_store *store; /* NULL = nothing is kept */
    char owner[40];
    uint32_t n, n_conversations, n_sessions, n_speakers;
    bool failed; /* to append: not tried again */
} mn_turns_saved;

struct mn_turns {
    mn_lexicon lexicon;
    mn_word_list words; /* scratch */
    mn_packed *lists;   /* by term */
    mn_turn_item *items;
    mn_turn_session *sessions;
    mn_intern session_names, conversations, speakers;
    size_t n_lists, lists_capacity, items_capacity, sessions_capacity;
    uint32_t n;
    float *marks; /* scratch of a search: five numbers a turn */
    size_t marks_capacity;
    mn_turns_saved saved;
};

/* Appends a turn whose session and speaker have names: its neighbours, and who takes part. False when memory ends. */
bool mn_turns_place(mn_turns *turns, mn_turn_item *item);
/* The postings of a term, of turns in the store and of those behind them; the caller releases *out. */
mn_status mn_turns_postings(const mn_turns *turns, uint32_t term, mn_postings *out, mn_error *err);

#endif
