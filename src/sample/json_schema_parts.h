/* Inside json_schema*.c: a schema on its way to a grammar. */
#ifndef MN_SAMPLE_JSON_SCHEMA_PARTS_H
#define MN_SAMPLE_JSON_SCHEMA_PARTS_H

#include "base/strbuf.h"
#include "sample/json_schema.h"

#include <jansson.h>

typedef struct mn_schema_rule {
    const json_t *schema;
    int32_t rule;
} mn_schema_rule;

typedef struct mn_schema_compiler {
    mn_grammar *g;
    json_t *root;
    json_t *made;         /* array: schemas that were put together here */
    mn_schema_rule *done; /* schemas that are rules already */
    size_t n_done;
    mn_strbuf place; /* "#/properties/a" */
    int depth;
    mn_error *err;
} mn_schema_compiler;

/* ---- json_schema.c ---- */

/* "the schema at #/a: ..." */
mn_status mn_schema_fail(mn_schema_compiler *c, mn_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The keyword is not there. */
mn_status mn_schema_unsupported(mn_schema_compiler *c, const char *keyword, const char *why);
/* A rule of json_schema_texts.c's GBNF. */
void mn_schema_call(mn_schema_compiler *c, int32_t from, const char *name, int32_t to);
/* The rule of a schema that stands at place/step, made when it is met first. */
mn_status mn_schema_rule_of(mn_schema_compiler *c, const json_t *schema, const char *step, int32_t *rule);
/* A count: an integer of at least 0; `standard` where it is absent. */
mn_status mn_schema_count(mn_schema_compiler *c, const json_t *schema, const char *keyword, int64_t standard,
                          int64_t *out);

/* ---- the types ---- */

mn_status mn_schema_object(mn_schema_compiler *c, const json_t *schema, int32_t from, int32_t to);
mn_status mn_schema_array(mn_schema_compiler *c, const json_t *schema, int32_t from, int32_t to);
mn_status mn_schema_string(mn_schema_compiler *c, const json_t *schema, int32_t from, int32_t to);
mn_status mn_schema_number(mn_schema_compiler *c, const json_t *schema, bool integers, int32_t from, int32_t to);

/* ---- json_schema_merge.c ---- */

/* What a reference names; NULL where there is nothing. */
const json_t *mn_schema_resolve(const json_t *root, const char *reference);
/* A schema of what both accept; what it cannot put together is unsupported, with the keyword. c->made owns *out. */
mn_status mn_schema_merge(mn_schema_compiler *c, const json_t *a, const json_t *b, json_t **out);
/* Whether it is certain that no value is accepted by both. */
bool mn_schema_exclude(const mn_schema_compiler *c, const json_t *a, const json_t *b, int depth);

/* Keywords that accept and refuse nothing. */
bool mn_schema_is_annotation(const char *keyword);

#endif
