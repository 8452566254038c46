/* Python's two ways to put values into a text: "%s of %d" % (a, b), and "{} of {x}".format(a, x=b). */
#ifndef MN_JINJA_INTERPOLATE_H
#define MN_JINJA_INTERPOLATE_H

#include "jinja/value.h"

/* format % values: a tuple's items, a dict's entries by name, or one value. */
bool mn_jinja_percent(jinja_render *r, jinja_string format, const jinja_value *values, jinja_string *out);
/* format.format(*by_place, **by_name) */
bool mn_jinja_braces(jinja_render *r, jinja_string format, const jinja_list *by_place, const jinja_dict *by_name,
                     jinja_string *out);

#endif
