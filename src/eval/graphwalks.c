/* Graph walks (after OpenAI's graphwalks, 2025): a directed graph as a list of edges fills the window; asked for all
 * nodes that breadth-first search reaches from a node at exactly a depth, or for the parents of a node. */
#include "eval/task.h"
#include "eval/tasks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NODE_LETTERS = 8, MAX_ANSWER = 12, MAX_DEPTH = 4 };

typedef struct edge {
    int32_t from, to;
} edge;

typedef struct graph {
    edge *edges;
    int64_t n_edges, capacity;
    int32_t n_nodes;
    uint64_t salt; /* node i is spelled by a hash of it */
} graph;

/* Spelling of a node: the finaliser of SplitMix64 over its number. */
static void spell(const graph *g, int32_t node, char out[NODE_LETTERS + 1]) {
    uint64_t x = g->salt + (uint64_t)node * UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    snprintf(out, NODE_LETTERS + 1, "%08x", (unsigned)(x >> 32));
}

static void add(graph *g, int32_t from, int32_t to) {
    if (g->n_edges < g->capacity) g->edges[g->n_edges++] = (edge){from, to};
}

/* Layers of nodes, each node of one with an edge from a node of the one before: what is reached at depth `depth` is the
 * last layer, and nothing leads back. */
static void grow_walk(mn_random *rng, graph *g, int depth, int n_answer, int32_t *answer) {
    int32_t first = 0, n = 1;
    g->n_nodes = 1;
    for (int d = 1; d <= depth; d++) {
        int32_t next = d == depth ? n_answer : 1 + (int32_t)mn_random_below(rng, 3), begin = g->n_nodes;
        for (int32_t i = 0; i < next; i++) add(g, first + (int32_t)mn_random_below(rng, (uint32_t)n), begin + i);
        g->n_nodes += next;
        first = begin;
        n = next;
    }
    for (int32_t i = 0; i < n; i++) answer[i] = first + i;
}

/* Nodes with an edge to node 0. */
static void grow_parents(mn_random *rng, graph *g, int n_answer, int32_t *answer) {
    (void)rng;
    g->n_nodes = 1 + n_answer;
    for (int32_t i = 0; i < n_answer; i++) {
        add(g, 1 + i, 0);
        answer[i] = 1 + i;
    }
}

/* Edges among new nodes, and from new nodes into the graph of a walk, which change no answer. */
static void fill(mn_random *rng, graph *g, int64_t units, bool parents) {
    int32_t old = g->n_nodes, n_new = (int32_t)(units / 2) + 2;
    g->n_nodes += n_new;
    while (g->n_edges < units) {
        int32_t from = old + (int32_t)mn_random_below(rng, (uint32_t)n_new);
        bool inward = !parents && mn_random_below(rng, 4) == 0;
        int32_t to = inward ? (int32_t)mn_random_below(rng, (uint32_t)old)
                            : old + (int32_t)mn_random_below(rng, (uint32_t)n_new);
        if (from != to) add(g, from, to);
    }
}

static void put_edges(mn_random *rng, graph *g, mn_strbuf *out) {
    char from[NODE_LETTERS + 1], to[NODE_LETTERS + 1];
    for (int64_t i = g->n_edges; i > 1; i--) {
        int64_t j = (int64_t)(mn_random_u64(rng) % (uint64_t)i);
        edge swap = g->edges[i - 1];
        g->edges[i - 1] = g->edges[j];
        g->edges[j] = swap;
    }
    for (int64_t i = 0; i < g->n_edges; i++) {
        spell(g, g->edges[i].from, from);
        spell(g, g->edges[i].to, to);
        mn_strbuf_printf(out, "%s -> %s\n", from, to);
    }
}

static const char rules[] =
    "Below is a directed graph, an edge a line. You will be asked for nodes of it. Answer on the last line with a list "
    "in brackets, [] when there are none. Three examples:\n\n"
    "Edges: a1 -> b2, a1 -> c3, b2 -> d4. Breadth-first search from a1, nodes at depth 1: [b2, c3]\n"
    "Edges: a1 -> b2, a1 -> c3, b2 -> d4. Breadth-first search from a1, nodes at depth 2: [d4]\n"
    "Edges: a1 -> b2, c3 -> b2, b2 -> d4. Parents of b2: [a1, c3]\n\nThe graph:\n";

static void make(const mn_task_world *w, mn_random *rng, int64_t units, mn_task_sample *out) {
    (void)w;
    graph g = {.capacity = units + 64, .salt = mn_random_u64(rng)};
    int32_t answer[MAX_ANSWER];
    char name[NODE_LETTERS + 1];
    bool parents = mn_random_below(rng, 4) == 0;
    int depth = 1 + (int)mn_random_below(rng, MAX_DEPTH), n = 1 + (int)mn_random_below(rng, MAX_ANSWER);
    mn_random filling, order;
    mn_random_seed(&filling, mn_random_u64(rng), 8);
    mn_random_seed(&order, mn_random_u64(rng), 9);
    g.edges = malloc((size_t)g.capacity * sizeof *g.edges);
    if (!g.edges) {
        out->document.failed = true;
        return;
    }
    if (parents)
        grow_parents(rng, &g, n, answer);
    else
        grow_walk(rng, &g, depth, n, answer);
    fill(&filling, &g, units, parents);
    mn_strbuf_puts(&out->document, rules);
    put_edges(&order, &g, &out->document);
    spell(&g, 0, name);
    if (parents)
        mn_strbuf_printf(&out->question, "Which nodes are parents of %s?", name);
    else
        mn_strbuf_printf(&out->question,
                         "Breadth-first search starts at %s. Which nodes does it reach at depth %d exactly?", name,
                         depth);
    mn_strbuf_puts(&out->prefix, "Final answer: [");
    for (int i = 0; i < n; i++) {
        spell(&g, answer[i], name);
        mn_task_add_reference(out, name);
    }
    free(g.edges);
}

const mn_task mn_task_graphwalks = {"graphwalks", "nodes at a depth, or parents, in a graph of edges",
                                    "edges",      MN_SCORE_SET_F1,
                                    160,          false,
                                    48,           INT64_C(1) << 22,
                                    make,         false};
