/* Calls of functions in what a model wrote, in the formats that models are trained on:
 *
 *     Hermes, Qwen   <tool_call>{"name": "f", "arguments": {...}}</tool_call>, any number
 *     Mistral        [TOOL_CALLS][{"name": "f", "arguments": {...}}, ...], or [TOOL_CALLS]f[ARGS]{...}
 *     Llama 3        {"name": "f", "parameters": {...}} alone, behind <|python_tag|> or not
 *     others         the same with "arguments", or as {"function": {...}}, also in a block of ```json
 */
#ifndef MN_LLM_TOOL_CALLS_H
#define MN_LLM_TOOL_CALLS_H

#include "llm/llm.h"

/* Moves the calls in reply->content to reply->calls, and leaves the text around them. Text that is no call stays as it
 * is. False when memory ends. */
bool mn_tool_calls_take(mn_llm_reply *reply);

#endif
