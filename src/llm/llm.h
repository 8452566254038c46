/* A model that answers: one interface for this engine in the process, an OpenAI-compatible endpoint, and a script that
 * stands for a model in tests.
 *
 *     mn_llm_request request = {.messages = messages, .n_messages = 2, .max_tokens = 512};
 *     MN_TRY(mn_llm_ask(llm, &request, &reply, err));
 *     ... reply.content, reply.calls ...
 *     mn_llm_reply_release(&reply);
 *
 * A call of a function is asked for with tools, and made under a grammar where the engine answers:
 *
 *     static const char tools[] = "[{\"type\": \"function\", \"function\": {\"name\": \"find\", \"parameters\": "
 *                                 "{\"type\": \"object\", \"properties\": {\"q\": {\"type\": \"string\"}}, "
 *                                 "\"required\": [\"q\"]}}}]";
 *     request.tools_json = tools;
 *     request.tool_choice = MN_LLM_TOOLS_REQUIRED;
 *     MN_TRY(mn_llm_ask(llm, &request, &reply, err));
 *     ... reply.calls[0].name is "find", reply.calls[0].arguments is {"q":"..."} by its schema
 *
 * The call goes back into the conversation as an assistant's message with calls, its result as a message of role "tool"
 * with the call's id; the model's chat template writes both as the model was trained.
 *
 * Every call passes through a cache and journal in a store (mn_llm_set_journal) and through a budget
 * (mn_llm_set_budget) when they are set. What a model answers is hostile: it is text, no more.
 *
 * Threads: one model is asked by one thread at a time.
 */
#ifndef MN_LLM_LLM_H
#define MN_LLM_LLM_H

#include "session/generate.h"
#include "store/store.h"

#include <mnemo/engine.h>
#include <mnemo/session.h>

typedef struct mn_llm mn_llm;

/* A call of a function that a model wants made. */
typedef struct mn_llm_call {
    char *id, *name;
    char *arguments; /* as the model wrote them: meant to be a JSON object, and not checked */
} mn_llm_call;

typedef struct mn_llm_message {
    const char *role;         /* "system", "user", "assistant", "tool" */
    const char *content;      /* NULL = none: an assistant that only calls */
    const mn_llm_call *calls; /* of an assistant */
    size_t n_calls;
    const char *call_id; /* of a tool: the call that this is the result of */
} mn_llm_message;

typedef enum mn_llm_tool_choice {
    MN_LLM_TOOLS_FREE,    /* text, or calls, as the model likes; this engine completes a call that was begun by the
                           * tools' schemas */
    MN_LLM_TOOLS_REQUIRED /* nothing but one call, of one of the tools */
} mn_llm_tool_choice;

/* Everything is borrowed for the call. */
typedef struct mn_llm_request {
    const mn_llm_message *messages;
    size_t n_messages;
    const char *purpose;    /* a word for the journal: "plan", "facts"; NULL = none */
    const char *tools_json; /* JSON array of functions as OpenAI writes it; NULL = none */
    mn_llm_tool_choice tool_choice;
    const char *schema_json; /* JSON schema of the answer; NULL = none.
                              * This engine draws nothing else, endpoints are told (response_format), and a script does
                              * what it likes. Not together with tools. */
    double temperature;
    int64_t max_tokens; /* of the answer; 0 = 1024 */
    uint64_t seed;
    mn_text_fn *text; /* receives the answer as it comes; false ends it; NULL = not wanted */
    void *text_arg;
} mn_llm_request;

typedef enum mn_llm_finish { MN_LLM_END, MN_LLM_LENGTH, MN_LLM_CALLS, MN_LLM_STOPPED } mn_llm_finish;

typedef struct mn_llm_reply {
    char *content; /* never NULL */
    mn_llm_call *calls;
    size_t n_calls;
    mn_llm_finish finish;
    int64_t prompt_tokens, completion_tokens;
    int64_t reused_tokens; /* of the prompt: known from an earlier one, and not computed again */
    double seconds;
    bool is_cached; /* from the journal: nothing was computed */
} mn_llm_reply;

/* ---- opening: the caller closes it with mn_llm_close ---- */

/* This engine. The session keeps the longest common beginning of one prompt and the next, so that prompts which begin
 * alike (the paths of a question) share its keys and values; put what changes last. The engine is borrowed and closed
 * after. Tool calls are written and read as the model's chat template does (tool_calls.h). */
mn_status mn_llm_open_engine(mn_engine *engine, const mn_session_params *params, mn_llm **out, mn_error *err);

typedef struct mn_endpoint_params {
    const char *url;      /* "http://127.0.0.1:8080/v1": /chat/completions is added where it is missing */
    const char *model;    /* the name the endpoint knows; NULL = "default" */
    const char *key_name; /* the environment variable that holds the key, NULL = MNEMO_API_KEY, else OPENAI_API_KEY; the
                           * key goes nowhere but into the request's header */
    int64_t n_ctx;        /* the model's window; 0 = 8192 */
    int connect_ms;       /* 0 = 10000 */
    int silence_ms;       /* how long nothing may come, 0 = 120000 */
    int max_tries;        /* of one call, 0 = 5: after 408, 409, 429, 5xx, a lost connection, silence */
    int first_wait_ms;    /* before the second try, doubled for each that follows up to 60 s, with some chance in it;
                           * 0 = 500. Retry-After counts where it is longer */
} mn_endpoint_params;

/* An OpenAI-compatible endpoint, streamed. Nothing is sent before the first question. Its tokens are not known before
 * it answers: mn_llm_count is pessimistic (a token for every 3 bytes). */
mn_status mn_llm_open_endpoint(const mn_endpoint_params *params, mn_llm **out, mn_error *err);

/* A function in the place of a model. It fills in the reply (content from malloc; NULL is ""), whose counts of tokens
 * are filled in when it leaves them 0. n_ctx: the window it claims. */
typedef mn_status mn_llm_script_fn(void *arg, const mn_llm_request *request, mn_llm_reply *reply, mn_error *err);
mn_status mn_llm_open_script(const char *name, int64_t n_ctx, mn_llm_script_fn *fn, void *arg, mn_llm **out,
                             mn_error *err);

void mn_llm_close(mn_llm *llm);

/* ---- asking ---- */

/* A prompt and an answer that do not fit into the window are MN_ERR_LIMIT with the figures, and so is a call beyond the
 * budget; nothing is sent then. After an error *reply is empty. */
mn_status mn_llm_ask(mn_llm *llm, const mn_llm_request *request, mn_llm_reply *reply, mn_error *err);
void mn_llm_reply_release(mn_llm_reply *reply);

const char *mn_llm_name(const mn_llm *llm); /* the model's, for the journal; borrowed */
int64_t mn_llm_n_ctx(const mn_llm *llm);
/* Tokens of a text: exact for the engine, else at least as many as there are. */
int64_t mn_llm_count(const mn_llm *llm, const char *text, size_t bytes);
/* Tokens of a whole prompt, with what the chat template adds. */
mn_status mn_llm_count_request(mn_llm *llm, const mn_llm_request *request, int64_t *n_tokens, mn_error *err);

/* ---- journal and budget ---- */

/* The table of calls, for who imports it; mn_llm_set_journal makes it itself. */
mn_status mn_llm_migrate(mn_store *store, mn_error *err);

/* Keeps every call in the table llm_call of the store, which is borrowed. A request asked before (same model, messages,
 * tools, schema, temperature, limit, seed) is answered from it. NULL ends that. Answers that were cut off by the caller
 * are not kept. Writes inside the store's open transaction when there is one. */
mn_status mn_llm_set_journal(mn_llm *llm, mn_store *store, mn_error *err);

typedef struct mn_llm_usage {
    int64_t n_calls, n_cached;                /* cached ones are not among n_calls */
    int64_t prompt_tokens, completion_tokens; /* of calls that were made */
} mn_llm_usage;

/* Limits for what mn_llm_used counts; 0 = none. A call that might pass one is refused before it is made. */
void mn_llm_set_budget(mn_llm *llm, int64_t max_calls, int64_t max_tokens);
mn_llm_usage mn_llm_used(const mn_llm *llm);

#endif
