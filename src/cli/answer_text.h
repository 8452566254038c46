/* Text that a model makes, on its way to standard output. */
#ifndef MN_CLI_ANSWER_TEXT_H
#define MN_CLI_ANSWER_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Writes and flushes it; on a terminal without control characters, which a model may be made to emit. False when it did
 * not arrive. */
bool mn_answer_write(const char *text, size_t bytes);

#endif
