/* mnemo mcp: graph and memory as tools for other programs, by the Model Context Protocol over standard input and
 * output: one JSON-RPC 2.0 message a line. */
#include "cli/mcp.h"

#include "cli/options.h"
#include "cli/verbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef MNEMO_HAVE_GRAPH

enum { PARSE_ERROR = -32700, INVALID_REQUEST = -32600, NO_METHOD = -32601, INVALID_PARAMETERS = -32602 };

static void send_message(json_t *message) {
    json_dumpf(message, stdout, JSON_COMPACT);
    putchar('\n');
    fflush(stdout);
    json_decref(message);
}

static void reply(const json_t *id, json_t *result) {
    send_message(json_pack("{s:s, s:O, s:o}", "jsonrpc", "2.0", "id", id, "result", result));
}

static void refuse(const json_t *id, int code, const char *text) {
    json_t *none = json_null();
    send_message(json_pack("{s:s, s:O, s:{s:i, s:s}}", "jsonrpc", "2.0", "id", id ? id : none, "error", "code", code,
                           "message", text));
}

static json_t *describe(const json_t *parameters) {
    const char *version = json_string_value(json_object_get(parameters, "protocolVersion"));
    return json_pack("{s:s, s:{s:{}}, s:{s:s, s:s}}", "protocolVersion", version ? version : "2024-11-05",
                     "capabilities", "tools", "serverInfo", "name", "mnemo", "version", MNEMO_VERSION);
}

static const mcp_tool *const tool_lists[] = {mcp_graph_tools, mcp_memory_tools};
enum { N_LISTS = sizeof tool_lists / sizeof *tool_lists };

static void list_some(const mcp_tool *t, json_t *list) {
    for (; t->name; t++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:{s:s, s:o, s:o}}", "name", t->name, "description", t->about,
                                              "inputSchema", "type", "object", "properties",
                                              json_loads(t->properties, 0, NULL), "required",
                                              json_loads(t->required, 0, NULL)));
}

static json_t *list_tools(void) {
    json_t *list = json_array();
    for (int i = 0; i < N_LISTS; i++) list_some(tool_lists[i], list);
    return json_pack("{s:o}", "tools", list);
}

/* NULL where there is none of this name. */
static const mcp_tool *find_tool(const char *name) {
    for (int i = 0; name && i < N_LISTS; i++)
        for (const mcp_tool *t = tool_lists[i]; t->name; t++)
            if (!strcmp(t->name, name)) return t;
    return NULL;
}

/* What a tool finds is text for the model that asked; what goes wrong too, marked as an error. */
static void call_tool(mcp_context *context, const json_t *id, const json_t *parameters) {
    const char *name = json_string_value(json_object_get(parameters, "name"));
    const json_t *arguments = json_object_get(parameters, "arguments");
    const mcp_tool *t = find_tool(name);
    mn_error err;
    json_t *result = NULL, *none = json_object();
    if (!t) {
        json_decref(none);
        refuse(id, INVALID_PARAMETERS, "There is no tool of this name; tools/list names them.");
        return;
    }
    mn_status status = t->run(context, json_is_object(arguments) ? arguments : none, &result, &err);
    char *text = status == MN_OK ? json_dumps(result, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
    reply(id, json_pack("{s:[{s:s, s:s}], s:b}", "content", "type", "text", "text",
                        text              ? text
                        : status == MN_OK ? "There is no memory for the result."
                                          : err.text,
                        "isError", text == NULL));
    free(text);
    json_decref(result);
    json_decref(none);
}

static void answer(mcp_context *context, const json_t *message) {
    const char *method = json_string_value(json_object_get(message, "method"));
    const json_t *id = json_object_get(message, "id"), *parameters = json_object_get(message, "params");
    if (!method) {
        if (!json_object_get(message, "result") && !json_object_get(message, "error"))
            refuse(id, INVALID_REQUEST, "A message has a method.");
        return;
    }
    if (!id || json_is_null(id)) return; /* a notification */
    if (!strcmp(method, "initialize"))
        reply(id, describe(parameters));
    else if (!strcmp(method, "ping"))
        reply(id, json_object());
    else if (!strcmp(method, "tools/list"))
        reply(id, list_tools());
    else if (!strcmp(method, "tools/call"))
        call_tool(context, id, parameters);
    else
        refuse(id, NO_METHOD, "This method is not known here.");
}

static void serve(mcp_context *context) {
    char *line = NULL;
    size_t capacity = 0;
    ssize_t bytes;
    while ((bytes = getline(&line, &capacity, stdin)) > 0) {
        if (strspn(line, " \t\r\n") == (size_t)bytes) continue;
        json_t *message = json_loadb(line, (size_t)bytes, 0, NULL);
        if (json_is_object(message))
            answer(context, message);
        else
            refuse(NULL, PARSE_ERROR, "A line is one JSON object.");
        json_decref(message);
    }
    free(line);
}

static mn_status open_parts(mcp_context *c, mn_error *err) {
    mn_agent_row row;
    bool found;
    MN_TRY(mn_memory_migrate(c->store, err));
    MN_TRY(mn_agent_find(c->store, c->agent_name, &row, &found, err));
    c->agent = row.id;
    mn_agent_row_release(&row);
    return mn_graph_open(c->store, &c->graph, err);
}

static mn_status run(const char *path, const char *name, mn_error *err) {
    const mn_store_options options = {.must_exist = true};
    mcp_context c = {.agent_name = name};
    MN_TRY(mn_store_open(path, &options, &c.store, err));
    mn_status status = open_parts(&c, err);
    if (status == MN_OK) serve(&c);
    mn_recall_index_close(c.index);
    if (c.graph) mn_graph_close(c.graph);
    mn_store_close(c.store);
    return mn_cli_past_usage(status, err);
}
#else
static mn_status run(const char *path, const char *name, mn_error *err) {
    (void)name;
    return mn_fail(err, MN_ERR_UNSUPPORTED,
                   "This build has no graph to open %s with: install libsqlite3-dev and libstemmer-dev, build again.",
                   path);
}
#endif

int cmd_mcp(int argc, char **argv) {
    const char *store = NULL, *name = NULL;
    const mn_option options[] = {
        MN_OPTION_TEXT("store", &store, "FILE", "graph.db", "what mnemo read index and mnemo agent have made"),
        MN_OPTION_TEXT("name", &name, "NAME", "mnemo", "whose memory the memory tools are"),
        MN_OPTIONS_END,
    };
    const mn_usage usage = {
        .verb = "mcp",
        .synopsis = "[--store FILE] [--name NAME]",
        .about = "Offers the graph and the memory of a store to other programs as tools, by the Model Context Protocol "
                 "over standard input and output.",
        .example = "mnemo mcp --store docs.db",
        .options = options,
    };
    mn_text_list none;
    mn_error err;
    int code = mn_options_parse(&usage, argc, argv, &none);
    if (code >= 0) return code;
    return run(store, name, &err) == MN_OK ? MN_EXIT_DONE : mn_cli_fail("mcp", &err);
}
