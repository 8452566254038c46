/* An agent whose model is a list of answers, or a function. */
#ifndef MN_TESTS_SCRIPTED_H
#define MN_TESTS_SCRIPTED_H

#include "store/stores.h"

#include "llm/wire.h"
#include "memory/agent.h"
#include "memory/recall.h"

#include <jansson.h>

static mn_error err;

/* What the model answers in turn: "" = nothing; "name {...}" = a call; "name {...} | name {...}" = several; else text,
 * behind a '>'. The last is repeated. */
typedef struct script {
    const char *const *answers;
    size_t n, at;
    int64_t most_tokens; /* the longest prompt it was asked with */
    char *last_prompt;   /* all its messages, joined */
    mn_llm *llm;
    mn_strbuf said; /* what reached the user, a line each */
    int n_said;
} script;

static inline void take_calls(const char *text, mn_llm_reply *reply) {
    char *copy = strdup(text), *rest = copy;
    for (char *call = strtok_r(copy, "|", &rest); call; call = strtok_r(NULL, "|", &rest)) {
        call += strspn(call, " ");
        size_t name = strcspn(call, " ");
        char id[24];
        snprintf(id, sizeof id, "c%zu", reply->n_calls);
        if (call[name]) call[name++] = '\0';
        char *end = call + name + strlen(call + name);
        while (end > call + name && end[-1] == ' ') *--end = '\0';
        assert_true(mn_llm_reply_add_call(reply, id, call, call + name));
    }
    free(copy);
}

static inline mn_status script_answer(void *arg, const mn_llm_request *request, mn_llm_reply *reply, mn_error *e) {
    script *s = arg;
    int64_t tokens;
    mn_strbuf prompt = MN_STRBUF_INIT;
    assert_ok(mn_llm_count_request(s->llm, request, &tokens, e), *e);
    if (tokens > s->most_tokens) s->most_tokens = tokens;
    for (size_t i = 0; i < request->n_messages; i++)
        mn_strbuf_printf(&prompt, "%s: %s\n", request->messages[i].role, request->messages[i].content);
    free(s->last_prompt);
    s->last_prompt = mn_strbuf_detach(&prompt, NULL);
    if (request->purpose && !strcmp(request->purpose, "summary")) {
        reply->content = strdup("They talked.");
        return MN_OK;
    }
    const char *answer = s->n ? s->answers[s->at < s->n ? s->at : s->n - 1] : "";
    s->at++;
    if (!strcmp(answer, "!")) return mn_fail(e, MN_ERR_IO, "The endpoint is away.");
    if (*answer == '>' || !*answer)
        reply->content = strdup(answer + (*answer == '>'));
    else
        take_calls(answer, reply);
    return MN_OK;
}

static inline bool script_said(void *arg, int64_t message, const char *text) {
    script *s = arg;
    assert_true(message > 0);
    mn_strbuf_printf(&s->said, "%s\n", text);
    s->n_said++;
    return true;
}

typedef struct scripted {
    script script;
    mn_store *store;
    mn_agent *agent;
} scripted;

/* Opens an agent on the store; answers are borrowed. */
static inline void open_scripted(scripted *s, mn_store *store, mn_agent_params params, int64_t window,
                                 const char *const *answers, size_t n) {
    *s = (scripted){.store = store, .script = {.answers = answers, .n = n, .said = MN_STRBUF_INIT}};
    params.said = script_said;
    params.arg = &s->script;
    assert_ok(mn_llm_open_script("script", window, script_answer, &s->script, &s->script.llm, &err), err);
    assert_ok(mn_agent_open(store, s->script.llm, "ann", &params, &s->agent, &err), err);
}

static inline void close_scripted(scripted *s) {
    mn_agent_close(s->agent);
    mn_llm_close(s->script.llm);
    mn_strbuf_release(&s->script.said);
    free(s->script.last_prompt);
}

static inline mn_status turn(scripted *s, const char *text) {
    MN_TRY(mn_agent_say(s->agent, text, NULL, &err));
    return mn_agent_run(s->agent, &err);
}

static inline int64_t number(mn_store *store, const char *sql) {
    int64_t n;
    assert_ok(mn_store_number(store, -1, &n, &err, sql, ""), err);
    return n;
}

#endif
