/* What filters and methods do to strings. Every byte of a result keeps the mark of the byte it was made from. */
#ifndef MN_JINJA_STRINGS_H
#define MN_JINJA_STRINGS_H

#include "jinja/value.h"

typedef enum jinja_case {
    JINJA_UPPER,
    JINJA_LOWER,
    JINJA_CAPITALIZE,   /* the first letter up, the rest down */
    JINJA_TITLE,        /* str.title: a letter after anything but a letter up */
    JINJA_TITLE_FILTER, /* |title: the first letter after white space or one of -({[< up */
    JINJA_SWAPCASE,
    JINJA_CASEFOLD
} jinja_case;

/* casing.c */
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
bool mn_jinja_split_right(jinja_render *r, jinja_string s, const jinja_value *separator, int64_t max, jinja_list **out);
/* Lines, wherever str.splitlines ends one, with their ends or without. */
bool mn_jinja_split_lines(jinja_render *r, jinja_string s, bool keep_ends, jinja_list **out);
/* Indents every line by `by`, the first only if `first`, empty ones only if `blank`. */
bool mn_jinja_indent(jinja_render *r, jinja_string s, jinja_string by, bool first, bool blank, jinja_string *out);
/* s with n characters of `fill` on each side. */
bool mn_jinja_pad(jinja_render *r, jinja_string s, jinja_string fill, int64_t n_left, int64_t n_right,
                  jinja_string *out);
/* Where the character number n begins; the end when there are not so many. */
size_t mn_jinja_char_offset(jinja_string s, int64_t n);
/* s as HTML: & < > ' " spelled out. */
bool mn_jinja_escape(jinja_render *r, jinja_string s, jinja_string *out);

#endif
