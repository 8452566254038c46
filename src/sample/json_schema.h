/* JSON schemas (2020-12 and its forerunners) as grammars: every text of the grammar is JSON that the schema accepts. It
 * need not be every such text: objects have their properties in the schema's order, blanks are those that models write
 * (one behind : and ,, or a new line with up to 20 spaces).
 *
 *   any value        true, {}, type (one or a list), nullable, enum, const, anyOf, oneOf whose branches exclude each
 *                    other, allOf of schemas that agree, $ref within the document (recursion too), $defs, definitions
 *   object           properties, required, additionalProperties (absent: none beside properties, any without them),
 *                    minProperties and maxProperties as far as the properties decide them
 *   array            items, prefixItems (items as a list), additionalItems, minItems, maxItems
 *   string           minLength, maxLength, or pattern (json_pattern.h), or format: date, time, date-time, duration,
 *                    uuid, ipv4, email, uri, hostname
 *   integer, number  minimum, maximum, exclusiveMinimum, exclusiveMaximum (numbers: bounds that are integers)
 *
 * Annotations (title, description, default, examples ...) change nothing. Whatever else stands in a schema is
 * MN_ERR_UNSUPPORTED with the keyword and its place, what contradicts the standard or itself MN_ERR_FORMAT.
 */
#ifndef MN_SAMPLE_JSON_SCHEMA_H
#define MN_SAMPLE_JSON_SCHEMA_H

#include "sample/grammar.h"

/* A checked grammar; the caller destroys it. */
mn_status mn_json_schema_parse(const char *text, size_t bytes, mn_grammar **out, mn_error *err);
/* Adds the schema to g as a rule, *rule, without checking all of it. g may hold other schemas, and no GBNF. */
mn_status mn_json_schema_add(mn_grammar *g, const char *text, size_t bytes, int32_t *rule, mn_error *err);

#endif
