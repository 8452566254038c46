/* Regular expressions of JSON schemas (the plain part of ECMA 262) over the characters of a JSON string:
 *
 * - ^ and $ at the ends of the whole
 * - . [a-z] [^a-z] \d \w \s \D \W \S, escapes (\n \t \r \f \v \xHH \uHHHH \. ...)
 * - groups ( ) and (?: ), |, and * + ? {n} {n,} {m,n}
 *
 * Without ^ or $ anything may stand before or behind. Look-around, back references, \b and lazy repetition are not
 * there.
 */
#ifndef MN_GRAMMAR_JSON_PATTERN_H
#define MN_GRAMMAR_JSON_PATTERN_H

#include "grammar/grammar.h"

/* The strings that match, with their quotes. What is wrong or not there is MN_ERR_UNSUPPORTED with a part of a sentence
 * that goes on behind the pattern: "a group is not closed". */
mn_status mn_json_pattern(mn_grammar *g, int32_t from, const char *pattern, int32_t *to, mn_error *err);

/* One character of a JSON string out of [first, last], as it is or, where JSON asks for it, escaped. */
void mn_json_characters(mn_grammar *g, int32_t from, uint32_t first, uint32_t last, int32_t to);

#endif
