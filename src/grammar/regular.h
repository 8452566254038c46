/* Regular sets of JSON strings put together: which strings are in all of some sets, in none of others, or in those but
 * not in these, as states of a grammar (product of automata: Rabin and Scott 1959).
 *
 * A set is an automaton over the strings with their quotes (automaton.h, of a grammar without recursion). Strings are
 * spelled in one way only: a character is escaped where JSON asks for it, by the shortest escape there is, and U+0000
 * never comes. So what a set does not have is what it does not spell.
 */
#ifndef MN_GRAMMAR_REGULAR_H
#define MN_GRAMMAR_REGULAR_H

#include "grammar/automaton.h"

enum { MN_REGULAR_MAX_SETS = 24, MN_REGULAR_MAX_STATES = 1 << 13 };

/* Where strings end that are in exactly the sets whose bits are 1 (bit i: sets[i]): a state, or -1: they are not
 * wanted. */
typedef int32_t mn_regular_end_fn(void *arg, uint32_t sets);

/* All strings, from `from` on. More than MN_REGULAR_MAX_STATES states are MN_ERR_LIMIT with a part of a sentence: "it
 * becomes larger than 8192 states". Cost: 256 steps of each set for a state. */
mn_status mn_regular_put(mn_grammar *g, int32_t from, mn_automaton *const *sets, int n_sets, mn_regular_end_fn *end,
                         void *arg, mn_error *err);

/* The string of this text as it is spelled here, with its quotes; returns where it ends. */
int32_t mn_regular_string(mn_grammar *g, int32_t from, const char *text);
/* Strings of min to max characters (max < 0: any number), with their quotes; returns where they end. */
int32_t mn_regular_lengths(mn_grammar *g, int32_t from, int64_t min, int64_t max);

#endif
