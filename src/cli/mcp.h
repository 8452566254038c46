/* mnemo mcp: what its files share. */
#ifndef MN_CLI_MCP_H
#define MN_CLI_MCP_H

#ifdef MNEMO_HAVE_GRAPH
#include "graph/graph.h"

#include <jansson.h>

/* A tool: does the work that `arguments` (an object) ask for, and gives what it found as JSON; the caller drops it. */
typedef mn_status mcp_fn(mn_graph *graph, const json_t *arguments, json_t **result, mn_error *err);

typedef struct mcp_tool {
    const char *name, *about;
    const char *properties; /* JSON schema of the arguments' properties */
    const char *required;   /* JSON array of names */
    mcp_fn *run;
} mcp_tool;

extern const mcp_tool mcp_graph_tools[]; /* ends with a NULL name */
#endif

#endif
