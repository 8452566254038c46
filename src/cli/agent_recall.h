/* mnemo agent import and search: recall from files, and measurable alone. */
#ifndef MN_CLI_AGENT_RECALL_H
#define MN_CLI_AGENT_RECALL_H

#include "cli/verbs.h"

/* argv[0] is the subcommand. */
mn_verb_fn cmd_agent_import, cmd_agent_search;

#define MN_AGENT_DEFAULT_NAME "mnemo" /* as of mnemo agent */

#endif
