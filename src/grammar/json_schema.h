/* JSON schemas (2020-12 and its forerunners) as grammars: every text of the grammar is JSON that the schema accepts. It
 * need not be every such text: objects have their named properties in the schema's order, strings of bounded sets their
 * shortest spelling, and blanks are bounded (mn_json_blanks).
 *
 * - any value: true, false, type (one or a list), nullable, enum, const, anyOf, oneOf, allOf, not, if, then, else, $ref
 *   within the document (recursion too, and beside other keywords), $defs, definitions
 * - object: properties, patternProperties, additionalProperties (absent: none beside properties, any without them),
 *   propertyNames, required, dependentRequired, dependentSchemas, dependencies, minProperties (of properties without a
 *   name in the schema one counts), maxProperties
 * - array: items, prefixItems (items as a list), additionalItems, contains, minContains, maxContains, minItems,
 *   maxItems; uniqueItems of items that have up to 4096 values (above 10: in their order)
 * - string: minLength, maxLength, pattern (json_pattern.h), format: date, time, date-time, duration, uuid, ipv4, email,
 *   uri, hostname; all together too
 * - integer, number: minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf
 *
 * Annotations (title, description, default, examples ...) change nothing. Whatever else stands in a schema, and what
 * cannot be held (two different contains, the opposite of a keyword under not that has none), is MN_ERR_UNSUPPORTED
 * with the keyword, its place and what to write instead; what contradicts the standard, or accepts nothing,
 * MN_ERR_FORMAT.
 */
#ifndef MN_GRAMMAR_JSON_SCHEMA_H
#define MN_GRAMMAR_JSON_SCHEMA_H

#include "grammar/grammar.h"

/* What may stand between brackets, commas, colons and values. */
typedef enum mn_json_blanks {
    MN_JSON_BLANKS_ONE,  /* one space at most */
    MN_JSON_BLANKS_NONE, /* nothing */
    MN_JSON_BLANKS_LINES /* a space, or a new line and up to 20 spaces */
} mn_json_blanks;

/* A checked grammar; the caller destroys it. */
mn_status mn_json_schema_parse(const char *text, size_t bytes, mn_json_blanks blanks, mn_grammar **out, mn_error *err);
/* Adds the schema to g as a rule, *rule, without checking all of it. g may hold other schemas, with the same blanks,
 * and no GBNF. A schema that accepts nothing becomes a rule that never ends. */
mn_status mn_json_schema_add(mn_grammar *g, const char *text, size_t bytes, mn_json_blanks blanks, int32_t *rule,
                             mn_error *err);

#endif
