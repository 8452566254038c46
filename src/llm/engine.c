/* This engine as a model that answers: one session, which keeps what prompts have in common. */
#include "llm/kind.h"
#include "llm/tool_calls.h"
#include "llm/tool_grammar.h"
#include "llm/wire.h"

#include "session/compose.h"
#include "grammar/json_schema.h"
#include "session/generate.h"
#include "tokenizer/chat_tokens.h"

#include <stdlib.h>
#include <string.h>

typedef struct in_process {
    mn_engine *engine;
    mn_session *session;
    mn_token_trie *tokens; /* for constrained answers; NULL before the first */
} in_process;

/* ---- prompts ---- */

/* What a message has beside role and content, as the chat template takes it; NULL = nothing. */
static char *fields_of(const mn_llm_message *m) {
    if (!m->n_calls && !m->call_id) return NULL;
    json_t *fields = json_object();
    if (m->call_id) json_object_set_new(fields, "tool_call_id", json_string(m->call_id));
    if (m->n_calls) {
        json_t *calls = mn_llm_calls_json(m->calls, m->n_calls);
        for (size_t i = 0; i < json_array_size(calls); i++) {
            /* Templates take arguments as an object. */
            json_t *function = json_object_get(json_array_get(calls, i), "function");
            json_t *arguments = json_loads(m->calls[i].arguments, 0, NULL);
            if (arguments) json_object_set_new(function, "arguments", arguments);
        }
        json_object_set_new(fields, "tool_calls", calls);
    }
    char *text = json_dumps(fields, JSON_COMPACT);
    json_decref(fields);
    return text;
}

/* Whether the model's prompts hold tools and calls by themselves. */
static bool knows_tools(const mn_engine *engine) {
    const char *source = mn_engine_chat_template(engine);
    return source && strstr(source, "tools");
}

static mn_status compose_chat(const mn_engine *engine, const mn_llm_request *r, mn_tokens *out, mn_error *err) {
    mn_chat_message *messages = calloc(r->n_messages + 1, sizeof *messages);
    if (!messages) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for %zu messages.", r->n_messages);
    for (size_t i = 0; i < r->n_messages; i++)
        messages[i] = (mn_chat_message){r->messages[i].role, r->messages[i].content, fields_of(&r->messages[i])};
    const mn_chat_options options = {.add_generation_prompt = true, .tools_json = r->tools_json};
    mn_status status = mn_chat_tokens(mn_engine_tokenizer(engine), mn_engine_chat_template(engine), messages,
                                      r->n_messages, &options, &out->data, &out->n, err);
    for (size_t i = 0; i < r->n_messages; i++) free((char *)messages[i].fields_json);
    free(messages);
    return status;
}

/* A model without chat template: the last message is asked about those before it. */
static mn_status compose_plain(const mn_engine *engine, const mn_llm_request *r, mn_tokens *out, mn_error *err) {
    mn_strbuf document = MN_STRBUF_INIT;
    for (size_t i = 0; i + 1 < r->n_messages; i++) {
        if (document.bytes) mn_strbuf_puts(&document, "\n\n");
        mn_strbuf_puts(&document, r->messages[i].content ? r->messages[i].content : "");
    }
    const char *question = r->n_messages ? r->messages[r->n_messages - 1].content : "";
    mn_status status = document.failed ? mn_fail(err, MN_ERR_MEMORY, "There is no memory for the prompt.")
                                       : mn_compose_ask(engine, NULL, document.bytes ? document.data : NULL, question,
                                                        false, out, err);
    mn_strbuf_release(&document);
    return status;
}

/* What a message becomes in text: with its calls, or as the result of one. */
static char *plain_text(const mn_llm_message *m, const char *before) {
    mn_strbuf text = MN_STRBUF_INIT;
    mn_strbuf_puts(&text, before);
    mn_strbuf_puts(&text, m->call_id ? "Result of the call: " : "");
    mn_strbuf_puts(&text, m->content ? m->content : "");
    if (m->content && *m->content && m->n_calls) mn_strbuf_puts(&text, "\n");
    mn_tool_calls_write(MN_TOOLS_JSON, m->calls, m->n_calls, &text);
    return mn_strbuf_detach(&text, NULL);
}

/* The request for a model whose prompts have no tools: they are described in the first message, calls and results are
 * text. */
static mn_status compose_described(const mn_engine *engine, const mn_llm_request *r, mn_tokens *out, mn_error *err) {
    mn_llm_message *messages = calloc(r->n_messages + 2, sizeof *messages);
    mn_strbuf tools = MN_STRBUF_INIT;
    bool has_system = r->n_messages && !strcmp(r->messages[0].role, "system"), complete = messages != NULL;
    mn_llm_request plain = *r;
    if (r->tools_json) mn_tool_calls_prompt(r->tools_json, &tools);
    if (has_system && tools.bytes) mn_strbuf_puts(&tools, "\n\n");
    size_t n = 0;
    if (complete && !has_system && tools.bytes)
        messages[n++] = (mn_llm_message){.role = "system", .content = strdup(tools.data)};
    for (size_t i = 0; complete && i < r->n_messages; i++) {
        const char *role = r->messages[i].role;
        messages[n++] = (mn_llm_message){.role = strcmp(role, "tool") ? role : "user",
                                         .content = plain_text(&r->messages[i], i || !has_system ? "" : tools.data)};
    }
    for (size_t i = 0; i < n; i++) complete = complete && messages[i].content;
    plain.messages = messages;
    plain.n_messages = n;
    plain.tools_json = NULL;
    mn_status status = !complete ? mn_fail(err, MN_ERR_MEMORY, "There is no memory for the prompt.")
                       : mn_engine_chat_template(engine) ? compose_chat(engine, &plain, out, err)
                                                         : compose_plain(engine, &plain, out, err);
    for (size_t i = 0; i < n; i++) free((char *)messages[i].content);
    free(messages);
    mn_strbuf_release(&tools);
    return status;
}

static mn_status compose(const mn_engine *engine, const mn_llm_request *r, mn_tokens *out, mn_error *err) {
    bool has_calls = r->tools_json != NULL;
    *out = (mn_tokens){0};
    for (size_t i = 0; i < r->n_messages; i++)
        has_calls = has_calls || r->messages[i].n_calls || r->messages[i].call_id;
    if (has_calls && !knows_tools(engine)) return compose_described(engine, r, out, err);
    return mn_engine_chat_template(engine) ? compose_chat(engine, r, out, err) : compose_plain(engine, r, out, err);
}

static int64_t count(const void *self, const char *text, size_t bytes) {
    const in_process *p = self;
    int32_t *ids = NULL;
    size_t n;
    mn_status status = mn_tokenize(mn_engine_tokenizer(p->engine), text, bytes, false, false, &ids, &n, NULL);
    free(ids);
    return status == MN_OK ? (int64_t)n : (int64_t)bytes;
}

static mn_status count_request(void *self, const mn_llm_request *request, int64_t *n_tokens, mn_error *err) {
    const in_process *p = self;
    mn_tokens tokens;
    MN_TRY(compose(p->engine, request, &tokens, err));
    *n_tokens = (int64_t)tokens.n;
    free(tokens.data);
    return MN_OK;
}

/* ---- answers ---- */

typedef struct receiver {
    mn_strbuf text;
    const mn_llm_request *request;
} receiver;

static bool receive(void *arg, const char *text, size_t bytes) {
    receiver *r = arg;
    mn_strbuf_put(&r->text, text, bytes);
    return !r->text.failed && (!r->request->text || r->request->text(r->request->text_arg, text, bytes));
}

static mn_llm_finish finish_of(mn_finish finish) {
    if (finish == MN_FINISH_CALLER) return MN_LLM_STOPPED;
    return finish == MN_FINISH_LENGTH || finish == MN_FINISH_WINDOW ? MN_LLM_LENGTH : MN_LLM_END;
}

static mn_tool_format format_of(const in_process *p) {
    return mn_tool_format_of(knows_tools(p->engine) ? mn_engine_chat_template(p->engine) : NULL);
}

/* The grammar of the answer; NULL = it is free. Beside tools a free text has one too. */
static mn_status grammar_of(const in_process *p, const mn_llm_request *r, mn_grammar **out, mn_error *err) {
    *out = NULL;
    if (r->tools_json)
        return (r->tool_choice == MN_LLM_TOOLS_REQUIRED ? mn_tool_calls_grammar : mn_tool_calls_free_grammar)(
            format_of(p), mn_engine_tokenizer(p->engine), r->tools_json, out, err);
    return r->schema_json ? mn_json_schema_parse(r->schema_json, strlen(r->schema_json), MN_JSON_BLANKS_ONE, out, err)
                          : MN_OK;
}

static mn_status constraint_of(in_process *p, const mn_llm_request *r, mn_constraint **out, mn_error *err) {
    mn_grammar *grammar;
    *out = NULL;
    MN_TRY(grammar_of(p, r, &grammar, err));
    if (!grammar) return MN_OK;
    mn_status status = p->tokens ? MN_OK : mn_token_trie_of(mn_engine_tokenizer(p->engine), &p->tokens, err);
    if (status == MN_OK) status = mn_constraint_create(grammar, p->tokens, 0, out, err);
    mn_grammar_destroy(grammar);
    return status;
}

static mn_status generate(in_process *p, const mn_llm_request *r, mn_constraint *constraint, const mn_tokens *prompt,
                          receiver *to, mn_llm_reply *reply, mn_error *err) {
    static const char *const line_end[] = {"\n", NULL};
    mn_sampler_params params = mn_sampler_defaults();
    mn_sampler *sampler;
    mn_generated generated;
    params.temperature = (float)r->temperature;
    params.seed = r->seed;
    MN_TRY(mn_session_sync(p->session, prompt->data, (int64_t)prompt->n, NULL, NULL, &reply->reused_tokens, err));
    MN_TRY(mn_sampler_create(&params, mn_tokenizer_n_vocab(mn_engine_tokenizer(p->engine)), &sampler, err));
    bool one_line = mn_answers_in_one_line(p->engine, r->n_messages > 1 ? "" : NULL, false);
    bool is_free = !constraint || (r->tools_json && r->tool_choice == MN_LLM_TOOLS_FREE);
    const mn_generate_params how = {.n_predict = r->max_tokens > 0 ? r->max_tokens : 1024,
                                    .stops = one_line && is_free ? line_end : NULL,
                                    .special = r->tools_json != NULL,
                                    .stop_circles = true,
                                    .constraint = constraint};
    mn_status status = mn_generate(p->session, sampler, &how, receive, to, &generated, err);
    mn_sampler_destroy(sampler);
    reply->prompt_tokens = (int64_t)prompt->n;
    reply->completion_tokens = generated.n_tokens;
    reply->finish = finish_of(generated.finish);
    return status;
}

static mn_status ask(void *self, const mn_llm_request *request, mn_llm_reply *reply, mn_error *err) {
    in_process *p = self;
    mn_tokens prompt = {0};
    mn_constraint *constraint;
    receiver to = {.text = MN_STRBUF_INIT, .request = request};
    MN_TRY(constraint_of(p, request, &constraint, err));
    mn_status status = compose(p->engine, request, &prompt, err);
    if (status == MN_OK) status = generate(p, request, constraint, &prompt, &to, reply, err);
    mn_constraint_destroy(constraint);
    free(prompt.data);
    if (status == MN_OK && !(reply->content = mn_strbuf_detach(&to.text, NULL)))
        status = mn_fail(err, MN_ERR_MEMORY, "There is no memory for the answer.");
    mn_strbuf_release(&to.text);
    if (status == MN_OK && request->tools_json && !mn_tool_calls_take(format_of(p), reply))
        status = mn_fail(err, MN_ERR_LIMIT, "An answer calls functions more than %d times, or beyond memory.",
                         MN_LLM_MAX_CALLS);
    return status;
}

static void close_engine(void *self) {
    in_process *p = self;
    mn_session_close(p->session);
    mn_token_trie_destroy(p->tokens);
    free(p);
}

mn_status mn_llm_open_engine(mn_engine *engine, const mn_session_params *params, mn_llm **out, mn_error *err) {
    static const mn_llm_kind kind = {.ask = ask, .count = count, .count_request = count_request, .close = close_engine};
    in_process *p = calloc(1, sizeof *p);
    *out = NULL;
    if (!p) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for a model that answers.");
    p->engine = engine;
    mn_status status = mn_session_open(engine, params, &p->session, err);
    if (status != MN_OK) {
        free(p);
        return status;
    }
    return mn_llm_create(&kind, p, mn_engine_info(engine).path, mn_session_n_ctx(p->session), out, err);
}
