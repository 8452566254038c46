/* Calls of functions in what a model wrote, and as a model writes them, in the formats that models are trained on:
 *
 *     Hermes, Qwen   <tool_call>{"name": "f", "arguments": {...}}</tool_call>, any number
 *     Mistral        [TOOL_CALLS][{"name": "f", "arguments": {...}}, ...], or [TOOL_CALLS]f[ARGS]{...}
 *     Llama 3        {"name": "f", "parameters": {...}} alone, behind <|python_tag|> or not
 *     others         the same with "arguments", or as {"function": {...}}, also in a block of ```json
 *     Harmony        a message in channels to=functions.f (tool_harmony.c)
 *
 * Reading takes all of them but Harmony's, or those alone; writing, prompts and grammars take the one that the model's
 * chat template has.
 */
#ifndef MN_LLM_TOOL_CALLS_H
#define MN_LLM_TOOL_CALLS_H

#include "llm/llm.h"

typedef enum mn_tool_format {
    MN_TOOLS_JSON, /* a call is a JSON object, several are a list */
    MN_TOOLS_HERMES,
    MN_TOOLS_LLAMA3,
    MN_TOOLS_MISTRAL,
    MN_TOOLS_MISTRAL_ARGS, /* since the tokenizer v11: a name, [ARGS], an object */
    MN_TOOLS_HARMONY
} mn_tool_format;

/* The format that a chat template's source writes; MN_TOOLS_JSON for NULL and for templates without calls. */
mn_tool_format mn_tool_format_of(const char *chat_template);
/* The format to read an answer in whose model's template is not known. */
mn_tool_format mn_tool_format_in(const char *answer);
/* "json", "hermes", "llama3", "mistral", "mistral-args", "harmony" */
const char *mn_tool_format_name(mn_tool_format format);

/* Appends the calls as a model of this format writes them; mn_tool_calls_take reads the same calls. Arguments that are
 * no JSON object are written as {}. */
void mn_tool_calls_write(mn_tool_format format, const mn_llm_call *calls, size_t n_calls, mn_strbuf *out);

/* Moves the calls in reply->content to reply->calls, and leaves the text around them; of Harmony's messages what is
 * said in the final channel. Text that is no call stays as it is. False when memory ends, or the reply holds
 * MN_LLM_MAX_CALLS (wire.h). */
bool mn_tool_calls_take(mn_tool_format format, mn_llm_reply *reply);

/* A JSON schema of one call in the formats whose calls are objects: {"anyOf": [{"name": ..., "arguments": ...}, ...]}
 * over the tools ("parameters" in place of "arguments" for Llama 3). tools_json is OpenAI's list. The caller frees
 * *schema. What is no list of functions is MN_ERR_FORMAT with the tool's place. */
mn_status mn_tool_calls_schema(mn_tool_format format, const char *tools_json, char **schema, mn_error *err);

/* Appends what tells a model of the tools whose chat template does not: what there is, and how a call is written. */
void mn_tool_calls_prompt(const char *tools_json, mn_strbuf *out);

#endif
