#include "grammar/regular.h"

#include "grammar/json_pattern.h"
#include "tokenizer/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { N_SLOTS = 4 * MN_REGULAR_MAX_STATES, ALL_BYTES = 256 };

int32_t mn_regular_string(mn_grammar *g, int32_t from, const char *text) {
    from = mn_grammar_text(g, from, "\"", 1);
    while (*text && !g->failed) {
        int32_t c, to = mn_grammar_state(g);
        text += mn_utf8_next_of(text, &c);
        mn_json_characters(g, from, (uint32_t)c, (uint32_t)c, to);
        from = to;
    }
    return mn_grammar_text(g, from, "\"", 1);
}

int32_t mn_regular_lengths(mn_grammar *g, int32_t from, int64_t min, int64_t max) {
    int32_t start = mn_grammar_state(g), end = mn_grammar_state(g), rule = mn_grammar_add_rule(g, "a character", 0);
    mn_json_characters(g, start, 1, 0x10ffff, end);
    mn_grammar_define(g, rule, start, end);
    from = mn_grammar_repeat(g, mn_grammar_text(g, from, "\"", 1), rule, min, max);
    return mn_grammar_text(g, from, "\"", 1);
}

/* The configurations of all sets at once. Set 0 is that of all strings; MN_AUTOMATON_DEAD in another: the string is not
 * in it. */
typedef int32_t tuple[MN_REGULAR_MAX_SETS + 1];

typedef struct product {
    mn_grammar *g;
    mn_automaton *sets[MN_REGULAR_MAX_SETS + 1];
    int n;
    tuple *tuples; /* [MN_REGULAR_MAX_STATES] */
    int32_t *states, *slots;
    int32_t n_tuples;
} product;

/* The state of a tuple; -1 where there are too many. */
static int32_t state_of(product *p, const tuple t) {
    size_t bytes = (size_t)p->n * sizeof *t, at = (size_t)XXH3_64bits(t, bytes) % N_SLOTS;
    for (; p->slots[at]; at = (at + 1) % N_SLOTS)
        if (!memcmp(p->tuples[p->slots[at] - 1], t, bytes)) return p->states[p->slots[at] - 1];
    if (p->n_tuples == MN_REGULAR_MAX_STATES) return -1;
    memcpy(p->tuples[p->n_tuples], t, bytes);
    int32_t state = p->states[p->n_tuples] = mn_grammar_state(p->g);
    p->slots[at] = ++p->n_tuples;
    return state;
}

static uint32_t sets_of(const product *p, const tuple t) {
    uint32_t sets = 0;
    for (int i = 1; i < p->n; i++)
        if (t[i] >= 0 && mn_automaton_accepts(p->sets[i], t[i])) sets |= UINT32_C(1) << (i - 1);
    return sets;
}

/* Where a byte leads: a state, -1: nowhere, -2: memory ends. */
static int32_t target_of(product *p, const tuple from, uint32_t byte, mn_regular_end_fn *end, void *arg) {
    tuple to;
    for (int i = 0; i < p->n; i++) {
        to[i] = from[i] < 0 ? MN_AUTOMATON_DEAD : mn_automaton_step(p->sets[i], from[i], byte);
        if (i == 0 && to[0] == MN_AUTOMATON_DEAD) return -1;
        if (to[i] == MN_AUTOMATON_FULL) return -2;
    }
    if (mn_automaton_accepts(p->sets[0], to[0])) return end(arg, sets_of(p, to));
    int32_t state = state_of(p, to);
    return state < 0 ? -2 : state;
}

static bool put_edges(product *p, int32_t at, mn_regular_end_fn *end, void *arg) {
    tuple from;
    int32_t last = -1;
    uint32_t first = 0;
    memcpy(from, p->tuples[at], sizeof from);
    for (uint32_t byte = 0; byte <= ALL_BYTES; byte++) {
        int32_t to = byte < ALL_BYTES ? target_of(p, from, byte, end, arg) : -1;
        if (to == -2) return false;
        if (to == last && byte < ALL_BYTES) continue;
        if (last >= 0) mn_grammar_symbols(p->g, p->states[at], first, byte - 1, last);
        last = to;
        first = byte;
    }
    return !p->g->failed;
}

static mn_status all_strings(mn_automaton **out, mn_error *err) {
    bool usable[ALL_BYTES];
    mn_grammar *g = mn_grammar_create();
    *out = NULL;
    if (!g) return mn_fail(err, MN_ERR_MEMORY, "there is no memory for its strings");
    int32_t start = mn_grammar_state(g), end = mn_regular_lengths(g, start, 0, -1);
    mn_grammar_define(g, g->root = mn_grammar_add_rule(g, "a string", 0), start, end);
    memset(usable, true, sizeof usable);
    mn_status status = mn_grammar_check(g, err);
    if (status == MN_OK) status = mn_automaton_create(g, usable, 1 << 20, out, err);
    mn_grammar_destroy(g);
    return status;
}

static mn_status put(product *p, int32_t from, mn_regular_end_fn *end, void *arg, mn_error *err) {
    tuple start = {0};
    for (int i = 0; i < p->n; i++) {
        start[i] = mn_automaton_start(p->sets[i]);
        if (start[i] == MN_AUTOMATON_FULL) return mn_fail(err, MN_ERR_LIMIT, "it can be read in too many ways at once");
    }
    int32_t first = state_of(p, start);
    mn_grammar_nothing(p->g, from, first);
    for (int32_t at = 0; at < p->n_tuples; at++)
        if (!put_edges(p, at, end, arg))
            return mn_fail(err, MN_ERR_LIMIT, "it becomes larger than %d states", MN_REGULAR_MAX_STATES);
    return MN_OK;
}

mn_status mn_regular_put(mn_grammar *g, int32_t from, mn_automaton *const *sets, int n_sets, mn_regular_end_fn *end,
                         void *arg, mn_error *err) {
    product p = {.g = g, .n = n_sets + 1};
    if (n_sets > MN_REGULAR_MAX_SETS)
        return mn_fail(err, MN_ERR_LIMIT, "more than %d conditions hold at once", MN_REGULAR_MAX_SETS);
    p.tuples = malloc(MN_REGULAR_MAX_STATES * sizeof *p.tuples);
    p.states = malloc(MN_REGULAR_MAX_STATES * sizeof *p.states);
    p.slots = calloc(N_SLOTS, sizeof *p.slots);
    mn_status status = p.tuples && p.states && p.slots
                           ? all_strings(&p.sets[0], err)
                           : mn_fail(err, MN_ERR_MEMORY, "there is no memory for its strings");
    for (int i = 0; i < n_sets; i++) p.sets[i + 1] = sets[i];
    if (status == MN_OK) status = put(&p, from, end, arg, err);
    mn_automaton_destroy(p.sets[0]);
    free(p.tuples);
    free(p.states);
    free(p.slots);
    return status;
}
