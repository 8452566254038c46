/* What JSON cannot hold as it is: texts that may be no UTF-8 (names of files, what a model writes), numbers that may
 * be none. */
#ifndef MN_CLI_JSON_TEXT_H
#define MN_CLI_JSON_TEXT_H

#include <jansson.h>
#include <stddef.h>

/* A string with each byte that is no UTF-8 as U+FFFD; NULL when memory ends. */
json_t *mn_json_text(const char *text, size_t bytes);
/* The same of a text that ends with a NUL. */
json_t *mn_json_name(const char *text);
/* null for what is not finite. */
json_t *mn_json_real(double x);

#endif
