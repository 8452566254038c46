/* Messages, requests and replies as OpenAI's JSON. */
#ifndef MN_LLM_WIRE_H
#define MN_LLM_WIRE_H

#include "llm/llm.h"

#include <jansson.h>

enum { MN_LLM_MAX_CALLS = 64 }; /* of one answer */

/* {"messages": [...], "temperature", "max_tokens", "seed", "tools", "tool_choice", "response_format"}; NULL where a
 * text is no UTF-8 or tools and schema are no JSON. The caller drops it. */
json_t *mn_llm_request_json(const mn_llm_request *request);
/* {"role", "content", "tool_calls", "tool_call_id"} */
json_t *mn_llm_message_json(const mn_llm_message *message);
/* A list of calls. */
json_t *mn_llm_calls_json(const mn_llm_call *calls, size_t n_calls);
/* Appends the calls of such a list to the reply. False when there is no memory, or MN_LLM_MAX_CALLS are there. */
bool mn_llm_calls_parse(const char *text, mn_llm_reply *reply);
/* Appends a call to the reply, copied; NULL is "". False when there is no memory, or that many are there. */
bool mn_llm_reply_add_call(mn_llm_reply *reply, const char *id, const char *name, const char *arguments);
const char *mn_llm_finish_name(mn_llm_finish finish);
mn_llm_finish mn_llm_finish_of(const char *name);

#endif
