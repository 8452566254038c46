/* mnemo mcp: what its files share. */
#ifndef MN_CLI_MCP_H
#define MN_CLI_MCP_H

#ifdef MNEMO_HAVE_GRAPH
#include "graph/graph.h"
#include "memory/recall_index.h"

#include <jansson.h>

/* What the tools work on. */
typedef struct mcp_context {
    mn_store *store;
    mn_graph *graph;
    const char *agent_name;
    int64_t agent;          /* 0: the store has none of this name yet */
    mn_recall_index *index; /* of its recall; NULL until it is searched */
} mcp_context;

/* A tool: does the work that `arguments` (an object) ask for, and gives what it found as JSON; the caller drops it. */
typedef mn_status mcp_fn(mcp_context *context, const json_t *arguments, json_t **result, mn_error *err);

typedef struct mcp_tool {
    const char *name, *about;
    const char *properties; /* JSON schema of the arguments' properties */
    const char *required;   /* JSON array of names */
    mcp_fn *run;
} mcp_tool;

extern const mcp_tool mcp_graph_tools[], mcp_memory_tools[]; /* each ends with a NULL name */

/* ---- arguments (mcp_arguments.c) ---- */

/* NULL where there is no such text. */
const char *mcp_text(const json_t *arguments, const char *name);
/* A whole number within [min, max], `otherwise` where there is none. */
uint32_t mcp_number(const json_t *arguments, const char *name, uint32_t min, uint32_t max, uint32_t otherwise);
mn_status mcp_wants(const char *name, mn_error *err);

#define MCP_TEXT(name, about) "\"" name "\": {\"type\": \"string\", \"description\": \"" about "\"}"
#define MCP_NUMBER(name, about) "\"" name "\": {\"type\": \"integer\", \"description\": \"" about "\"}"
#endif

#endif
