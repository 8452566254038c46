/* Values as JSON, as Python's json.dumps writes it, and JSON as values. */
#ifndef MN_JINJA_JSON_H
#define MN_JINJA_JSON_H

#include "jinja/value.h"

typedef struct jinja_json_style {
    bool is_broken;      /* over lines, each level indented once more */
    jinja_string indent; /* may be empty */
    bool ensure_ascii, sort_keys;
    jinja_string item_separator, key_separator;
} jinja_json_style;

/* Appends the value. What JSON has not (undefined, macros) is an error. */
bool mn_jinja_to_json(jinja_builder *b, const jinja_value *value, const jinja_json_style *style);
/* Parses JSON; every string in it is marked. `what` names the text in errors ("tools"). */
bool mn_jinja_from_json(jinja_render *r, const char *json, const char *what, jinja_value *out);

#endif
