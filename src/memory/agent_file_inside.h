/* What reading and writing of agent files share. */
#ifndef MN_MEMORY_AGENT_FILE_INSIDE_H
#define MN_MEMORY_AGENT_FILE_INSIDE_H

#include "memory/agent_file.h"

#include <jansson.h>

/* Empties what opens something, at any depth: keys, tokens, headers, values of environment variables. */
void mn_af_strip_secrets(json_t *value);

#endif
