/* What an endpoint sends, as it comes: lines of events, or one JSON object. */
#ifndef MN_LLM_ENDPOINT_REPLY_H
#define MN_LLM_ENDPOINT_REPLY_H

#include "llm/llm.h"

#include <curl/curl.h>

enum { MN_ENDPOINT_CALLS = 16 };

typedef struct mn_endpoint_reply {
    const mn_llm_request *request;
    CURL *curl;     /* to ask for the status while text comes */
    mn_strbuf body; /* all of it that is no event, for errors and answers that are not streamed */
    mn_strbuf line; /* under way */
    mn_strbuf text;
    mn_strbuf names[MN_ENDPOINT_CALLS], ids[MN_ENDPOINT_CALLS], arguments[MN_ENDPOINT_CALLS];
    int n_calls;
    size_t n_bytes, n_handed_out;
    mn_llm_finish finish;
    int64_t prompt_tokens, completion_tokens;
    bool is_whole; /* the end was announced */
    bool stopped;  /* by the receiver of text */
    bool failed;   /* too much, or no memory */
} mn_endpoint_reply;

/* Takes the next bytes; false to break off. */
bool mn_endpoint_reply_take(mn_endpoint_reply *r, const char *data, size_t bytes);
/* Puts what came into the reply; false where it is no whole answer. */
bool mn_endpoint_reply_finish(mn_endpoint_reply *r, mn_llm_reply *reply);
void mn_endpoint_reply_release(mn_endpoint_reply *r);

#endif
