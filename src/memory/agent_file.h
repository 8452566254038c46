/* Agents as files: Letta's .af (letta/schemas/agent_file.py), read and written.
 *
 * A file holds everything of an agent: blocks, all messages (Letta writes those in context alone), which of them are in
 * context, and, under "mnemo", which other programs pass over, the texts of archival memory, the summary and the
 * history of blocks. What a file of another program says beyond that (tools, configurations, parts of messages) is kept
 * and written again. Secrets are neither read nor written: values of environment variables, tokens, keys, headers.
 */
#ifndef MN_MEMORY_AGENT_FILE_H
#define MN_MEMORY_AGENT_FILE_H

#include "memory/memory.h"

/* Writes the agent of this name; the order of everything is fixed, so that the same agent gives the same bytes. */
mn_status mn_agent_file_write(mn_store *store, const char *name, FILE *out, mn_error *err);

typedef struct mn_agent_file_figures {
    int64_t n_agents, n_blocks, n_messages, n_archival; /* that are new */
    int64_t n_renamed;                                  /* agents of a name that one before them in the file has */
} mn_agent_file_figures;

/* Reads a file's agents into the store, in one transaction. name: for the first of them; NULL = as in the file. Of two
 * with the same name the second is "NAME (2)". The same file once more changes nothing; an agent of this name that is
 * there already from elsewhere is MN_ERR_ARGUMENT. */
mn_status mn_agent_file_read(mn_store *store, const char *text, size_t bytes, const char *name,
                             mn_agent_file_figures *out, mn_error *err);

#endif
