/* A key with its neighbours, and a walk, as pictures: SVG, or a page that holds one and the facts. */
#ifndef MN_GRAPH_PICTURE_H
#define MN_GRAPH_PICTURE_H

#include "base/strbuf.h"
#include "graph/walk.h"

/* Appends an SVG of the key in the middle and up to 24 neighbours around it; a line is as wide as facts are shared. */
mn_status mn_picture_key(mn_graph *graph, const mn_key *key, mn_strbuf *out, mn_error *err);
/* Appends an SVG of a walk: a column for each path, a box for each step, from the top down. */
mn_status mn_picture_walk(const mn_walk *walk, mn_strbuf *out, mn_error *err);

#endif
