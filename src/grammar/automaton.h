/* A grammar at work: which symbols may come, and where each of them leads.
 *
 * A stack is a state of the grammar and the states to go back to when its rule ends; stacks share what they have in
 * common, as nodes (state, node below). A configuration is the set of all stacks that the symbols taken so far allow
 * (as in llama.cpp's grammars; Tomita 1985 for the shared stacks), and has a number. What a byte does to a
 * configuration is computed once: from then on it is one look into a table.
 *
 * All memory is taken when the automaton is made; what is kept ends with it. When it is full mn_automaton_forget drops
 * everything but one configuration.
 *
 * For mn_constraint (constraint.h), which puts tokens in the place of symbols. One thread at a time.
 */
#ifndef MN_GRAMMAR_AUTOMATON_H
#define MN_GRAMMAR_AUTOMATON_H

#include "grammar/grammar.h"

typedef struct mn_automaton mn_automaton;

enum { MN_AUTOMATON_DEAD = -1, MN_AUTOMATON_FULL = -2 };

/* g, which mn_grammar_check has passed, is copied. usable [256]: the bytes that can come one by one; what cannot be
 * completed by them is no way to go. memory_bytes: for what is kept, at least 1 MiB; only what is used is touched. */
mn_status mn_automaton_create(const mn_grammar *g, const bool *usable, size_t memory_bytes, mn_automaton **out,
                              mn_error *err);
void mn_automaton_destroy(mn_automaton *a);

/* The configuration before any symbol; MN_AUTOMATON_DEAD where nothing can be completed. */
int32_t mn_automaton_start(mn_automaton *a);
/* The configuration behind a symbol, MN_AUTOMATON_DEAD where it cannot come, MN_AUTOMATON_FULL where memory ends. */
int32_t mn_automaton_step(mn_automaton *a, int32_t config, uint32_t symbol);
/* What is known of bytes so far, for who steps often: rows[config * n_classes + class_of[byte]] is 0 where it is not
 * known, 1 for MN_AUTOMATON_DEAD, else 2 + the configuration. Valid as long as the automaton. */
typedef struct mn_automaton_table {
    const int32_t *rows;
    const uint8_t *class_of;
    size_t n_classes;
} mn_automaton_table;
mn_automaton_table mn_automaton_known(const mn_automaton *a);
/* mn_automaton_step for a byte. */
static inline int32_t mn_automaton_step_byte(mn_automaton *a, const mn_automaton_table *t, int32_t config,
                                             uint8_t byte) {
    int32_t known = t->rows[(size_t)config * t->n_classes + t->class_of[byte]];
    return known > 1 ? known - 2 : known == 1 ? MN_AUTOMATON_DEAD : mn_automaton_step(a, config, byte);
}
/* Whether the symbols so far are complete. */
bool mn_automaton_accepts(const mn_automaton *a, int32_t config);
/* Whether any symbol may come, and whether any of them is a token. */
bool mn_automaton_goes_on(const mn_automaton *a, int32_t config);
bool mn_automaton_takes_tokens(const mn_automaton *a, int32_t config);
/* The fewest symbols to a complete text. */
int32_t mn_automaton_distance(const mn_automaton *a, int32_t config);
/* The first symbol of a shortest completion, the smallest of all that are; -1 where the distance is 0. Behind it the
 * distance is one less. */
int32_t mn_automaton_shortest(mn_automaton *a, int32_t config);

/* Configurations are numbered from 0 to below this. */
int32_t mn_automaton_capacity(const mn_automaton *a);
/* Drops all configurations but this, which gets a new number: it is returned. */
int32_t mn_automaton_forget(mn_automaton *a, int32_t config);

#endif
