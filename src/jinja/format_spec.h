/* Python's format specifications: ">8", "+.2f", "08x", and the flags of "%-8s". */
#ifndef MN_JINJA_FORMAT_SPEC_H
#define MN_JINJA_FORMAT_SPEC_H

#include "jinja/value.h"

/* [[fill]align][sign][#][0][width][,][.precision][type] */
typedef struct jinja_format_spec {
    jinja_string fill; /* one character */
    char align;        /* < > ^ = ; 0: as the kind of value has it */
    char sign;         /* + - or a space */
    bool alternate, zero;
    char grouping;            /* , _ or 0 */
    char type;                /* 0: not stated */
    int64_t width, precision; /* precision < 0: not stated */
} jinja_format_spec;

/* What nothing stated means. */
jinja_format_spec mn_jinja_default_spec(void);
bool mn_jinja_parse_spec(jinja_render *r, jinja_string text, jinja_format_spec *out);
/* Appends a value of that kind as the specification says. */
bool mn_jinja_put_integer(jinja_builder *b, int64_t value, const jinja_format_spec *spec);
bool mn_jinja_put_real(jinja_builder *b, double value, const jinja_format_spec *spec);
bool mn_jinja_put_padded(jinja_builder *b, jinja_string value, const jinja_format_spec *spec);
/* format(value, spec): by the kind of value; other kinds take an empty specification only. */
bool mn_jinja_put_formatted(jinja_builder *b, const jinja_value *value, jinja_string spec);

#endif
