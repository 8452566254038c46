/* What there is, from the code's own registries. */
#ifndef MN_CLI_INFO_TECHNIQUES_H
#define MN_CLI_INFO_TECHNIQUES_H

#include <stdbool.h>

/* mnemo info --techniques: the table of README.md (tools/update-readme.sh puts it there), or a JSON array. */
void mn_info_techniques(bool json);
/* mnemo info --archs: the architectures that run, a line each. */
void mn_info_archs(bool json);

#endif
