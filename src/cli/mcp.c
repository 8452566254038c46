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

static json_t *reply(const json_t *id, json_t *result) {
    return json_pack("{s:s, s:O, s:o}", "jsonrpc", "2.0", "id", id, "result", result);
}

static json_t *refuse(const json_t *id, int code, const char *text) {
    json_t *none = json_null();
    return json_pack("{s:s, s:O, s:{s:i, s:s}}", "jsonrpc", "2.0", "id", id ? id : none, "error", "code", code,
                     "message", text);
}

/* The version that was asked for where it is known, else the newest, which the client takes or leaves (Lifecycle,
 * version negotiation). */
static const char *version_for(const char *asked) {
    static const char *const known[] = {"2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"};
    for (size_t i = 0; asked && i < sizeof known / sizeof *known; i++)
        if (!strcmp(asked, known[i])) return known[i];
    return known[0];
}

static json_t *describe(const json_t *parameters) {
    const char *version = version_for(json_string_value(json_object_get(parameters, "protocolVersion")));
    return json_pack("{s:s, s:{s:{}}, s:{s:s, s:s}}", "protocolVersion", version, "capabilities", "tools", "serverInfo",
                     "name", "mnemo", "version", MNEMO_VERSION);
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
static json_t *call_tool(mcp_context *context, const json_t *id, const json_t *parameters) {
    const char *name = json_string_value(json_object_get(parameters, "name"));
    const json_t *arguments = json_object_get(parameters, "arguments");
    const mcp_tool *t = find_tool(name);
    mn_error err;
    json_t *result = NULL, *none = json_object();
    if (!t) {
        json_decref(none);
        return refuse(id, INVALID_PARAMETERS, "There is no tool of this name; tools/list names them.");
    }
    mn_status status = t->run(context, json_is_object(arguments) ? arguments : none, &result, &err);
    char *text = status == MN_OK ? json_dumps(result, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
    const char *told = text ? text : status == MN_OK ? "There is no memory for the result." : err.text;
    json_t *content = json_pack("{s:[{s:s, s:s}], s:b}", "content", "type", "text", "text", told, "isError", !text);
    free(text);
    json_decref(result);
    json_decref(none);
    return reply(id, content);
}

/* NULL where nothing is to be answered: to notifications, and to answers. */
static json_t *answer(mcp_context *context, const json_t *message) {
    const char *method = json_string_value(json_object_get(message, "method"));
    const json_t *id = json_object_get(message, "id"), *parameters = json_object_get(message, "params");
    if (!json_is_object(message)) return refuse(NULL, INVALID_REQUEST, "A message is a JSON object.");
    if (!method) {
        bool is_answer = json_object_get(message, "result") || json_object_get(message, "error");
        return is_answer ? NULL : refuse(id, INVALID_REQUEST, "A message has a method.");
    }
    if (!id || json_is_null(id)) return NULL;
    if (!strcmp(method, "initialize")) return reply(id, describe(parameters));
    if (!strcmp(method, "ping")) return reply(id, json_object());
    if (!strcmp(method, "tools/list")) return reply(id, list_tools());
    if (!strcmp(method, "tools/call")) return call_tool(context, id, parameters);
    return refuse(id, NO_METHOD, "This method is not known here.");
}

/* Several messages in a list, as version 2025-03-26 has them: a list of what is answered. */
static json_t *answer_batch(mcp_context *context, const json_t *messages) {
    json_t *answers = json_array(), *message;
    size_t i;
    if (!json_array_size(messages)) {
        json_decref(answers);
        return refuse(NULL, INVALID_REQUEST, "A list of messages has at least one.");
    }
    json_array_foreach(messages, i, message) {
        json_t *one = answer(context, message);
        if (one) json_array_append_new(answers, one);
    }
    if (json_array_size(answers)) return answers;
    json_decref(answers);
    return NULL;
}

static void send_message(json_t *message) {
    if (!message) return;
    json_dumpf(message, stdout, JSON_COMPACT);
    putchar('\n');
    fflush(stdout);
    json_decref(message);
}

static void serve(mcp_context *context) {
    char *line = NULL;
    size_t capacity = 0;
    ssize_t bytes;
    while ((bytes = getline(&line, &capacity, stdin)) > 0) {
        if (strspn(line, " \t\r\n") == (size_t)bytes) continue;
        json_t *message = json_loadb(line, (size_t)bytes, JSON_DECODE_ANY, NULL);
        if (json_is_array(message))
            send_message(answer_batch(context, message));
        else
            send_message(message ? answer(context, message) : refuse(NULL, PARSE_ERROR, "A line is no JSON."));
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
