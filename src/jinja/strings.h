/* What filters and methods do to strings. Every byte of a result keeps the mark of the byte it was made from. */
#ifndef MN_JINJA_STRINGS_H
#define MN_JINJA_STRINGS_H

#include "jinja/value.h"

typedef enum jinja_case {
    JINJA_UPPER,
    JINJA_LOWER,
    JINJA_CAPITALIZE,  /* the first letter up, the rest down */
    JINJA_TITLE,       /* str.title: a letter after anything but a letter up */
    JINJA_TITLE_FILTER /* |title: the first letter after white space or one of -({[< up */
} jinja_case;

bool mn_jinja_change_case(jinja_render *r, jinja_string s, jinja_case to, jinja_string *out);
/* Without the characters of set (undefined, none: white space) at its left and right end; set: one argument of strip.
 */
bool mn_jinja_strip(jinja_render *r, jinja_string s, const jinja_value *set, bool left, bool right, jinja_string *out);
/* The first max (< 0: all) places of old become new. */
bool mn_jinja_replace(jinja_render *r, jinja_string s, jinja_string old, jinja_string new, int64_t max,
                      jinja_string *out);
/* Parts between separators (undefined, none: runs of white space), at most max splits (< 0: no limit). */
bool mn_jinja_split(jinja_render *r, jinja_string s, const jinja_value *separator, int64_t max, jinja_list **out);
/* The same, counting from the right. */
bool mn_jinja_split_right(jinja_render *r, jinja_string s, jinja_string separator, int64_t max, jinja_list **out);
/* Indents every line by `by`, the first only if `first`, empty ones only if `blank`. */
bool mn_jinja_indent(jinja_render *r, jinja_string s, jinja_string by, bool first, bool blank, jinja_string *out);

#endif
