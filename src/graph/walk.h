/* GraphReader's walk: N agents explore the graph, each from a key of its own, with a notebook each, and one answer is
 * made of what they noted (Li et al. 2024, arXiv:2406.14550, sections 3.3 and 3.4).
 *
 *     PLAN, SELECT, then for each path: FACTS of a key -> CHUNKS that are worth reading -> a NEIGHBOUR key -> FACTS ...
 *     until it terminates, has made max_calls calls, repeats itself or finds no way on; then ANSWER.
 *
 * With a model that follows instructions each of these is a call (policy_model.c; the prompts are src/graph/prompts/).
 * Without one, the scores of words decide (policy_lexical.c), and the facts that answer best are the answer; a model
 * that only reads may then put it in words.
 *
 * Every prompt and its answer fit into the window, counted by the model's own tokenizer. What a model answers is
 * checked: an action that is none is asked for once more, then the default is taken; keys that are none are dropped.
 */
#ifndef MN_GRAPH_WALK_H
#define MN_GRAPH_WALK_H

#include "base/strbuf.h"
#include "graph/graph.h"
#include "llm/llm.h"

typedef enum mn_walk_stage {
    MN_WALK_PLAN,
    MN_WALK_SELECT,
    MN_WALK_FACTS,
    MN_WALK_CHUNK,
    MN_WALK_NEIGHBOUR,
    MN_WALK_COMPACT,
    MN_WALK_ANSWER
} mn_walk_stage;
const char *mn_walk_stage_name(mn_walk_stage stage);

typedef struct mn_walk_params {
    int n_paths;           /* 0 = 5 */
    int max_calls;         /* of a path, 0 = 10 */
    int64_t window_tokens; /* 0 = 4096; never more than the model's */
    int64_t reply_tokens;  /* 0 = 512 */
    double temperature;    /* 0.2 in the paper */
    uint32_t max_facts;    /* in the answer's evidence, 0 = 10 */
    bool reads_only;       /* the model follows no instructions: it puts the answer in words and does no more */
    /* Called after each step; false ends the walk with MN_ERR_CANCELLED. May be NULL. */
    bool (*progress)(void *arg, int path, mn_walk_stage stage, const char *about);
    void *arg;
} mn_walk_params;

/* A step: what was looked at, and what was decided. */
typedef struct mn_walk_step {
    int path; /* -1: before and after the paths */
    mn_walk_stage stage;
    char *about, *action; /* a key or a file; "read_chunk 3 5", "termination", "default: search_more" */
    int64_t prompt_tokens, completion_tokens;
    bool is_cached;
} mn_walk_step;

typedef struct mn_walk {
    char *question, *plan, *answer;
    mn_walk_step *steps;
    size_t n_steps, steps_capacity;
    mn_hit *evidence; /* facts, best first; what the answer rests on */
    uint32_t n_evidence;
    char **notebooks; /* [n_paths] */
    int n_paths;
} mn_walk;

/* The tables of walks, for who imports them; mn_walk_run makes them itself. */
mn_status mn_walk_migrate(mn_store *store, mn_error *err);

/* llm NULL: without a model. Steps are kept in the tables walk_run and walk_step of the graph's store as they are made;
 * a model's calls in its own journal (mn_llm_set_journal), so that a question which was cut off and is asked again
 * goes on where it was. The caller releases *out, also after an error: it holds what was done. */
mn_status mn_walk_run(mn_graph *graph, const char *question, const mn_walk_params *params, mn_llm *llm, mn_walk *out,
                      mn_error *err);
void mn_walk_release(mn_walk *walk);

#endif
