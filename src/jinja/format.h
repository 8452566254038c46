/* Values as text: printed as Python prints them, and as JSON; and JSON as values. */
#ifndef MN_JINJA_FORMAT_H
#define MN_JINJA_FORMAT_H

#include "jinja/value.h"

/* Appends str(value): what {{ value }} shows. Undefined is empty. */
bool mn_jinja_print(jinja_builder *b, const jinja_value *value);
/* The same as a string; a string is itself. */
bool mn_jinja_to_string(jinja_render *r, const jinja_value *value, jinja_string *out);

typedef struct jinja_json_style {
    int indent; /* spaces per level, < 0 = all on one line */
    bool ensure_ascii, sort_keys;
    jinja_string item_separator, key_separator;
} jinja_json_style;

/* Appends the value as json.dumps writes it. Values that JSON has not (undefined, macros) are errors. */
bool mn_jinja_to_json(jinja_builder *b, const jinja_value *value, const jinja_json_style *style);
/* Parses JSON; every string in it is marked. `what` names the text in errors ("tools"). */
bool mn_jinja_from_json(jinja_render *r, const char *json, const char *what, jinja_value *out);

#endif
