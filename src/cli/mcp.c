/* mnemo mcp: the graph as tools for other programs, by the Model Context Protocol over standard input and output: one
 * JSON-RPC 2.0 message a line. */
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

static json_t *list_tools(void) {
    json_t *list = json_array();
    for (const mcp_tool *t = mcp_graph_tools; t->name; t++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:{s:s, s:o, s:o}}", "name", t->name, "description", t->about,
                                              "inputSchema", "type", "object", "properties",
                                              json_loads(t->properties, 0, NULL), "required",
                                              json_loads(t->required, 0, NULL)));
    return json_pack("{s:o}", "tools", list);
}

/* What a tool finds is text for the model that asked; what goes wrong too, marked as an error. */
static void call_tool(mn_graph *graph, const json_t *id, const json_t *parameters) {
    const char *name = json_string_value(json_object_get(parameters, "name"));
    const json_t *arguments = json_object_get(parameters, "arguments");
    const mcp_tool *t = mcp_graph_tools;
    mn_error err;
    json_t *result = NULL, *none = json_object();
    while (name && t->name && strcmp(t->name, name) != 0) t++;
    if (!name || !t->name) {
        json_decref(none);
        refuse(id, INVALID_PARAMETERS, "There is no tool of this name; tools/list names them.");
        return;
    }
    mn_status status = t->run(graph, json_is_object(arguments) ? arguments : none, &result, &err);
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

static void answer(mn_graph *graph, const json_t *message) {
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
        call_tool(graph, id, parameters);
    else
        refuse(id, NO_METHOD, "This method is not known here.");
}

static void serve(mn_graph *graph) {
    char *line = NULL;
    size_t capacity = 0;
    ssize_t bytes;
    while ((bytes = getline(&line, &capacity, stdin)) > 0) {
        if (strspn(line, " \t\r\n") == (size_t)bytes) continue;
        json_t *message = json_loadb(line, (size_t)bytes, 0, NULL);
        if (json_is_object(message))
            answer(graph, message);
        else
            refuse(NULL, PARSE_ERROR, "A line is one JSON object.");
        json_decref(message);
    }
    free(line);
}

static mn_status run(const char *path, mn_error *err) {
    const mn_store_options options = {.must_exist = true};
    mn_store *store;
    mn_graph *graph;
    MN_TRY(mn_store_open(path, &options, &store, err));
    mn_status status = mn_graph_open(store, &graph, err);
    if (status == MN_OK) serve(graph);
    if (status == MN_OK) mn_graph_close(graph);
    mn_store_close(store);
    return mn_cli_past_usage(status, err);
}
#else
static mn_status run(const char *path, mn_error *err) {
    return mn_fail(err, MN_ERR_UNSUPPORTED,
                   "This build has no graph to open %s with: install libsqlite3-dev and libstemmer-dev, build again.",
                   path);
}
#endif

int cmd_mcp(int argc, char **argv) {
    const char *store = NULL;
    const mn_option options[] = {
        MN_OPTION_TEXT("store", &store, "FILE", "graph.db", "what mnemo read index has made"),
        MN_OPTIONS_END,
    };
    const mn_usage usage = {
        .verb = "mcp",
        .synopsis = "[--store FILE]",
        .about = "Offers the graph of a store to other programs as tools, by the Model Context Protocol over standard "
                 "input and output.",
        .example = "mnemo mcp --store docs.db",
        .options = options,
    };
    mn_text_list none;
    mn_error err;
    int code = mn_options_parse(&usage, argc, argv, &none);
    if (code >= 0) return code;
    return run(store, &err) == MN_OK ? MN_EXIT_DONE : mn_cli_fail("mcp", &err);
}
