/* Characters as Python's str sees them: properties, and the mappings of case to up to three characters ("ß" to "SS").
 * Numbers above 0x10ffff stand for bytes that are no character and have no property. */
#ifndef MN_JINJA_UNICODE_H
#define MN_JINJA_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { JINJA_MAX_CASE_CHARS = 3 };

bool mn_jinja_is_space(uint32_t c);      /* str.isspace, and what strip and split take for white space */
bool mn_jinja_is_line_break(uint32_t c); /* where str.splitlines cuts */
bool mn_jinja_is_lower(uint32_t c);
bool mn_jinja_is_upper(uint32_t c);
bool mn_jinja_is_title(uint32_t c); /* one of the few letters that are both, as in "ǅ" */
bool mn_jinja_is_cased(uint32_t c);
bool mn_jinja_is_case_ignorable(uint32_t c);
bool mn_jinja_is_alpha(uint32_t c);
bool mn_jinja_is_decimal(uint32_t c); /* 0 to 9 of any script */
bool mn_jinja_is_digit(uint32_t c);   /* those, superscripts, digits in circles */
bool mn_jinja_is_numeric(uint32_t c); /* those, fractions, Roman and Chinese numerals */
bool mn_jinja_is_word(uint32_t c);    /* what \w matches */
bool mn_jinja_is_printable(uint32_t c);
bool mn_jinja_starts_identifier(uint32_t c);
/* The value of a decimal digit. */
int mn_jinja_decimal_value(uint32_t c);

/* Each writes the characters that c becomes and returns how many there are. */
size_t mn_jinja_to_upper(uint32_t c, uint32_t out[JINJA_MAX_CASE_CHARS]);
size_t mn_jinja_to_lower(uint32_t c, uint32_t out[JINJA_MAX_CASE_CHARS]);
size_t mn_jinja_to_title(uint32_t c, uint32_t out[JINJA_MAX_CASE_CHARS]);
size_t mn_jinja_fold_case(uint32_t c, uint32_t out[JINJA_MAX_CASE_CHARS]);

/* The UTF-8 of c; returns its bytes (1 to 4). */
size_t mn_jinja_encode(uint32_t c, char out[4]);

#endif
