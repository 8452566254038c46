#include "grammar/grammar.h"

#include "base/checked.h"

#include <stdlib.h>
#include <string.h>

mn_grammar *mn_grammar_create(void) {
    mn_grammar *g = calloc(1, sizeof *g);
    if (g) g->root = -1;
    return g;
}

void mn_grammar_destroy(mn_grammar *g) {
    if (!g) return;
    for (int32_t i = 0; i < g->n_rules; i++) free(g->rules[i].name);
    free(g->rules);
    free(g->edges);
    free(g->edge_of);
    free(g);
}

/* Room for one more of n items; false when there is none, which is kept. */
static bool has_room(mn_grammar *g, void **items, int32_t n, int32_t *capacity, size_t item_bytes, int32_t limit) {
    if (g->failed) return false;
    if (n < *capacity) return true;
    int32_t wanted = MN_MIN(MN_MAX(64, 2 * *capacity), limit);
    void *larger = n < limit ? realloc(*items, (size_t)wanted * item_bytes) : NULL;
    if (!larger) {
        g->failed = n < limit ? MN_ERR_MEMORY : MN_ERR_LIMIT;
        return false;
    }
    *items = larger;
    *capacity = wanted;
    return true;
}

int32_t mn_grammar_state(mn_grammar *g) {
    if (!has_room(g, (void **)&g->edge_of, g->n_states, &g->state_capacity, sizeof *g->edge_of, MN_GRAMMAR_MAX_STATES))
        return 0;
    g->edge_of[g->n_states] = -1;
    return g->n_states++;
}

static void add_edge(mn_grammar *g, int32_t from, mn_grammar_edge edge) {
    int32_t limit = 4 * MN_GRAMMAR_MAX_STATES;
    if (!has_room(g, (void **)&g->edges, g->n_edges, &g->edge_capacity, sizeof *g->edges, limit)) return;
    edge.next = g->edge_of[from];
    g->edges[g->n_edges] = edge;
    g->edge_of[from] = g->n_edges++;
}

void mn_grammar_symbols(mn_grammar *g, int32_t from, uint32_t first, uint32_t last, int32_t to) {
    add_edge(g, from, (mn_grammar_edge){.first = first, .last = last, .rule = -1, .to = to});
}

void mn_grammar_nothing(mn_grammar *g, int32_t from, int32_t to) { mn_grammar_symbols(g, from, 1, 0, to); }

void mn_grammar_call(mn_grammar *g, int32_t from, int32_t rule, int32_t to) {
    add_edge(g, from, (mn_grammar_edge){.first = 1, .rule = rule, .to = to});
}

int32_t mn_grammar_text(mn_grammar *g, int32_t from, const char *text, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        int32_t to = mn_grammar_state(g);
        mn_grammar_symbols(g, from, (unsigned char)text[i], (unsigned char)text[i], to);
        from = to;
    }
    return from;
}

/* ---- characters as bytes ---- */

static int utf8_bytes(uint32_t c, uint8_t out[4]) {
    if (c < 0x80) {
        out[0] = (uint8_t)c;
        return 1;
    }
    int n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (int i = n - 1; i > 0; i--, c >>= 6) out[i] = (uint8_t)(0x80 | (c & 0x3f));
    static const uint8_t heads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    out[0] = (uint8_t)(heads[n] | c);
    return n;
}

/* Code points whose spellings differ freely in each byte's range: one chain of edges. */
static void chain(mn_grammar *g, int32_t from, uint32_t first, uint32_t last, int32_t to) {
    uint8_t low[4], high[4];
    int n = utf8_bytes(first, low);
    utf8_bytes(last, high);
    for (int i = 0; i < n; i++) {
        int32_t next = i == n - 1 ? to : mn_grammar_state(g);
        mn_grammar_symbols(g, from, low[i], high[i], next);
        from = next;
    }
}

/* Cuts [first, last] where the number of bytes changes, then at multiples of 64 and 4096 until every byte but the first
 * that differ run through all their values (as RE2 and Rust's utf8-ranges do). */
static void split(mn_grammar *g, int32_t from, uint32_t first, uint32_t last, int32_t to) {
    static const uint32_t ends[] = {0x7f, 0x7ff, 0xd7ff, 0xdfff, 0xffff};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (first <= ends[i] && last > ends[i]) {
            split(g, from, first, ends[i], to);
            split(g, from, ends[i] + 1, last, to);
            return;
        }
    if (first >= 0xd800 && last <= 0xdfff) return;
    for (int bits = 6; bits <= 18 && first >= 0x80; bits += 6) {
        uint32_t mask = (1u << bits) - 1;
        if ((first & ~mask) == (last & ~mask)) continue;
        if (first & mask) {
            split(g, from, first, first | mask, to);
            split(g, from, (first | mask) + 1, last, to);
            return;
        }
        if ((last & mask) != mask) {
            split(g, from, first, (last & ~mask) - 1, to);
            split(g, from, last & ~mask, last, to);
            return;
        }
    }
    chain(g, from, first, last, to);
}

void mn_grammar_characters(mn_grammar *g, int32_t from, uint32_t first, uint32_t last, int32_t to) {
    last = MN_MIN(last, 0x10ffffu);
    if (first <= last) split(g, from, first, last, to);
}

/* ---- rules ---- */

int32_t mn_grammar_add_rule(mn_grammar *g, const char *name, int line) {
    if (!has_room(g, (void **)&g->rules, g->n_rules, &g->rule_capacity, sizeof *g->rules, MN_GRAMMAR_MAX_STATES))
        return 0;
    mn_grammar_rule rule = {.name = strdup(name), .line = line, .start = -1, .end = -1};
    if (!rule.name) {
        g->failed = MN_ERR_MEMORY;
        return 0;
    }
    g->rules[g->n_rules] = rule;
    return g->n_rules++;
}

void mn_grammar_define(mn_grammar *g, int32_t rule, int32_t start, int32_t end) {
    int32_t last = mn_grammar_state(g); /* of its own: what leads on from `end` is no part of the rule */
    if (g->failed) return;
    mn_grammar_nothing(g, end, last);
    g->rules[rule].start = start;
    g->rules[rule].end = last;
}

int32_t mn_grammar_repeat(mn_grammar *g, int32_t from, int32_t rule, int64_t min, int64_t max) {
    int32_t done = mn_grammar_state(g);
    for (int64_t i = 0; i < (max < 0 ? min : max) && !g->failed; i++) {
        int32_t to = mn_grammar_state(g);
        if (i >= min) mn_grammar_nothing(g, from, done);
        mn_grammar_call(g, from, rule, to);
        from = to;
    }
    if (max < 0) {
        int32_t loop = mn_grammar_state(g);
        mn_grammar_nothing(g, from, loop);
        mn_grammar_call(g, loop, rule, loop);
        from = loop;
    }
    mn_grammar_nothing(g, from, done);
    return done;
}
