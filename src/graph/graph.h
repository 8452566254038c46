/* GraphReader's graph: passages, the facts in them, and the keys the facts are about.
 *
 * After Li et al. 2024, "GraphReader: Building Graph-based Agent to Enhance Long-Context Abilities of Large Language
 * Models" (arXiv:2406.14550). A node is a key with the facts that hold it; two keys are neighbours when a fact holds
 * both. Built without a model: facts are sentences, keys are found by rules (keys.h), and passages are linked where one
 * mentions what another defines.
 *
 * An open graph holds 8 bytes for each fact in memory and takes the rest from the store as it is asked for. It sees the
 * texts as they were when it was opened.
 *
 * Threads: one graph, and its store, are used by one thread at a time.
 */
#ifndef MN_GRAPH_GRAPH_H
#define MN_GRAPH_GRAPH_H

#include "graph/words.h"
#include "store/store.h"

typedef struct mn_graph mn_graph;

/* Opens the graph of a store; makes its index when texts came or went since. The store is borrowed until
 * mn_graph_close. */
mn_status mn_graph_open(mn_store *store, mn_graph **out, mn_error *err);
void mn_graph_close(mn_graph *graph);

typedef struct mn_graph_figures {
    int64_t n_documents, n_passages, n_facts, n_keys, n_terms, text_bytes;
} mn_graph_figures;
mn_status mn_graph_count(mn_graph *graph, mn_graph_figures *out, mn_error *err);

/* ---- search (search.c) ---- */

/* How passages beyond those that hold the question's words are found. */
typedef enum mn_graph_ranking {
    MN_RANK_HOP,     /* one hop along links, by what it adds to the question's words */
    MN_RANK_PAGERANK /* personalised PageRank over passages and keys (pagerank.h), from the question's keys and the
                      * passages that hold its words; worse on the sets measured (docs/graphreader.md) */
} mn_graph_ranking;

/* For all searches from now on; a new graph ranks by MN_RANK_HOP. */
void mn_graph_rank_by(mn_graph *graph, mn_graph_ranking ranking);

typedef struct mn_hit {
    uint32_t number; /* of the passage, or fact */
    float score;
} mn_hit;

/* The passages that answer a question, at most k, best first, of equal ones the earlier: BM25 by term (k1 1.2, b 0.75,
 * the title counted twice), 0.4 for a passage whose title or subject stands in the question, and one hop from the 50
 * best to what they link to, by what it adds to the question's words. Turns of conversations are searched by turns.h;
 * where a store holds both, each list is scaled to a best of 1. hits [k]. */
mn_status mn_graph_search(mn_graph *graph, const char *question, uint32_t k, mn_hit *hits, uint32_t *n_hits,
                          mn_error *err);
/* The facts that answer it: by their passage's score, 0.3 BM25 of the fact with its title, 0.1 for a passage's first.
 */
mn_status mn_graph_search_facts(mn_graph *graph, const char *question, uint32_t k, mn_hit *hits, uint32_t *n_hits,
                                mn_error *err);
/* The keys to begin at: those that stand in the question and those of its 10 best facts, rare ones first. */
mn_status mn_graph_search_keys(mn_graph *graph, const char *question, uint32_t k, mn_hit *hits, uint32_t *n_hits,
                               mn_error *err);

/* ---- what is there (nodes.c); every list is the caller's to free ---- */

typedef struct mn_passage {
    uint32_t number;
    char *file;            /* the document's name: a path, or an id of a collection */
    char *title, *speaker; /* "" = none */
    char *session;
    int64_t time;       /* seconds since 1970, -1 = unknown */
    char *id;           /* of the chunk: by its content */
    int64_t begin, end; /* bytes of the document's text */
    char *text;
    size_t bytes;
    uint32_t first_fact, end_fact; /* numbers of its facts */
} mn_passage;

/* Numbers beyond the last are MN_ERR_ARGUMENT. */
mn_status mn_graph_passage(mn_graph *graph, uint32_t number, mn_passage *out, mn_error *err);
void mn_passage_release(mn_passage *passage);
uint32_t mn_graph_n_passages(const mn_graph *graph);
/* The passages before and after, in the same document; UINT32_MAX = none. */
mn_status mn_graph_beside(mn_graph *graph, uint32_t passage, uint32_t *before, uint32_t *after, mn_error *err);

typedef struct mn_fact {
    uint32_t number, passage;
    uint32_t begin, end; /* bytes of the passage's text */
    char *text;          /* a sentence, or what a model made of it (extract.h) */
    char *quote;         /* what stands at its place: text itself, but for facts by a model */
    uint32_t *keys;      /* [n_keys] */
    uint32_t n_keys;
} mn_fact;
mn_status mn_graph_fact(mn_graph *graph, uint32_t number, mn_fact *out, mn_error *err);
void mn_fact_release(mn_fact *fact);

typedef struct mn_key {
    uint32_t number;
    char *form, *text;          /* folded; as first written */
    uint32_t *facts, *passages; /* that hold it; that define it */
    uint32_t n_facts, n_passages;
} mn_key;
mn_status mn_graph_key(mn_graph *graph, uint32_t number, mn_key *out, mn_error *err);
/* By how it is written, in any case: *found tells whether there is one. */
mn_status mn_graph_find_key(mn_graph *graph, const char *text, mn_key *out, bool *found, mn_error *err);
void mn_key_release(mn_key *key);

typedef struct mn_neighbour {
    uint32_t key, n_shared; /* facts that hold both */
} mn_neighbour;
/* Keys that share a fact with this one, most shared first, of equal ones the earlier; at most max of *n_all. Facts
 * beyond the first 20000 of a key are not looked at. */
mn_status mn_graph_neighbours(mn_graph *graph, const mn_key *key, uint32_t max, mn_neighbour *out, uint32_t *n,
                              uint32_t *n_all, mn_error *err);

#endif
