/* Passages by meaning: vectors of a graph's passages (store/text_vectors.h), and rankings of words joined with theirs
 * by reciprocal ranks (store/fusion.h), the 100 best of each. */
#ifndef MN_GRAPH_NEAR_H
#define MN_GRAPH_NEAR_H

#include "graph/graph.h"
#include "store/text_vectors.h"

/* Makes the vectors of passages that have none (title and text as one), takes away those whose passage is gone, and
 * lets all searches of the graph rank by both from now on; their scores are sums of 1 / (60 + rank) then. The engine is
 * borrowed until mn_graph_close. type NULL = as they are kept already, 8 bits for new ones. *n: how many were made. */
mn_status mn_graph_rank_near(mn_graph *graph, mn_engine *engine, const mn_dtype *type, mn_text_vectors_fn *progress,
                             void *arg, int64_t *n, mn_error *err);

#endif
