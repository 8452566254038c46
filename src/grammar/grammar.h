/* A context-free grammar as a network of states, one small automaton for each rule: what GBNF (gbnf.h) and JSON schemas
 * (json_schema.h) become, and what a constraint (constraint.h) runs with a stack.
 *
 * An edge takes one symbol of a range, or the whole of a rule, or nothing. Symbols are bytes (0 to 255; characters are
 * spelled in UTF-8) and tokens that have no text of their own (MN_SYMBOL_TOKEN + id). A network is built from state to
 * state: each function gets where it begins and returns where it ends.
 *
 *     int32_t start = mn_grammar_state(g), end = mn_grammar_text(g, start, "yes", 3);
 *     mn_grammar_define(g, g->root = mn_grammar_add_rule(g, "root", 1), start, end);
 *     MN_TRY(mn_grammar_check(g, err));
 *
 * What fails while it is built (memory, more than MN_GRAMMAR_MAX_STATES) is kept in `failed` and told by
 * mn_grammar_check; until then every call is safe.
 */
#ifndef MN_GRAMMAR_GRAMMAR_H
#define MN_GRAMMAR_GRAMMAR_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    MN_GRAMMAR_MAX_STATES = 1 << 19,
    MN_SYMBOL_TOKEN = 256,
    MN_NO_END = INT32_MAX /* the distance of what can never be completed */
};

typedef struct mn_grammar_edge {
    uint32_t first, last; /* symbols; first > last: takes nothing */
    int32_t rule;         /* taken instead of a symbol; -1 = none */
    int32_t to;
    int32_t next; /* edge of the same state; -1 = none */
} mn_grammar_edge;

typedef struct mn_grammar_rule {
    char *name;
    int line;           /* where it stands, or is named first; 0: name tells the place */
    int32_t start, end; /* states; end has no edges. -1: not defined */
} mn_grammar_rule;

typedef struct mn_grammar {
    mn_grammar_edge *edges;
    int32_t *edge_of; /* [n_states] the first edge of each; -1 = none */
    mn_grammar_rule *rules;
    int32_t n_edges, n_states, n_rules, root;
    int32_t edge_capacity, state_capacity, rule_capacity;
    mn_status failed; /* MN_OK, MN_ERR_MEMORY, MN_ERR_LIMIT */
} mn_grammar;

/* NULL when memory ends. The caller destroys it. */
mn_grammar *mn_grammar_create(void);
void mn_grammar_destroy(mn_grammar *g);

int32_t mn_grammar_state(mn_grammar *g);
void mn_grammar_symbols(mn_grammar *g, int32_t from, uint32_t first, uint32_t last, int32_t to);
void mn_grammar_nothing(mn_grammar *g, int32_t from, int32_t to);
void mn_grammar_call(mn_grammar *g, int32_t from, int32_t rule, int32_t to);
/* Code points first to last, in UTF-8; surrogates are left out. */
void mn_grammar_characters(mn_grammar *g, int32_t from, uint32_t first, uint32_t last, int32_t to);
int32_t mn_grammar_text(mn_grammar *g, int32_t from, const char *text, size_t bytes);
/* A rule, to be defined later; name is copied. */
int32_t mn_grammar_add_rule(mn_grammar *g, const char *name, int line);
void mn_grammar_define(mn_grammar *g, int32_t rule, int32_t start, int32_t end);
/* min to max times the rule; max < 0: any number. Takes max states. */
int32_t mn_grammar_repeat(mn_grammar *g, int32_t from, int32_t rule, int64_t min, int64_t max);

/* What failed while it was built, rules that are missing, that call themselves before they take anything (left
 * recursion), or that never end, with the line or the place. Of rules without a line only the root has to end: what
 * leads to another one is no way to go. */
mn_status mn_grammar_check(const mn_grammar *g, mn_error *err);
/* Whether the root can be completed; g has no failure. */
bool mn_grammar_ends(const mn_grammar *g);
/* distance[n_states]: the fewest symbols from each state to the end of its rule, MN_NO_END where there is no way. Of
 * bytes those count that usable[256] names; NULL = all. Knuth's generalisation of Dijkstra's algorithm (1977): O(edges
 * log edges). */
mn_status mn_grammar_distances(const mn_grammar *g, const bool *usable, int32_t *distance, mn_error *err);

#endif
