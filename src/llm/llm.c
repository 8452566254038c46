/* A model that answers: budget, cache and journal around one of its kinds. */
#include "llm/kind.h"
#include "llm/wire.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { DEFAULT_ANSWER_TOKENS = 1024 };

struct mn_llm {
    const mn_llm_kind *kind;
    void *self;
    char *name;
    int64_t n_ctx;
    mn_store *journal;
    int64_t max_calls, max_tokens;
    mn_llm_usage used;
};

static const mn_migration steps[] = {
    {.sql = "CREATE TABLE llm_call (id TEXT PRIMARY KEY, at BIGINT, model TEXT, purpose TEXT, request TEXT, "
            "content TEXT, calls TEXT, finish TEXT, prompt_tokens BIGINT, completion_tokens BIGINT, "
            "seconds DOUBLE PRECISION, n_hits BIGINT)"},
};

mn_status mn_llm_create(const mn_llm_kind *kind, void *self, const char *name, int64_t n_ctx, mn_llm **out,
                        mn_error *err) {
    mn_llm *llm = calloc(1, sizeof *llm);
    char *copy = strdup(name);
    *out = NULL;
    if (!llm || !copy) {
        free(llm);
        free(copy);
        if (kind->close) kind->close(self);
        return mn_fail(err, MN_ERR_MEMORY, "There is no memory for the model %s.", name);
    }
    *llm = (mn_llm){.kind = kind, .self = self, .name = copy, .n_ctx = n_ctx};
    *out = llm;
    return MN_OK;
}

void mn_llm_close(mn_llm *llm) {
    if (!llm) return;
    if (llm->kind->close) llm->kind->close(llm->self);
    free(llm->name);
    free(llm);
}

const char *mn_llm_name(const mn_llm *llm) { return llm->name; }
int64_t mn_llm_n_ctx(const mn_llm *llm) { return llm->n_ctx; }
mn_llm_usage mn_llm_used(const mn_llm *llm) { return llm->used; }

void mn_llm_set_budget(mn_llm *llm, int64_t max_calls, int64_t max_tokens) {
    llm->max_calls = max_calls;
    llm->max_tokens = max_tokens;
}

void mn_llm_reply_release(mn_llm_reply *reply) {
    for (size_t i = 0; i < reply->n_calls; i++) {
        free(reply->calls[i].id);
        free(reply->calls[i].name);
        free(reply->calls[i].arguments);
    }
    free(reply->calls);
    free(reply->content);
    *reply = (mn_llm_reply){0};
}

int64_t mn_llm_count(const mn_llm *llm, const char *text, size_t bytes) {
    return llm->kind->count ? llm->kind->count(llm->self, text, bytes) : (int64_t)(bytes + 2) / 3;
}

mn_status mn_llm_count_request(mn_llm *llm, const mn_llm_request *request, int64_t *n_tokens, mn_error *err) {
    if (llm->kind->count_request) return llm->kind->count_request(llm->self, request, n_tokens, err);
    *n_tokens = request->tools_json ? mn_llm_count(llm, request->tools_json, strlen(request->tools_json)) : 0;
    for (size_t i = 0; i < request->n_messages; i++) {
        const mn_llm_message *m = &request->messages[i];
        *n_tokens += 8 + (m->content ? mn_llm_count(llm, m->content, strlen(m->content)) : 0);
        for (size_t k = 0; k < m->n_calls; k++)
            *n_tokens += 8 + mn_llm_count(llm, m->calls[k].name, strlen(m->calls[k].name)) +
                         mn_llm_count(llm, m->calls[k].arguments, strlen(m->calls[k].arguments));
    }
    return MN_OK;
}

/* ---- journal ---- */

mn_status mn_llm_migrate(mn_store *store, mn_error *err) {
    return mn_store_migrate(store, "llm", steps, sizeof steps / sizeof *steps, err);
}

mn_status mn_llm_set_journal(mn_llm *llm, mn_store *store, mn_error *err) {
    llm->journal = NULL;
    if (!store) return MN_OK;
    MN_TRY(mn_llm_migrate(store, err));
    llm->journal = store;
    return MN_OK;
}

/* The request as one text, the same for the same request. */
static char *request_text(const mn_llm_request *request) {
    json_t *json = mn_llm_request_json(request);
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    json_decref(json);
    return text;
}

static mn_status look_up(mn_llm *llm, const char *id, mn_llm_reply *reply, mn_error *err) {
    mn_rows *rows;
    MN_TRY(mn_store_query(llm->journal, &rows, err,
                          "SELECT content, calls, finish, prompt_tokens, completion_tokens FROM llm_call WHERE id = $1",
                          "t", id));
    mn_status status = mn_rows_next(rows, err);
    if (status == MN_OK && mn_rows_has(rows)) {
        reply->content = strdup(mn_rows_text(rows, 0, NULL));
        reply->finish = mn_llm_finish_of(mn_rows_text(rows, 2, NULL));
        reply->prompt_tokens = mn_rows_int(rows, 3);
        reply->completion_tokens = mn_rows_int(rows, 4);
        reply->is_cached = true;
        if (!reply->content || !mn_llm_calls_parse(mn_rows_text(rows, 1, NULL), reply))
            status = mn_fail(err, MN_ERR_MEMORY, "There is no memory for an answer of %s.", llm->name);
    }
    mn_rows_done(rows);
    if (status == MN_OK && reply->is_cached)
        status = mn_store_run(llm->journal, err, "UPDATE llm_call SET n_hits = n_hits + 1 WHERE id = $1", "t", id);
    return status;
}

static mn_status keep(mn_llm *llm, const char *id, const char *text, const mn_llm_request *request,
                      const mn_llm_reply *reply, mn_error *err) {
    json_t *calls = mn_llm_calls_json(reply->calls, reply->n_calls);
    char *calls_text = calls ? json_dumps(calls, JSON_COMPACT) : NULL;
    mn_status status = mn_store_run(
        llm->journal, err,
        "INSERT INTO llm_call (id, at, model, purpose, request, content, calls, finish, prompt_tokens, "
        "completion_tokens, seconds, n_hits) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0) "
        "ON CONFLICT (id) DO NOTHING",
        "tittttttiir", id, (int64_t)time(NULL), llm->name, request->purpose, text, reply->content, calls_text,
        mn_llm_finish_name(reply->finish), reply->prompt_tokens, reply->completion_tokens, reply->seconds);
    free(calls_text);
    json_decref(calls);
    return status;
}

/* ---- asking ---- */

static mn_status check_limits(mn_llm *llm, const mn_llm_request *request, int64_t *prompt_tokens, mn_error *err) {
    int64_t answer = request->max_tokens > 0 ? request->max_tokens : DEFAULT_ANSWER_TOKENS;
    MN_TRY(mn_llm_count_request(llm, request, prompt_tokens, err));
    if (llm->n_ctx > 0 && *prompt_tokens + answer > llm->n_ctx)
        return mn_fail(err, MN_ERR_LIMIT,
                       "A prompt of %lld tokens and an answer of up to %lld do not fit into the window of %lld tokens "
                       "of %s.",
                       (long long)*prompt_tokens, (long long)answer, (long long)llm->n_ctx, llm->name);
    if (llm->max_calls > 0 && llm->used.n_calls >= llm->max_calls)
        return mn_fail(err, MN_ERR_LIMIT, "The budget of %lld calls is spent; allow more, or ask less.",
                       (long long)llm->max_calls);
    int64_t spent = llm->used.prompt_tokens + llm->used.completion_tokens;
    if (llm->max_tokens > 0 && spent + *prompt_tokens + answer > llm->max_tokens)
        return mn_fail(err, MN_ERR_LIMIT,
                       "A call of up to %lld tokens would pass the budget of %lld, of which %lld are spent.",
                       (long long)(*prompt_tokens + answer), (long long)llm->max_tokens, (long long)spent);
    return MN_OK;
}

static mn_status compute(mn_llm *llm, const mn_llm_request *request, mn_llm_reply *reply, mn_error *err) {
    int64_t prompt_tokens;
    MN_TRY(check_limits(llm, request, &prompt_tokens, err));
    double start = mn_clock_seconds();
    mn_status status = llm->kind->ask(llm->self, request, reply, err);
    reply->seconds = mn_clock_seconds() - start;
    if (status == MN_OK && !reply->content && !(reply->content = strdup("")))
        status = mn_fail(err, MN_ERR_MEMORY, "There is no memory for an answer of %s.", llm->name);
    MN_TRY(status);
    if (!reply->prompt_tokens) reply->prompt_tokens = prompt_tokens;
    if (!reply->completion_tokens) reply->completion_tokens = mn_llm_count(llm, reply->content, strlen(reply->content));
    llm->used.n_calls++;
    llm->used.prompt_tokens += reply->prompt_tokens;
    llm->used.completion_tokens += reply->completion_tokens;
    return MN_OK;
}

static mn_status ask_journal(mn_llm *llm, const mn_llm_request *request, mn_llm_reply *reply, mn_error *err) {
    char *text = request_text(request), id[MN_ID_BYTES];
    if (!text)
        return mn_fail(err, MN_ERR_ARGUMENT,
                       "A message of the prompt is no UTF-8, or its tools or schema are no JSON.");
    mn_store_id(id, llm->name, strlen(llm->name), text, strlen(text), NULL);
    mn_status status = look_up(llm, id, reply, err);
    if (status == MN_OK && reply->is_cached)
        llm->used.n_cached++;
    else if (status == MN_OK) {
        status = compute(llm, request, reply, err);
        if (status == MN_OK && reply->finish != MN_LLM_STOPPED) status = keep(llm, id, text, request, reply, err);
    }
    free(text);
    return status;
}

mn_status mn_llm_ask(mn_llm *llm, const mn_llm_request *request, mn_llm_reply *reply, mn_error *err) {
    *reply = (mn_llm_reply){0};
    mn_status status = llm->journal ? ask_journal(llm, request, reply, err) : compute(llm, request, reply, err);
    if (status != MN_OK) {
        mn_llm_reply_release(reply);
        return status;
    }
    if (reply->is_cached && request->text && *reply->content)
        request->text(request->text_arg, reply->content, strlen(reply->content));
    return MN_OK;
}
