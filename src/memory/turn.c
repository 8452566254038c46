/* The two halves of a step: what the model answers, and the functions it calls. */
#include "memory/agent_inside.h"

#include "llm/wire.h"

#include <stdlib.h>
#include <string.h>

/* ---- the answer ---- */

static bool is_blank(const char *text) { return !text[strspn(text, " \t\r\n")]; }

/* What is wrong with an answer; NULL = it is of use. */
static const char *complaint_about(const mn_agent *a, const mn_llm_reply *reply) {
    if (reply->n_calls) return NULL;
    if (a->params.style == MN_AGENT_MEMGPT)
        return "Answer with one call of a function; what you want to say to the user is the message of send_message.";
    return is_blank(reply->content) ? "The answer was empty. Call a function, or answer the user." : NULL;
}

static mn_status ask_once(mn_agent *a, const char *complaint, int attempt, mn_llm_reply *reply, mn_error *err) {
    size_t n;
    mn_llm_message *messages = mn_agent_messages(a, &n), *more = NULL;
    if (messages && complaint) more = realloc(messages, (n + 1) * sizeof *messages);
    if (!messages || (complaint && !more)) {
        free(messages);
        return mn_fail(err, MN_ERR_MEMORY, "There is no memory for a prompt.");
    }
    if (more) {
        messages = more;
        messages[n++] = (mn_llm_message){.role = "user", .content = complaint};
    }
    mn_llm_request request = {.messages = messages,
                              .n_messages = n,
                              .purpose = "agent",
                              .tools_json = a->tools,
                              .tool_choice =
                                  a->params.style == MN_AGENT_MEMGPT ? MN_LLM_TOOLS_REQUIRED : MN_LLM_TOOLS_FREE,
                              .temperature = a->params.temperature,
                              .max_tokens = a->params.reserve_tokens,
                              .seed = a->params.seed + (uint64_t)attempt};
    int64_t tokens;
    mn_status status = mn_llm_count_request(a->llm, &request, &tokens, err);
    if (status == MN_OK && more && tokens > mn_agent_budget(a)) request.n_messages--; /* no room to complain */
    if (status == MN_OK) status = mn_llm_ask(a->llm, &request, reply, err);
    free(messages);
    return status;
}

/* Asks until the answer is of use. MemGPT's text without a call, at last, is taken for what is to be said. */
static mn_status ask(mn_agent *a, mn_llm_reply *reply, mn_error *err) {
    const char *complaint = NULL;
    for (int i = 0; i < a->params.max_tries; i++) {
        mn_llm_reply_release(reply);
        MN_TRY(ask_once(a, complaint, i, reply, err));
        complaint = complaint_about(a, reply);
        if (!complaint) return MN_OK;
    }
    if (is_blank(reply->content))
        return mn_fail(err, MN_ERR_FORMAT,
                       "The model gave no answer of use in %d tries; what was said is kept, and it is asked again "
                       "when the agent runs again.",
                       a->params.max_tries);
    json_t *arguments = json_object();
    char *text = mn_clean_text(reply->content, strlen(reply->content)), *dumped = NULL;
    if (text && !json_object_set_new(arguments, "message", json_string(text)))
        dumped = json_dumps(arguments, JSON_COMPACT);
    bool ok = dumped && mn_llm_reply_add_call(reply, "call_0", "send_message", dumped);
    if (ok) reply->content[0] = '\0';
    free(dumped);
    free(text);
    json_decref(arguments);
    return ok ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "There is no memory for an answer.");
}

/* The calls as they are kept: a few, valid UTF-8, ids that differ. */
static char *calls_text(const mn_agent *a, const mn_llm_reply *reply) {
    mn_llm_reply clean = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < reply->n_calls && i < MN_CALLS_AT_ONCE; i++) {
        const mn_llm_call *c = &reply->calls[i];
        char id[48], *name = mn_clean_text(c->name, strlen(c->name));
        char *arguments = mn_clean_text(c->arguments, strlen(c->arguments));
        snprintf(id, sizeof id, "call_%lld_%zu", (long long)a->row.n_messages, i);
        ok = name && arguments && mn_llm_reply_add_call(&clean, id, name, arguments);
        free(name);
        free(arguments);
    }
    json_t *list = ok ? mn_llm_calls_json(clean.calls, clean.n_calls) : NULL;
    char *text = list ? json_dumps(list, JSON_COMPACT) : NULL;
    json_decref(list);
    mn_llm_reply_release(&clean);
    return text;
}

/* Before any of it has an effect. */
static mn_status commit_answer(mn_agent *a, mn_llm_reply *reply, const char *text, const char *calls, mn_error *err) {
    const mn_message m = {.role = "assistant",
                          .time = mn_memory_now(),
                          .text = text,
                          .bytes = strlen(text),
                          .calls = reply->n_calls ? calls : NULL,
                          .goes_on = reply->n_calls > 0};
    MN_TRY(mn_store_begin(a->store, err));
    mn_status status = mn_agent_push(a, &m, err);
    if (status == MN_OK) status = mn_agent_keep_step(a, "answer", reply, mn_llm_finish_name(reply->finish), err);
    if (status == MN_OK && !reply->n_calls)
        status = mn_agent_post(a, a->queue.items[a->queue.n - 1].message.at.id, text, err);
    return mn_store_end(a->store, status, err);
}

mn_status mn_agent_answer(mn_agent *a, mn_error *err) {
    mn_llm_reply reply = {0};
    mn_status status = ask(a, &reply, err);
    char *text = status == MN_OK ? mn_clean_text(reply.content, strlen(reply.content)) : NULL;
    char *calls = status == MN_OK ? calls_text(a, &reply) : NULL;
    if (status == MN_OK && (!text || !calls)) status = mn_fail(err, MN_ERR_MEMORY, "There is no memory for an answer.");
    if (status == MN_OK) status = commit_answer(a, &reply, text, calls, err);
    free(text);
    free(calls);
    mn_llm_reply_release(&reply);
    return status;
}

/* ---- functions ---- */

static bool asks_heartbeat(const char *arguments) {
    json_t *object = json_loads(arguments, 0, NULL);
    const json_t *value = json_object_get(object, "request_heartbeat");
    bool asks = json_is_true(value) || (json_is_string(value) && !strcasecmp(json_string_value(value), "true"));
    json_decref(object);
    return asks;
}

/* How many of a message's first calls are this one. */
static int count_same(const mn_llm_reply *calls, size_t first, const mn_llm_call *call) {
    int n = 0;
    for (size_t k = 0; k < calls->n_calls && k < first; k++)
        n += !strcmp(calls->calls[k].name, call->name) && !strcmp(calls->calls[k].arguments, call->arguments);
    return n;
}

/* How often this call, as it was made, was made in this turn before. */
static int times_before(const mn_agent *a, const mn_llm_call *call, size_t unit, size_t index) {
    int n = 0;
    for (size_t i = a->queue.n; i-- && !mn_message_is_outside(&a->queue.items[i].message.at);) {
        const mn_queue_item *item = &a->queue.items[i];
        size_t first = i == unit ? index : SIZE_MAX;
        mn_llm_reply whole = {0};
        if (i > unit) continue;
        if (!item->is_clipped)
            n += count_same(&item->calls, first, call);
        else if (*item->message.at.calls && mn_llm_calls_parse(item->message.at.calls, &whole))
            n += count_same(&whole, first, call);
        mn_llm_reply_release(&whole);
    }
    return n;
}

bool mn_agent_was_answered(const mn_agent *a) {
    for (size_t i = a->queue.n; i--;) {
        const mn_message *m = &a->queue.items[i].message.at;
        if (mn_message_is_outside(m)) return strcmp(m->role, "user") != 0;
        if (!strcmp(m->role, "assistant") && !*m->calls) return true;
        if (!strcmp(m->role, "tool") && !strcmp(m->name, "send_message") && strstr(m->text, "\"status\":\"OK\""))
            return true;
    }
    return true;
}

/* Whether a step follows the last result of a unit: a call that failed or asks for a heartbeat; in the plain style any;
 * and as long as the user has had no answer. */
static bool wants_step(const mn_agent *a, size_t unit, const mn_llm_reply *calls, bool said) {
    if (a->params.style == MN_AGENT_PLAIN) return true;
    for (size_t k = 0; k < calls->n_calls; k++)
        if (asks_heartbeat(calls->calls[k].arguments)) return true;
    for (size_t i = unit + 1; i < a->queue.n; i++)
        if (strstr(a->queue.items[i].message.at.text, "{\"status\":\"Failed\"") == a->queue.items[i].message.at.text)
            return true;
    return !said && !mn_agent_was_answered(a);
}

/* A result that says why the call was not executed. */
static mn_status refuse(const char *why, mn_function_result *out, char **result, bool *failed, mn_error *err) {
    json_t *object = json_pack("{s:s, s:s}", "status", "Failed", "message", why);
    *out = (mn_function_result){.text = MN_STRBUF_INIT};
    *failed = true;
    *result = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    return *result ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "There is no memory for a result.");
}

static mn_status refuse_for_user(const char *reason, mn_function_result *out, char **result, bool *failed,
                                 mn_error *err) {
    mn_strbuf why = MN_STRBUF_INIT;
    mn_strbuf_printf(&why, "The user did not allow this%s%s", *reason ? ": " : ".", reason);
    mn_status status = why.failed ? mn_fail(err, MN_ERR_MEMORY, "There is no memory for a result.")
                                  : refuse(why.data, out, result, failed, err);
    mn_strbuf_release(&why);
    return status;
}

/* Runs the call, or refuses one that goes in circles. */
static mn_status call(mn_agent *a, const mn_llm_call *c, int n_before, mn_function_result *out, char **result,
                      bool *failed, mn_error *err) {
    enum { MAX_SAME = 3 };
    bool speaks = !strcmp(c->name, "send_message");
    mn_function_set set = a->params.style == MN_AGENT_MEMGPT ? MN_FOR_MEMGPT : MN_FOR_PLAIN;
    if (n_before < (speaks ? 1 : MAX_SAME))
        return mn_function_call(a, set, c->name, c->arguments, out, result, failed, err);
    return refuse(speaks ? "This was said to the user already."
                         : "This call was made before, with this result; do something else.",
                  out, result, failed, err);
}

/* What was said to the user is a message of its own in recall, where it is found by its words. */
static mn_status keep_said(mn_agent *a, const char *said, mn_error *err) {
    int64_t id;
    const mn_message m = {
        .role = "assistant", .name = "said", .time = mn_memory_now(), .text = said, .bytes = strlen(said)};
    MN_TRY(mn_recall_add_after(a->store, a->row.id, a->row.n_messages, &m, &id, err));
    a->row.n_messages++;
    return mn_agent_post(a, id, said, err);
}

/* The function's effects and its result, in one transaction. */
static mn_status execute(mn_agent *a, size_t unit, size_t index, const char *refusal, mn_error *err) {
    enum { MAX_CIRCLES = 6 };
    mn_llm_reply calls = {0};
    mn_function_result out = {.text = MN_STRBUF_INIT};
    char *result = NULL;
    bool failed = false, is_last = false;
    if (!mn_llm_calls_parse(a->queue.items[unit].message.at.calls, &calls) || index >= calls.n_calls) {
        mn_llm_reply_release(&calls);
        return mn_fail(err, MN_ERR_FORMAT, "The calls of message %lld are damaged; restore a copy of the store.",
                       (long long)a->queue.items[unit].message.at.id);
    }
    const mn_llm_call *c = &calls.calls[index];
    int n_before = times_before(a, c, unit, index);
    mn_status status = refusal ? refuse_for_user(refusal, &out, &result, &failed, err)
                               : call(a, c, n_before, &out, &result, &failed, err);
    is_last = index + 1 == calls.n_calls;
    bool goes_on = !is_last || (n_before < MAX_CIRCLES && (failed || wants_step(a, unit, &calls, out.said != NULL)));
    const mn_message m = {.role = "tool",
                          .name = c->name,
                          .call_id = c->id,
                          .time = mn_memory_now(),
                          .text = result,
                          .bytes = result ? strlen(result) : 0,
                          .goes_on = goes_on};
    if (status == MN_OK) status = mn_agent_push(a, &m, err);
    if (status == MN_OK && out.said) status = keep_said(a, out.said, err);
    if (status == MN_OK && out.edits_blocks) a->system_is_old = true;
    free(out.said);
    free(result);
    mn_llm_reply_release(&calls);
    return status;
}

mn_status mn_agent_execute(mn_agent *a, size_t unit, size_t index, const char *refusal, mn_error *err) {
    const mn_llm_reply *calls = &a->queue.items[unit].calls;
    if (!refusal && index < calls->n_calls && !strcmp(calls->calls[index].name, "conversation_search"))
        MN_TRY(mn_agent_prepare_search(a, err));
    MN_TRY(mn_store_begin(a->store, err));
    return mn_store_end(a->store, execute(a, unit, index, refusal, err), err);
}
