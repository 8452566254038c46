/* Fuzz target: any bytes as what a model wrote, and as a list of tools. Calls that are read have a name and are written
 * and read again in every format; tools that are taken become a schema. */
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "llm/tool_calls.h"
#include "grammar/json_schema.h"

static void read_again(const mn_llm_reply *read) {
    for (mn_tool_format f = MN_TOOLS_JSON; f <= MN_TOOLS_MISTRAL; f++) {
        mn_strbuf text = MN_STRBUF_INIT;
        mn_tool_calls_write(f, read->calls, read->n_calls, &text);
        mn_llm_reply again = {.content = mn_strbuf_detach(&text, NULL)};
        if (!mn_tool_calls_take(f, &again) || again.n_calls != read->n_calls) abort();
        for (size_t i = 0; i < again.n_calls; i++)
            if (strcmp(again.calls[i].name, read->calls[i].name) != 0) abort();
        mn_llm_reply_release(&again);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    if (bytes > 1 << 14) return 0;
    mn_llm_reply reply = {.content = strndup((const char *)data, bytes)};
    char *schema = NULL;
    mn_error err = {0};
    if (mn_tool_calls_schema(MN_TOOLS_LLAMA3, reply.content, &schema, &err) == MN_OK) {
        mn_grammar *g = NULL;
        if (mn_json_schema_parse(schema, strlen(schema), MN_JSON_BLANKS_NONE, &g, &err) && !err.text[0]) abort();
        mn_grammar_destroy(g);
    } else if (!err.text[0]) {
        abort();
    }
    free(schema);
    if (!mn_tool_calls_take(mn_tool_format_in(reply.content), &reply)) abort();
    for (size_t i = 0; i < reply.n_calls; i++)
        if (!reply.calls[i].name[0]) abort();
    if (reply.n_calls) read_again(&reply);
    mn_llm_reply_release(&reply);
    return 0;
}
