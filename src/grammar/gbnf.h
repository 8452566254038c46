/* GBNF, the grammars of llama.cpp (grammars/README.md there):
 *
 *     # a list of words
 *     root ::= word (", " word)*
 *     word ::= [a-z\u00e4]{1,20} | "\"" [^"]+ "\""
 *
 * Rules are NAME ::= ALTERNATIVES; what has an end is an alternative, separated by |, a row of elements: strings,
 * classes of characters ([a-z], [^...]), any character (.), names, groups, each perhaps with * + ? {n} {n,} {m,n}
 * behind it. Escapes: \n \r \t \\ \" \[ \] \- \^ \xHH \uHHHH \UHHHHHHHH. A line's end ends a rule, but not within a
 * group, behind ::= and |, or before a line that begins with |.
 */
#ifndef MN_GRAMMAR_GBNF_H
#define MN_GRAMMAR_GBNF_H

#include "grammar/grammar.h"

/* Adds the rules of the text to g; the rule "root" becomes g->root. Rules that are only used stay undefined
 * (mn_grammar_check tells). What is wrong is MN_ERR_FORMAT or MN_ERR_LIMIT with its line. */
mn_status mn_gbnf_add(mn_grammar *g, const char *text, size_t bytes, mn_error *err);
/* A grammar of its own, checked. The caller destroys it. */
mn_status mn_gbnf_parse(const char *text, size_t bytes, mn_grammar **out, mn_error *err);

/* The rule of this name, -1 where there is none. */
int32_t mn_gbnf_find(const mn_grammar *g, const char *name);

#endif
