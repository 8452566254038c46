/* Whole numbers as they are typed: 32768 or 32k. */
#ifndef MN_CLI_NUMBERS_H
#define MN_CLI_NUMBERS_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

/* A number at text, times 1024, 1024^2 or 1024^3 for k, m or g (or capitals) behind it. *end: what follows. False when
 * none stands there or it has more than 63 bits; then nothing is changed. */
bool mn_number_read(const char *text, const char **end, int64_t *out);

/* Numbers from least to most with commas between, into out [max]. Errors (MN_ERR_ARGUMENT) name the flag. */
mn_status mn_numbers_read(const char *flag, const char *text, int64_t least, int64_t most, int64_t *out, int max,
                          int *n, mn_error *err);

#endif
