/* What an open graph holds: for the files of this room. */
#ifndef MN_GRAPH_INSIDE_H
#define MN_GRAPH_INSIDE_H

#include "graph/build.h"
#include "graph/graph.h"
#include "graph/keys.h"
#include "graph/pagerank.h"
#include "graph/turns.h"
#include "store/text_vectors.h"

struct mn_graph {
    mn_store *store;
    uint32_t *first_units; /* [n_passages + 1]; a passage's first unit is its title */
    uint32_t *unit_words;  /* [n_units] */
    uint32_t *passage_of;  /* [n_units] */
    uint32_t n_passages, n_units;
    double mean_passage_words, mean_fact_words;
    mn_lexicon lexicon; /* of questions */
    mn_word_list words; /* scratch */
    mn_strbuf form;
    mn_turns *turns;         /* NULL until they are asked for; the store may hold none */
    uint32_t *turn_passages; /* by turn */
    bool has_turns, has_documents;
    mn_graph_ranking ranking;
    mn_link_matrix links;  /* n 0 until a search ranks by them */
    mn_text_vectors *near; /* NULL: words alone rank */
    mn_intern chunks;      /* ids of passages by number, where vectors rank */
};

enum { MN_NEAR_DEPTH = 100 };

/* Joins the ranking of words (n_words, at most MN_NEAR_DEPTH) with that of vectors: at most k hits (near.c). */
mn_status mn_near_join(mn_graph *graph, const char *question, const mn_hit *words, uint32_t n_words, uint32_t k,
                       mn_hit *hits, uint32_t *n_hits, mn_error *err);

/* A passage's words as BM25 counts them: the title twice. */
static inline float mn_passage_words(const mn_graph *g, uint32_t passage) {
    uint32_t sum = g->unit_words[g->first_units[passage]];
    for (uint32_t u = g->first_units[passage]; u < g->first_units[passage + 1]; u++) sum += g->unit_words[u];
    return (float)sum;
}

/* MN_ERR_FORMAT with its sentence; takes the index away, so that the next mn_graph_open makes it anew. */
mn_status mn_graph_damaged(const mn_graph *graph, mn_error *err);
/* Keeps the k best hits in order, of equal ones the earlier. */
void mn_hits_insert(mn_hit *hits, uint32_t *n, uint32_t k, mn_hit hit);

#endif
