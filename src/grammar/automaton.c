#include "grammar/automaton.h"

#include "base/checked.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { NONE = -1, ROW_UNKNOWN = 0, ROW_DEAD = 1, ROW_CONFIG = 2, BYTES = 256 };

typedef struct edge {
    uint32_t first, last;
    int32_t rule, to;
} edge;

/* The top of a stack. */
typedef struct node {
    int32_t state, below; /* below: the node to go back to; NONE: nothing */
    int32_t distance;     /* to the end of all of it */
    uint32_t visit;       /* the last closure that came by */
} node;

typedef struct config {
    int32_t first, n; /* its nodes, in a->items */
    int32_t distance;
    int32_t shortest; /* symbol + 1; 0: not looked for */
    bool accepts, takes_tokens;
} config;

struct mn_automaton {
    /* the grammar */
    int32_t n_states, root;
    int32_t *begin; /* [n_states + 1] into edges */
    edge *edges;
    int32_t *distance, *start_of; /* [n_states], [n_rules] */
    bool *is_end;                 /* [n_states] */
    bool usable[BYTES];
    uint8_t class_of[BYTES]; /* bytes of one class lead to the same from everywhere */
    int32_t n_classes;

    /* what was met so far */
    node *nodes;
    config *configs;
    int32_t *rows; /* [max_configs][n_classes] ROW_CONFIG + configuration */
    int32_t *items;
    int32_t *node_slots, *config_slots; /* number + 1; 0 = free */
    int32_t n_nodes, n_configs, n_items;
    int32_t max_nodes, max_configs, max_items;
    size_t node_mask, config_mask;

    /* a closure under way */
    uint32_t visit;
    int32_t *work;
    int32_t n_work;
    bool accepts, full;
};

/* ---- the grammar ---- */

/* Where an edge ends, past states that only lead on. */
static int32_t skip_on(const mn_grammar *g, int32_t state) {
    for (int32_t steps = 0; steps < 64; steps++) {
        int32_t only = g->edge_of[state];
        if (only < 0 || g->edges[only].next >= 0 || g->edges[only].rule >= 0 ||
            g->edges[only].first <= g->edges[only].last)
            break;
        state = g->edges[only].to;
    }
    return state;
}

static void copy_edges(mn_automaton *a, const mn_grammar *g) {
    int32_t n = 0;
    for (int32_t s = 0; s < g->n_states; s++) {
        a->begin[s] = n;
        for (int32_t i = g->edge_of[s]; i >= 0; i = g->edges[i].next) {
            const mn_grammar_edge *e = &g->edges[i];
            a->edges[n++] = (edge){e->first, e->last, e->rule, skip_on(g, e->to)};
        }
    }
    a->begin[g->n_states] = n;
    for (int32_t i = 0; i < g->n_rules; i++) {
        a->start_of[i] = skip_on(g, g->rules[i].start);
        a->is_end[g->rules[i].end] = true;
    }
}

/* Bytes between which no edge begins or ends are of one class. */
static void find_classes(mn_automaton *a, const mn_grammar *g) {
    bool begins[BYTES + 1] = {true};
    for (int32_t i = 0; i < g->n_edges; i++) {
        const mn_grammar_edge *e = &g->edges[i];
        if (e->rule >= 0 || e->first > e->last || e->first >= BYTES) continue;
        begins[e->first] = begins[MN_MIN(e->last, BYTES - 1U) + 1] = true;
    }
    for (int byte = 0; byte < BYTES; byte++) {
        a->n_classes += begins[byte];
        a->class_of[byte] = (uint8_t)(a->n_classes - 1);
    }
}

static bool take_memory(mn_automaton *a, const mn_grammar *g, size_t bytes) {
    size_t n_states = (size_t)g->n_states, row_bytes = (size_t)a->n_classes * sizeof *a->rows;
    a->begin = malloc((n_states + 1) * sizeof *a->begin);
    a->edges = malloc(((size_t)g->n_edges + 1) * sizeof *a->edges);
    a->distance = malloc(n_states * sizeof *a->distance);
    a->start_of = malloc((size_t)g->n_rules * sizeof *a->start_of);
    a->is_end = calloc(n_states, sizeof *a->is_end);
    bytes = MN_MIN(MN_MAX(bytes, (size_t)1 << 20), (size_t)1 << 34);
    a->max_configs = (int32_t)(bytes / 2 / (row_bytes + sizeof *a->configs));
    a->max_nodes = a->max_items = (int32_t)(bytes / 128);
    for (a->node_mask = 1024; a->node_mask < 2 * (size_t)a->max_nodes; a->node_mask *= 2) {
    }
    for (a->config_mask = 1024; a->config_mask < 2 * (size_t)a->max_configs; a->config_mask *= 2) {
    }
    a->nodes = malloc((size_t)a->max_nodes * sizeof *a->nodes);
    a->work = malloc((size_t)a->max_nodes * sizeof *a->work);
    a->configs = malloc((size_t)a->max_configs * sizeof *a->configs);
    a->rows = calloc((size_t)a->max_configs, row_bytes);
    a->items = malloc((size_t)a->max_items * sizeof *a->items);
    a->node_slots = calloc(a->node_mask--, sizeof *a->node_slots);
    a->config_slots = calloc(a->config_mask--, sizeof *a->config_slots);
    return a->begin && a->edges && a->distance && a->start_of && a->is_end && a->nodes && a->work && a->configs &&
           a->rows && a->items && a->node_slots && a->config_slots;
}

mn_status mn_automaton_create(const mn_grammar *g, const bool *usable, size_t memory_bytes, mn_automaton **out,
                              mn_error *err) {
    mn_automaton *a = calloc(1, sizeof *a);
    *out = NULL;
    if (a) find_classes(a, g);
    if (!a || !take_memory(a, g, memory_bytes)) {
        mn_automaton_destroy(a);
        return mn_fail(err, MN_ERR_MEMORY, "There is no memory for a grammar of %d states.", g->n_states);
    }
    a->n_states = g->n_states;
    a->root = g->root;
    memcpy(a->usable, usable, sizeof a->usable);
    copy_edges(a, g);
    mn_status status = mn_grammar_distances(g, usable, a->distance, err);
    if (status == MN_OK)
        *out = a;
    else
        mn_automaton_destroy(a);
    return status;
}

void mn_automaton_destroy(mn_automaton *a) {
    if (!a) return;
    void *const owned[] = {a->begin, a->edges, a->distance, a->start_of,   a->is_end,       a->nodes,
                           a->work,  a->rows,  a->items,    a->node_slots, a->config_slots, a->configs};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) free(owned[i]);
    free(a);
}

/* ---- stacks ---- */

static int32_t sum(int32_t x, int32_t y) {
    int64_t total = (int64_t)x + y;
    return x == MN_NO_END || y == MN_NO_END ? MN_NO_END : (int32_t)MN_MIN(total, (int64_t)MN_NO_END - 1);
}

static int32_t distance_of(const mn_automaton *a, int32_t state, int32_t below) {
    return sum(a->distance[state], below == NONE ? 0 : a->nodes[below].distance);
}

static size_t node_slot(const mn_automaton *a, int32_t state, int32_t below) {
    const int32_t key[2] = {state, below};
    size_t at = (size_t)XXH3_64bits(key, sizeof key) & a->node_mask;
    while (a->node_slots[at]) {
        const node *n = &a->nodes[a->node_slots[at] - 1];
        if (n->state == state && n->below == below) break;
        at = (at + 1) & a->node_mask;
    }
    return at;
}

/* The node of a stack; NONE where it cannot be completed, or memory ends. */
static int32_t node_of(mn_automaton *a, int32_t state, int32_t below) {
    int32_t distance = distance_of(a, state, below);
    if (distance == MN_NO_END || a->full) return NONE;
    size_t at = node_slot(a, state, below);
    if (!a->node_slots[at]) {
        if (a->n_nodes == a->max_nodes) {
            a->full = true;
            return NONE;
        }
        a->nodes[a->n_nodes] = (node){state, below, distance, 0};
        a->node_slots[at] = ++a->n_nodes;
    }
    return a->node_slots[at] - 1;
}

/* ---- closures: all stacks that are reached without a symbol ---- */

static void reach_node(mn_automaton *a, int32_t at) {
    if (at == NONE || a->nodes[at].visit == a->visit) return;
    a->nodes[at].visit = a->visit;
    a->work[a->n_work++] = at;
}

/* The stack whose top becomes this state. */
static void reach(mn_automaton *a, int32_t state, int32_t below) {
    if (!a->is_end[state])
        reach_node(a, node_of(a, state, below));
    else if (below == NONE)
        a->accepts = true;
    else
        reach_node(a, below);
}

/* Returns whether the stack waits for a symbol. */
static bool open_node(mn_automaton *a, node n) {
    bool waits = false;
    for (int32_t i = a->begin[n.state]; i < a->begin[n.state + 1]; i++) {
        const edge *e = &a->edges[i];
        if (e->rule >= 0) { /* a call at a rule's end leaves nothing to go back to */
            int32_t back = a->is_end[e->to] ? n.below : node_of(a, e->to, n.below);
            if (back != NONE || a->is_end[e->to]) reach(a, a->start_of[e->rule], back);
        } else if (e->first > e->last) {
            reach(a, e->to, n.below);
        } else {
            waits = true;
        }
    }
    return waits;
}

/* In place and without memory, which qsort of the C library takes. */
static void sift_down(int32_t *x, int32_t n, int32_t at) {
    int32_t moving = x[at];
    for (int32_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && x[child + 1] > x[child]) child++;
        if (x[child] <= moving) break;
        x[at] = x[child];
    }
    x[at] = moving;
}

static void sort(int32_t *x, int32_t n) {
    for (int32_t at = n / 2 - 1; at >= 0; at--) sift_down(x, n, at);
    for (int32_t last = n - 1; last > 0; last--) {
        int32_t most = x[0];
        x[0] = x[last];
        x[last] = most;
        sift_down(x, last, 0);
    }
}

static size_t config_slot(const mn_automaton *a, const int32_t *items, int32_t n, bool accepts) {
    size_t at = (size_t)XXH3_64bits_withSeed(items, (size_t)n * sizeof *items, accepts) & a->config_mask;
    for (; a->config_slots[at]; at = (at + 1) & a->config_mask) {
        const config *c = &a->configs[a->config_slots[at] - 1];
        if (c->n == n && c->accepts == accepts && !memcmp(a->items + c->first, items, (size_t)n * sizeof *items)) break;
    }
    return at;
}

static bool takes_tokens(const mn_automaton *a, int32_t state) {
    for (int32_t i = a->begin[state]; i < a->begin[state + 1]; i++)
        if (a->edges[i].rule < 0 && a->edges[i].first <= a->edges[i].last && a->edges[i].last >= MN_SYMBOL_TOKEN)
            return true;
    return false;
}

/* The n nodes at the end of a->items as a configuration. */
static int32_t config_of(mn_automaton *a, int32_t n) {
    int32_t *items = a->items + a->n_items;
    sort(items, n);
    size_t at = config_slot(a, items, n, a->accepts);
    if (a->config_slots[at]) return a->config_slots[at] - 1;
    if (a->n_configs == a->max_configs) return MN_AUTOMATON_FULL;
    config c = {.first = a->n_items, .n = n, .distance = a->accepts ? 0 : MN_NO_END, .accepts = a->accepts};
    for (int32_t i = 0; i < n; i++) {
        c.distance = MN_MIN(c.distance, a->nodes[items[i]].distance);
        c.takes_tokens = c.takes_tokens || takes_tokens(a, a->nodes[items[i]].state);
    }
    a->n_items += n;
    a->configs[a->n_configs] = c;
    a->config_slots[at] = ++a->n_configs;
    return a->n_configs - 1;
}

static void begin_closure(mn_automaton *a) {
    a->visit++;
    a->n_work = 0;
    a->accepts = a->full = false;
}

static int32_t end_closure(mn_automaton *a) {
    int32_t n = 0;
    while (a->n_work && !a->full) {
        int32_t at = a->work[--a->n_work];
        if (!open_node(a, a->nodes[at])) continue;
        if (a->n_items + n == a->max_items) a->full = true;
        if (!a->full) a->items[a->n_items + n++] = at;
    }
    if (a->full) return MN_AUTOMATON_FULL;
    return n || a->accepts ? config_of(a, n) : MN_AUTOMATON_DEAD;
}

int32_t mn_automaton_start(mn_automaton *a) {
    begin_closure(a);
    reach(a, a->start_of[a->root], NONE);
    return end_closure(a);
}

int32_t mn_automaton_step(mn_automaton *a, int32_t at, uint32_t symbol) {
    int32_t *known = symbol < BYTES ? &a->rows[(size_t)at * (size_t)a->n_classes + a->class_of[symbol]] : NULL;
    if (known && *known) return *known == ROW_DEAD ? MN_AUTOMATON_DEAD : *known - ROW_CONFIG;
    config c = a->configs[at];
    begin_closure(a);
    for (int32_t i = c.first; i < c.first + c.n; i++) {
        node n = a->nodes[a->items[i]];
        for (int32_t k = a->begin[n.state]; k < a->begin[n.state + 1]; k++)
            if (a->edges[k].rule < 0 && a->edges[k].first <= symbol && symbol <= a->edges[k].last)
                reach(a, a->edges[k].to, n.below);
    }
    int32_t next = end_closure(a);
    if (known && next != MN_AUTOMATON_FULL) *known = next == MN_AUTOMATON_DEAD ? ROW_DEAD : ROW_CONFIG + next;
    return next;
}

mn_automaton_table mn_automaton_known(const mn_automaton *a) {
    return (mn_automaton_table){a->rows, a->class_of, (size_t)a->n_classes};
}

/* ---- what is known of a configuration ---- */

bool mn_automaton_accepts(const mn_automaton *a, int32_t at) { return a->configs[at].accepts; }
bool mn_automaton_goes_on(const mn_automaton *a, int32_t at) { return a->configs[at].n > 0; }
bool mn_automaton_takes_tokens(const mn_automaton *a, int32_t at) { return a->configs[at].takes_tokens; }
int32_t mn_automaton_distance(const mn_automaton *a, int32_t at) { return a->configs[at].distance; }
int32_t mn_automaton_capacity(const mn_automaton *a) { return a->max_configs; }

/* The smallest symbol of an edge that can come; above all symbols where there is none. */
static uint32_t smallest(const mn_automaton *a, const edge *e) {
    for (uint32_t c = e->first; c <= e->last; c++)
        if (c >= BYTES || a->usable[c]) return c;
    return UINT32_MAX;
}

int32_t mn_automaton_shortest(mn_automaton *a, int32_t at) {
    config *c = &a->configs[at];
    uint32_t best = UINT32_MAX;
    if (c->distance == 0) return -1;
    for (int32_t i = c->first; !c->shortest && i < c->first + c->n; i++) {
        const node *n = &a->nodes[a->items[i]];
        if (n->distance != c->distance) continue;
        for (int32_t k = a->begin[n->state]; k < a->begin[n->state + 1]; k++) {
            const edge *e = &a->edges[k];
            if (e->rule >= 0 || e->first > e->last || distance_of(a, e->to, n->below) != c->distance - 1) continue;
            best = MN_MIN(best, smallest(a, e));
        }
    }
    if (!c->shortest) c->shortest = (int32_t)(best + 1);
    return c->shortest - 1;
}

/* ---- forgetting ---- */

/* Moves the nodes that are marked by this visit to the front; what lies below a node comes before it. */
static void keep_nodes(mn_automaton *a, int32_t *items, int32_t n_items) {
    int32_t n = 0;
    for (int32_t i = a->n_nodes - 1; i >= 0; i--)
        if (a->nodes[i].visit == a->visit && a->nodes[i].below != NONE) a->nodes[a->nodes[i].below].visit = a->visit;
    for (int32_t i = 0; i < a->n_nodes; i++) {
        a->work[i] = n; /* its new number, if it is kept */
        if (a->nodes[i].visit != a->visit) continue;
        a->nodes[n] = a->nodes[i];
        if (a->nodes[n].below != NONE) a->nodes[n].below = a->work[a->nodes[n].below];
        n++;
    }
    for (int32_t i = 0; i < n_items; i++) items[i] = a->work[items[i]];
    a->n_nodes = n;
    memset(a->node_slots, 0, (a->node_mask + 1) * sizeof *a->node_slots);
    for (int32_t i = 0; i < n; i++) a->node_slots[node_slot(a, a->nodes[i].state, a->nodes[i].below)] = i + 1;
}

int32_t mn_automaton_forget(mn_automaton *a, int32_t at) {
    config c = a->configs[at];
    memmove(a->items, a->items + c.first, (size_t)c.n * sizeof *a->items);
    a->visit++;
    for (int32_t i = 0; i < c.n; i++) a->nodes[a->items[i]].visit = a->visit;
    keep_nodes(a, a->items, c.n);
    memset(a->rows, 0, (size_t)a->n_configs * (size_t)a->n_classes * sizeof *a->rows);
    memset(a->config_slots, 0, (a->config_mask + 1) * sizeof *a->config_slots);
    a->n_items = a->n_configs = 0;
    a->accepts = c.accepts;
    return config_of(a, c.n);
}
