/* Personalised PageRank (Page et al. 1999; Haveliwala 2002), as HippoRAG ranks passages (Gutierrez et al. 2024,
 * arXiv:2405.14831): a walker follows links, and with probability 1 - damping begins anew where the question points.
 *
 *     r = (1 - damping) s + damping (P^T r + d s)
 *
 * s: the start vector, sum 1; P: links weighed so that each node's sum to 1; d: the share of r on nodes without links.
 */
#ifndef MN_GRAPH_PAGERANK_H
#define MN_GRAPH_PAGERANK_H

#include "graph/graph.h"

/* Links of node i: to[first[i]] ... to[first[i + 1] - 1], each with a weight from 0 up. */
typedef struct mn_link_matrix {
    uint32_t n;
    size_t *first; /* [n + 1] */
    uint32_t *to;
    float *weight;
} mn_link_matrix;

void mn_link_matrix_release(mn_link_matrix *links);

/* ranks [n], sum 1, until a step changes them by less than `least` in sum, 100 steps at most; start [n] from 0 up, not
 * all 0. Cost: links for each step. */
mn_status mn_pagerank(const mn_link_matrix *links, const float *start, float damping, float least, float *ranks,
                      mn_error *err);

/* The graph of a store as links: passages, then keys; a passage and a key that a fact of it holds are linked both ways,
 * with weight ln(1 + passages / passages of the key); keys of one passage alone, and of more than a tenth of them, are
 * not linked. The caller releases it. Cost: all keys of the store are read. */
mn_status mn_graph_links(mn_graph *graph, mn_link_matrix *out, mn_error *err);

#endif
