/* What the walk and its two policies share. */
#ifndef MN_GRAPH_WALK_INSIDE_H
#define MN_GRAPH_WALK_INSIDE_H

#include "graph/inside.h"
#include "graph/walk.h"

enum { MN_WALK_PAGE = 50, MN_WALK_MAX_READ = 3, MN_WALK_LIST = 512 };

/* Numbers that were met, few. */
typedef struct mn_met {
    uint32_t items[MN_WALK_LIST];
    uint32_t n;
} mn_met;
bool mn_met_has(const mn_met *met, uint32_t number);
/* What does not fit any more is not noted. */
void mn_met_add(mn_met *met, uint32_t number);

typedef struct mn_walk_path {
    int number, n_calls;
    mn_key key;
    mn_met keys, passages, facts; /* visited, read, noted */
    uint32_t queue[MN_WALK_LIST]; /* passages to read, from the head */
    uint32_t n_queue;
    mn_strbuf notebook, actions;
    char last_action[128];
    bool is_over;
} mn_walk_path;

/* What a policy decides. */
typedef enum mn_move {
    MN_MOVE_READ,       /* FACTS: the passages in `numbers` */
    MN_MOVE_NEIGHBOUR,  /* FACTS: none of them; NEIGHBOUR: the key numbers[0] */
    MN_MOVE_MORE,       /* CHUNK: the next in the queue */
    MN_MOVE_PREVIOUS,   /* CHUNK */
    MN_MOVE_SUBSEQUENT, /* CHUNK */
    MN_MOVE_END
} mn_move;
const char *mn_move_name(mn_move move);

typedef struct mn_decision {
    mn_move move;
    uint32_t numbers[MN_WALK_PAGE];
    uint32_t n;
    bool is_default; /* the model named no action that there is */
} mn_decision;

typedef struct mn_walker {
    mn_graph *graph;
    mn_walk *walk;
    mn_walk_params params;
    mn_llm *llm;
    float *fact_scores; /* by unit: how well each answers the question */
    char run[MN_ID_BYTES];
    mn_llm_reply last; /* tokens of the call that is being decided */
    bool was_asked;
} mn_walker;

typedef struct mn_walk_policy {
    mn_status (*plan)(mn_walker *w, mn_error *err);
    /* Keys to begin at, at most max: candidates are given. */
    mn_status (*select)(mn_walker *w, const mn_hit *keys, uint32_t n, uint32_t max, mn_decision *out, mn_error *err);
    mn_status (*facts)(mn_walker *w, mn_walk_path *p, const uint32_t *facts, uint32_t n, mn_decision *out,
                       mn_error *err);
    mn_status (*chunk)(mn_walker *w, mn_walk_path *p, const mn_passage *passage, mn_decision *out, mn_error *err);
    mn_status (*neighbour)(mn_walker *w, mn_walk_path *p, const mn_neighbour *keys, uint32_t n, mn_decision *out,
                           mn_error *err);
} mn_walk_policy;
extern const mn_walk_policy mn_walk_lexical, mn_walk_by_model;

/* The model's answer, from all notebooks, or from the evidence where it only reads. */
mn_status mn_walk_answer_by_model(mn_walker *w, mn_error *err);

/* Scores of all facts for a question, by unit, as mn_graph_search_facts ranks them; the caller frees *out. All 0 where
 * no word is found (search.c). */
mn_status mn_graph_score_facts(mn_graph *graph, const char *question, float **out, mn_error *err);

#endif
