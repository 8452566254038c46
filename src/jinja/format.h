/* Values as text, as Python prints them. */
#ifndef MN_JINJA_FORMAT_H
#define MN_JINJA_FORMAT_H

#include "jinja/value.h"

/* Appends str(value): what {{ value }} shows. Undefined is empty. */
bool mn_jinja_print(jinja_builder *b, const jinja_value *value);
/* The same as a string; a string is itself. */
bool mn_jinja_to_string(jinja_render *r, const jinja_value *value, jinja_string *out);

/* Appends repr(value), strings in quotes; ascii: ascii(value). */
bool mn_jinja_print_quoted(jinja_builder *b, const jinja_value *value, bool ascii);

enum { JINJA_REAL_BYTES = 64 };
/* The shortest digits that are the same double again, laid out as Python does: 1.0, 0.0001, 1e-05, 1e+16. out has
 * JINJA_REAL_BYTES. */
void mn_jinja_real_text(double x, char *out);

#endif
