/* Inside tool_*.c: calls in Harmony's messages. */
#ifndef MN_LLM_TOOL_HARMONY_H
#define MN_LLM_TOOL_HARMONY_H

#include "llm/tool_calls.h"

/* Whether a text begins as an answer in channels does. */
bool mn_harmony_begins(const char *text);
/* Appends a call; a further one is a message of its own. */
void mn_harmony_write(const mn_llm_call *call, bool is_first, mn_strbuf *out);
/* Moves the calls in reply->content to reply->calls, and leaves what is said in the final channel. A message to a
 * function that is no call stays as it is, and so does a text that holds no message. False when memory ends. */
bool mn_harmony_take(mn_llm_reply *reply);

#endif
