/* Which rules of a grammar end, how soon, and which call themselves before they take anything. */
#include "base/arena.h"
#include "grammar/grammar.h"

/* Items in groups by key: those of key k are order[begin[k]] to order[begin[k + 1] - 1]. */
typedef struct groups {
    int32_t *begin, *order;
} groups;

/* Items whose key is below 0 are in no group. False when memory ends. */
static bool group(mn_arena *arena, const int32_t *keys, int32_t n_items, int32_t n_keys, groups *out) {
    out->begin = mn_arena_zalloc(arena, (size_t)n_keys + 2, sizeof *out->begin);
    out->order = mn_arena_alloc(arena, (size_t)n_items + 1, sizeof *out->order);
    if (!out->begin || !out->order) return false;
    for (int32_t i = 0; i < n_items; i++)
        if (keys[i] >= 0) out->begin[keys[i] + 2]++;
    for (int32_t k = 2; k <= n_keys; k++) out->begin[k + 1] += out->begin[k];
    for (int32_t i = 0; i < n_items; i++)
        if (keys[i] >= 0) out->order[out->begin[keys[i] + 1]++] = i;
    return true;
}

/* ---- distances ---- */

typedef struct search {
    const mn_grammar *g;
    const bool *usable;
    int32_t *distance, *from_of; /* [n_states], [n_edges] */
    bool *settled;
    groups edges_to, calls_of, rules_at; /* edges by where they end, by the rule they take; rules by where they start */
    int64_t *heap;                       /* distance << 32 | state, the smallest first */
    size_t n_heap;
} search;

static void push(search *s, int32_t state, int64_t distance) {
    if (s->settled[state] || distance >= s->distance[state]) return;
    s->distance[state] = (int32_t)distance;
    int64_t item = distance << 32 | state;
    size_t at = s->n_heap++;
    for (; at > 0 && s->heap[(at - 1) / 2] > item; at = (at - 1) / 2) s->heap[at] = s->heap[(at - 1) / 2];
    s->heap[at] = item;
}

static int32_t pop(search *s) {
    int64_t best = s->heap[0], moving = s->heap[--s->n_heap];
    size_t at = 0, child;
    while ((child = 2 * at + 1) < s->n_heap) {
        if (child + 1 < s->n_heap && s->heap[child + 1] < s->heap[child]) child++;
        if (s->heap[child] >= moving) break;
        s->heap[at] = s->heap[child];
        at = child;
    }
    s->heap[at] = moving;
    return (int32_t)(best & 0xffffffff);
}

static bool is_usable(const search *s, const mn_grammar_edge *e) {
    if (!s->usable || e->last >= MN_SYMBOL_TOKEN) return true;
    for (uint32_t c = e->first; c <= e->last; c++)
        if (s->usable[c]) return true;
    return false;
}

static bool prepare(search *s, mn_arena *arena) {
    const mn_grammar *g = s->g;
    size_t n_states = (size_t)g->n_states, n_edges = (size_t)g->n_edges, n_rules = (size_t)g->n_rules;
    int32_t *to = mn_arena_alloc(arena, n_edges + 1, sizeof *to),
            *rule = mn_arena_alloc(arena, n_edges + 1, sizeof *to);
    int32_t *start = mn_arena_alloc(arena, n_rules + 1, sizeof *start);
    s->from_of = mn_arena_alloc(arena, n_edges + 1, sizeof *s->from_of);
    s->settled = mn_arena_zalloc(arena, n_states + 1, sizeof *s->settled);
    s->heap = mn_arena_alloc(arena, 2 * n_edges + n_rules + 1, sizeof *s->heap);
    if (!to || !rule || !start || !s->from_of || !s->settled || !s->heap) return false;
    for (int32_t from = 0; from < g->n_states; from++)
        for (int32_t i = g->edge_of[from]; i >= 0; i = g->edges[i].next) s->from_of[i] = from;
    for (int32_t i = 0; i < g->n_edges; i++) {
        to[i] = g->edges[i].to;
        rule[i] = g->edges[i].rule;
    }
    for (int32_t i = 0; i < g->n_rules; i++) start[i] = g->rules[i].start;
    return group(arena, to, g->n_edges, g->n_states, &s->edges_to) &&
           group(arena, rule, g->n_edges, g->n_rules, &s->calls_of) &&
           group(arena, start, g->n_rules, g->n_states, &s->rules_at);
}

/* A call costs what its rule does, once that is known. */
static void relax(search *s, int32_t edge) {
    const mn_grammar_edge *e = &s->g->edges[edge];
    int64_t behind = s->distance[e->to];
    if (!s->settled[e->to]) return;
    if (e->rule >= 0) {
        int32_t start = s->g->rules[e->rule].start;
        if (start >= 0 && s->settled[start]) push(s, s->from_of[edge], behind + s->distance[start]);
    } else if (e->first > e->last || is_usable(s, e)) {
        push(s, s->from_of[edge], behind + (e->first <= e->last));
    }
}

static void settle(search *s, int32_t state) {
    s->settled[state] = true;
    for (int32_t i = s->edges_to.begin[state]; i < s->edges_to.begin[state + 1]; i++) relax(s, s->edges_to.order[i]);
    for (int32_t k = s->rules_at.begin[state]; k < s->rules_at.begin[state + 1]; k++) {
        int32_t rule = s->rules_at.order[k];
        for (int32_t i = s->calls_of.begin[rule]; i < s->calls_of.begin[rule + 1]; i++) relax(s, s->calls_of.order[i]);
    }
}

mn_status mn_grammar_distances(const mn_grammar *g, const bool *usable, int32_t *distance, mn_error *err) {
    mn_arena arena = MN_ARENA_INIT;
    search s = {.g = g, .usable = usable, .distance = distance};
    bool complete = prepare(&s, &arena);
    for (int32_t i = 0; i < g->n_states; i++) distance[i] = MN_NO_END;
    for (int32_t i = 0; complete && i < g->n_rules; i++)
        if (g->rules[i].end >= 0) push(&s, g->rules[i].end, 0);
    while (complete && s.n_heap) {
        int32_t state = pop(&s);
        if (!s.settled[state]) settle(&s, state);
    }
    mn_arena_release(&arena);
    return complete ? MN_OK
                    : mn_fail(err, MN_ERR_MEMORY, "There is no memory for a grammar of %d states.", g->n_states);
}

/* ---- left recursion ---- */

typedef struct left_calls {
    int32_t *caller, *callee; /* callee begins where caller begins */
    int32_t n;
} left_calls;

/* All rules that can be the first thing in this one. */
static void collect(const mn_grammar *g, const int32_t *distance, int32_t rule, int32_t *stack, int32_t *seen_by,
                    left_calls *out) {
    int32_t n = 0;
    if (g->rules[rule].start >= 0) stack[n++] = g->rules[rule].start;
    while (n) {
        int32_t state = stack[--n];
        if (seen_by[state] == rule + 1) continue;
        seen_by[state] = rule + 1;
        for (int32_t i = g->edge_of[state]; i >= 0; i = g->edges[i].next) {
            const mn_grammar_edge *e = &g->edges[i];
            bool calls = e->rule >= 0, is_empty = calls ? distance[g->rules[e->rule].start] == 0 : e->first > e->last;
            if (calls) {
                out->caller[out->n] = rule;
                out->callee[out->n++] = e->rule;
            }
            if (is_empty && seen_by[e->to] != rule + 1) stack[n++] = e->to;
        }
    }
}

/* A rule that is reached from itself, -1 = none: rules that begin with no rule are taken away until none is left. */
static int32_t find_circle(mn_arena *arena, const left_calls *calls, int32_t n_rules) {
    groups by_callee, by_caller;
    int32_t *left = mn_arena_zalloc(arena, (size_t)n_rules + 1, sizeof *left);
    int32_t *ready = mn_arena_alloc(arena, (size_t)n_rules + 1, sizeof *ready);
    if (!left || !ready || !group(arena, calls->callee, calls->n, n_rules, &by_callee) ||
        !group(arena, calls->caller, calls->n, n_rules, &by_caller))
        return -2;
    int32_t n_ready = 0, n_left = n_rules, at = 0;
    for (int32_t i = 0; i < calls->n; i++) left[calls->caller[i]]++;
    for (int32_t i = 0; i < n_rules; i++)
        if (!left[i]) ready[n_ready++] = i;
    while (n_ready) {
        int32_t rule = ready[--n_ready];
        n_left--;
        for (int32_t i = by_callee.begin[rule]; i < by_callee.begin[rule + 1]; i++) {
            int32_t caller = calls->caller[by_callee.order[i]];
            if (--left[caller] == 0) ready[n_ready++] = caller;
        }
    }
    if (!n_left) return -1;
    while (!left[at]) at++;
    for (int32_t step = 0; step < n_rules; step++) /* always to a rule that is left: into a circle after all */
        for (int32_t i = by_caller.begin[at]; i < by_caller.begin[at + 1]; i++)
            if (left[calls->callee[by_caller.order[i]]]) {
                at = calls->callee[by_caller.order[i]];
                break;
            }
    return at;
}

static mn_status fail_at(mn_error *err, const mn_grammar_rule *rule, mn_status status, const char *what) {
    if (rule->line) return mn_fail(err, status, "line %d: the rule \"%s\" %s", rule->line, rule->name, what);
    return mn_fail(err, status, "%s %s", rule->name, what);
}

static mn_status check_left_recursion(const mn_grammar *g, const int32_t *distance, mn_arena *arena, mn_error *err) {
    left_calls calls = {.caller = mn_arena_alloc(arena, (size_t)g->n_edges + 1, sizeof *calls.caller),
                        .callee = mn_arena_alloc(arena, (size_t)g->n_edges + 1, sizeof *calls.callee)};
    int32_t *stack = mn_arena_alloc(arena, (size_t)g->n_edges + 1, sizeof *stack);
    int32_t *seen_by = mn_arena_zalloc(arena, (size_t)g->n_states + 1, sizeof *seen_by), circle = -2;
    if (calls.caller && calls.callee && stack && seen_by) {
        for (int32_t i = 0; i < g->n_rules; i++) collect(g, distance, i, stack, seen_by, &calls);
        circle = find_circle(arena, &calls, g->n_rules);
    }
    if (circle == -2) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for a grammar of %d states.", g->n_states);
    if (circle < 0) return MN_OK;
    return fail_at(err, &g->rules[circle], MN_ERR_FORMAT,
                   "calls itself before it takes a character (left recursion); write the repetition with * or with the "
                   "call at the end.");
}

/* ---- all of it ---- */

static mn_status check_rules(const mn_grammar *g, const int32_t *distance, mn_error *err) {
    for (int32_t i = 0; i < g->n_rules; i++)
        if (distance[g->rules[i].start] == MN_NO_END && (g->rules[i].line || i == g->root))
            return fail_at(err, &g->rules[i], MN_ERR_FORMAT,
                           g->rules[i].line ? "never ends: each way through it calls a rule that leads back to it."
                                            : "never ends: each way through it leads back to it, or its parts exclude "
                                              "each other.");
    return MN_OK;
}

bool mn_grammar_ends(const mn_grammar *g) {
    mn_arena arena = MN_ARENA_INIT;
    int32_t *distance = mn_arena_alloc(&arena, (size_t)g->n_states + 1, sizeof *distance);
    bool ends = distance && g->root >= 0 && g->rules[g->root].start >= 0 &&
                mn_grammar_distances(g, NULL, distance, NULL) == MN_OK &&
                distance[g->rules[g->root].start] != MN_NO_END;
    mn_arena_release(&arena);
    return ends;
}

mn_status mn_grammar_check(const mn_grammar *g, mn_error *err) {
    if (g->failed == MN_ERR_LIMIT)
        return mn_fail(err, MN_ERR_LIMIT,
                       "the grammar is larger than %d states; fewer or smaller repetitions make it smaller.",
                       MN_GRAMMAR_MAX_STATES);
    if (g->failed) return mn_fail(err, g->failed, "There is no memory for a grammar of %d states.", g->n_states);
    if (g->root < 0) return mn_fail(err, MN_ERR_FORMAT, "the grammar has no rule \"root\".");
    for (int32_t i = 0; i < g->n_rules; i++)
        if (g->rules[i].start < 0) return fail_at(err, &g->rules[i], MN_ERR_FORMAT, "is used but nowhere defined.");
    mn_arena arena = MN_ARENA_INIT;
    int32_t *distance = mn_arena_alloc(&arena, (size_t)g->n_states + 1, sizeof *distance);
    mn_status status = distance
                           ? mn_grammar_distances(g, NULL, distance, err)
                           : mn_fail(err, MN_ERR_MEMORY, "There is no memory for a grammar of %d states.", g->n_states);
    if (status == MN_OK) status = check_left_recursion(g, distance, &arena, err);
    if (status == MN_OK) status = check_rules(g, distance, err);
    mn_arena_release(&arena);
    return status;
}
