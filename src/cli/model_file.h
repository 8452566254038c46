/* Which model a verb runs when none is named. */
#ifndef MN_CLI_MODEL_FILE_H
#define MN_CLI_MODEL_FILE_H

#include "base/status.h"

#include <limits.h>
#include <stdbool.h>

/* Finds a file of the folder models/ that ships with the program: beside the binary, in its source or under the prefix
 * it is installed to. False when it is in none of them. */
bool mn_shipped_file_find(const char *name, char out[PATH_MAX]);

/* *path, which -m, a word or MNEMO_MODEL has set, stays; NULL becomes the model that ships with the program (beside the
 * binary, in its source or under the prefix it is installed to), and a line on standard error names it. An error when
 * there is none. */
mn_status mn_model_file_find(const char **path, mn_error *err);

#endif
