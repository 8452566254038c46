/* Inside json_schema*.c: a schema on its way to a grammar.
 *
 * A schema is first taken apart: $ref, anyOf, oneOf, allOf, if, not and what depends on a property become branches,
 * schemas without them (json_schema_branches.c, json_schema_negate.c, json_schema_merge.c). What is left speaks of one
 * value's own form, and becomes states by type. Conditions that no keyword puts together with another of its kind, such
 * as two patterns, or what a value must not be, are kept in a list under MN_SCHEMA_ALSO, of schemas with one keyword:
 * {"pattern"}, {"format"}, {"not": {"pattern"}}, {"not": {"enum"}}, {"not": {"multipleOf"}}, {"not": {"type":
 * "integer"}}.
 */
#ifndef MN_GRAMMAR_JSON_SCHEMA_PARTS_H
#define MN_GRAMMAR_JSON_SCHEMA_PARTS_H

#include "base/strbuf.h"
#include "grammar/automaton.h"
#include "grammar/json_schema.h"

#include <jansson.h>

#define MN_SCHEMA_ALSO "\001also"

typedef struct mn_schema_rule {
    const json_t *schema;
    uint64_t hash;
    int32_t rule;
} mn_schema_rule;

typedef struct mn_schema_compiler {
    mn_grammar *g;
    mn_json_blanks blanks;
    json_t *root;
    json_t *made;         /* array: schemas that were put together here */
    mn_schema_rule *done; /* schemas that are rules already, and are kept until the end */
    size_t n_done;
    mn_strbuf place; /* "#/properties/a" */
    int depth;
    int64_t steps_left;    /* of mn_schema_accepts; then nothing is sure any more */
    char nothing[320];     /* the first place where nothing can be accepted; "" = none */
    mn_automaton *matcher; /* of the pattern that was asked for last */
    char *matcher_pattern;
    mn_error *err;
} mn_schema_compiler;

/* ---- json_schema.c ---- */

/* "the schema at #/a: ..." */
mn_status mn_schema_fail(mn_schema_compiler *c, mn_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The keyword is not there, or not in this way. */
mn_status mn_schema_unsupported(mn_schema_compiler *c, const char *keyword, const char *why);
/* Nothing is accepted here: MN_OK, and the sentence is the error of a schema that therefore accepts nothing at all. */
mn_status mn_schema_nothing(mn_schema_compiler *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A rule of the GBNF in json_schema_texts.c. */
void mn_schema_call(mn_schema_compiler *c, int32_t from, const char *name, int32_t to);
/* The rule of a schema that stands at place/step, made when it or one like it is met first. */
mn_status mn_schema_rule_of(mn_schema_compiler *c, const json_t *schema, const char *step, int32_t *rule);
/* A count: an integer of at least 0; `standard` where it is absent. */
mn_status mn_schema_count(mn_schema_compiler *c, const json_t *schema, const char *keyword, int64_t standard,
                          int64_t *out);
/* Keeps a schema that was made here; returns it. */
json_t *mn_schema_keep(mn_schema_compiler *c, json_t *schema);
/* What strings of a schema look like, as an automaton of their spellings; the caller destroys it. */
mn_status mn_schema_strings(mn_schema_compiler *c, const json_t *schema, mn_automaton **out);

/* ---- json_schema_texts.c ---- */

/* What schemas without particulars accept, blanks, and the texts of formats, as GBNF. */
mn_status mn_schema_add_texts(mn_grammar *g, mn_json_blanks blanks, mn_error *err);

/* ---- the types ---- */

mn_status mn_schema_object(mn_schema_compiler *c, const json_t *schema, int32_t from, int32_t to);
mn_status mn_schema_array(mn_schema_compiler *c, const json_t *schema, int32_t from, int32_t to);
mn_status mn_schema_string(mn_schema_compiler *c, const json_t *schema, int32_t from, int32_t to);
mn_status mn_schema_number(mn_schema_compiler *c, const json_t *schema, bool integers, int32_t from, int32_t to);
/* A value as it stands. */
mn_status mn_schema_literal(mn_schema_compiler *c, const json_t *value, int32_t from, int32_t to);

/* ---- json_schema_branches.c ---- */

/* Takes one of the keywords that make branches: *out is NULL where the schema has none, else an array of schemas
 * without it, of which a value has to be accepted by one; c->made owns it. */
mn_status mn_schema_branches(mn_schema_compiler *c, const json_t *schema, const char **keyword, json_t **out);

/* ---- json_schema_negate.c ---- */

/* An array of schemas that accept what this one does not, perhaps not all of it; c->made owns it. What nothing is known
 * of is unsupported, as a part of `keyword`. */
mn_status mn_schema_negate(mn_schema_compiler *c, const json_t *schema, const char *keyword, json_t **out);

/* ---- json_schema_merge.c ---- */

/* What a reference names; NULL where there is nothing. */
const json_t *mn_schema_resolve(const json_t *root, const char *reference);
/* A schema of what both accept; what it cannot put together is unsupported, with the keyword. c->made owns *out. */
mn_status mn_schema_merge(mn_schema_compiler *c, const json_t *a, const json_t *b, json_t **out);
/* Whether there is no keyword but this (NULL: at all) that accepts or refuses anything. */
bool mn_schema_has_only(const json_t *schema, const char *keyword);

/* Keywords that accept and refuse nothing. */
bool mn_schema_is_annotation(const char *keyword);

/* ---- json_schema_accepts.c ---- */

typedef enum mn_verdict { MN_NO = -1, MN_UNSURE = 0, MN_YES = 1 } mn_verdict;

/* Whether a value is accepted, by the standard's words. */
mn_verdict mn_schema_accepts(mn_schema_compiler *c, const json_t *schema, const json_t *value);
mn_verdict mn_schema_matches(mn_schema_compiler *c, const char *pattern, const char *text);
/* As numbers are equal in JSON: 1 and 1.0. */
bool mn_schema_same(const json_t *a, const json_t *b);

/* ---- json_schema_values.c ---- */

/* All values of a schema that has few, each once, as an array that c->made owns; NULL where it may have more than
 * most. */
json_t *mn_schema_values(mn_schema_compiler *c, const json_t *schema, size_t most);
/* Whether it is certain that nothing is accepted. */
bool mn_schema_is_empty(mn_schema_compiler *c, const json_t *schema);
/* Whether it is certain that no value is accepted by both. */
bool mn_schema_exclude(mn_schema_compiler *c, const json_t *a, const json_t *b);

/* ---- json_schema_number.c ---- */

bool mn_schema_is_multiple(const json_t *value, const json_t *divisor);

#endif
