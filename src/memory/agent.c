/* The agent: opening, what comes from outside, the loop, and what is handed over. */
#include "memory/agent_inside.h"

#include "memory/import.h"
#include "base/checked.h"
#include "tokenizer/utf8.h"

#include <stdlib.h>
#include <string.h>

/* ---- text ---- */

char *mn_clean_text(const char *text, size_t bytes) {
    mn_strbuf out = MN_STRBUF_INIT;
    for (size_t at = 0; at < bytes;) {
        bool valid;
        size_t n = mn_utf8_run(text + at, bytes - at, &valid);
        for (size_t i = 0; i < n; i++) {
            if (!valid)
                mn_strbuf_puts(&out, "\xef\xbf\xbd");
            else
                mn_strbuf_putc(&out, text[at + i] ? text[at + i] : ' ');
        }
        at += n;
    }
    return mn_strbuf_detach(&out, NULL);
}

static bool is_utf8(const char *text) {
    size_t bytes = strlen(text);
    bool valid = true;
    return !bytes || (mn_utf8_run(text, bytes, &valid) == bytes && valid);
}

/* ---- opening ---- */

static mn_status read_row(mn_agent *a, const char *name, bool *found, mn_error *err) {
    mn_agent_row row;
    MN_TRY(mn_agent_find(a->store, name, &row, found, err));
    if (!*found) return MN_OK;
    mn_agent_row_release(&a->row);
    a->row = row;
    return MN_OK;
}

static mn_status read_summary(mn_agent *a, mn_error *err) {
    mn_rows *rows;
    MN_TRY(mn_store_query(a->store, &rows, err,
                          "SELECT id, text FROM summary WHERE agent = $1 ORDER BY id DESC LIMIT 1", "i", a->row.id));
    mn_status status = mn_rows_next(rows, err);
    if (status == MN_OK) {
        free(a->summary);
        a->summary = strdup(mn_rows_has(rows) ? mn_rows_text(rows, 1, NULL) : "");
        a->summary_id = mn_rows_has(rows) ? mn_rows_int(rows, 0) : 0;
        if (!a->summary) status = mn_fail(err, MN_ERR_MEMORY, "There is no memory for a summary.");
    }
    mn_rows_done(rows);
    return status;
}

static mn_status read_blocks(mn_agent *a, mn_error *err) {
    mn_block_list blocks;
    MN_TRY(mn_core_list(a->store, a->row.id, &blocks, err));
    mn_block_list_release(&a->blocks);
    a->blocks = blocks;
    return MN_OK;
}

mn_status mn_agent_reload(mn_agent *a, mn_error *err) {
    bool found;
    mn_store_rollback(a->store);
    MN_TRY(read_row(a, a->row.name, &found, err));
    if (!found) return mn_fail(err, MN_ERR_IO, "The agent \"%.100s\" is no longer in the store.", a->row.name);
    MN_TRY(read_summary(a, err));
    MN_TRY(read_blocks(a, err));
    MN_TRY(mn_queue_load(&a->queue, err));
    MN_TRY(mn_agent_make_system(a, err));
    a->is_stale = false;
    return MN_OK;
}

/* A call that may fail in the middle marks the agent, so that the next one reads it from the store again. */
static mn_status watched(mn_agent *a, mn_status status) {
    if (status != MN_OK) a->is_stale = true;
    return status;
}

static mn_status refresh(mn_agent *a, mn_error *err) { return a->is_stale ? mn_agent_reload(a, err) : MN_OK; }

static mn_status find_or_make(mn_agent *a, const char *name, mn_error *err) {
    bool found;
    MN_TRY(mn_memory_migrate(a->store, err));
    MN_TRY(read_row(a, name, &found, err));
    if (found) return MN_OK;
    int64_t id;
    MN_TRY(mn_agent_find_or_add(a->store, name, &id, err));
    return read_row(a, name, &found, err);
}

static void complete(mn_agent_params *p, const mn_llm *llm) {
    int64_t window = mn_llm_n_ctx(llm);
    if (p->window_tokens <= 0 || (window > 0 && p->window_tokens > window)) p->window_tokens = window;
    if (p->reserve_tokens <= 0) p->reserve_tokens = MN_MIN(p->window_tokens / 4, (int64_t)1024);
    if (p->warn <= 0.0) p->warn = 0.7;
    if (p->flush <= 0.0) p->flush = 1.0;
    if (p->keep <= 0.0) p->keep = 0.5;
    if (p->keep_last <= 0) p->keep_last = 3;
    if (p->max_steps <= 0) p->max_steps = 50;
    if (p->max_tries <= 0) p->max_tries = 3;
    if (p->recall_facts <= 0) p->recall_facts = 8;
}

/* Instructions, functions and blocks leave messages at least half of the window. */
static mn_status check_room(mn_agent *a, mn_error *err) {
    const mn_agent_context *c = &a->context;
    int64_t fixed = c->instructions + c->functions + c->blocks + c->metadata + c->template_, least = 2 * fixed + 1;
    if (fixed <= mn_agent_budget(a) / 2) return MN_OK;
    return mn_fail_with(err, MN_ERR_LIMIT, MN_REMEDIES({MN_REMEDY_WINDOW, least + a->params.reserve_tokens}),
                        "Instructions, functions and core memory take %lld tokens, more than half of the %lld that a "
                        "window of %lld leaves them; take a window of at least %lld.",
                        (long long)fixed, (long long)mn_agent_budget(a), (long long)a->params.window_tokens,
                        (long long)(least + a->params.reserve_tokens));
}

static mn_status open_parts(mn_agent *a, const char *name, mn_error *err) {
    bool calls = a->params.style != MN_AGENT_AUTOMATIC, wraps = a->params.style == MN_AGENT_MEMGPT;
    MN_TRY(find_or_make(a, name, err));
    a->queue = (mn_queue){
        .store = a->store, .llm = a->llm, .agent = a->row.id, .style = wraps ? MN_VIEW_WRAPPED : MN_VIEW_PLAIN};
    if (calls) {
        a->tools = mn_functions_json(wraps ? MN_FOR_MEMGPT : MN_FOR_PLAIN, wraps);
        if (!a->tools) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for the functions of an agent.");
    }
    MN_TRY(read_blocks(a, err));
    MN_TRY(mn_agent_make_system(a, err));
    MN_TRY(check_room(a, err));
    a->queue.item_tokens = MN_MAX(mn_agent_queue_room(a) / 4, (int64_t)16);
    a->queue.result_tokens = MN_MAX(mn_agent_budget(a) / 10, (int64_t)16);
    return mn_agent_reload(a, err);
}

mn_status mn_agent_open(mn_store *store, mn_llm *llm, const char *name, const mn_agent_params *params, mn_agent **out,
                        mn_error *err) {
    mn_agent *a = calloc(1, sizeof *a);
    *out = NULL;
    if (!a) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for an agent.");
    a->store = store;
    a->llm = llm;
    a->params = *params;
    complete(&a->params, llm);
    mn_status status = is_utf8(name) && *name && strlen(name) < 200
                           ? open_parts(a, name, err)
                           : mn_fail(err, MN_ERR_ARGUMENT, "An agent's name is UTF-8, of 1 to 199 bytes.");
    if (status != MN_OK) {
        mn_agent_close(a);
        return status;
    }
    *out = a;
    return MN_OK;
}

void mn_agent_close(mn_agent *a) {
    if (!a) return;
    mn_recall_index_close(a->index);
    mn_queue_release(&a->queue);
    mn_block_list_release(&a->blocks);
    mn_agent_row_release(&a->row);
    free(a->summary);
    free(a->tools);
    free(a->system);
    free(a);
}

/* ---- writing ---- */

mn_status mn_agent_push(mn_agent *a, const mn_message *m, mn_error *err) {
    MN_TRY(mn_queue_push(&a->queue, a->row.n_messages, m, err));
    a->row.n_messages++;
    return MN_OK;
}

mn_status mn_agent_post(mn_agent *a, int64_t message, const char *text, mn_error *err) {
    return mn_store_run(a->store, err, "INSERT INTO outbox (agent, message, text) VALUES ($1, $2, $3)", "iit",
                        a->row.id, message, text);
}

mn_status mn_agent_keep_step(mn_agent *a, const char *kind, const mn_llm_reply *reply, const char *outcome,
                             mn_error *err) {
    int64_t message = a->queue.n ? a->queue.items[a->queue.n - 1].message.at.id : 0;
    return mn_store_run(a->store, err,
                        "INSERT INTO step (agent, message, kind, prompt_tokens, completion_tokens, outcome, at) "
                        "VALUES ($1, $2, $3, $4, $5, $6, $7)",
                        "iitiiti", a->row.id, message, kind, reply->prompt_tokens, reply->completion_tokens, outcome,
                        mn_memory_now());
}

/* ---- looking things up ---- */

static bool has_role(const char *roles, const char *role) {
    return !roles || !*roles || (*role && strstr(roles, role));
}

/* Pages of what an index finds, without what is too new or of another role. */
static mn_status search_index(mn_agent *a, const mn_recall_query *q, mn_recall_hit *hits, uint32_t *n, int64_t *n_all,
                              mn_error *err) {
    enum { MOST = 200 };
    mn_recall_hit found[MOST];
    uint32_t n_found, first = q->page * q->limit;
    if (!a->index) MN_TRY(mn_recall_index_open(a->store, a->row.id, &a->index, err));
    MN_TRY(mn_recall_index_search(a->index, q->words, MOST, found, &n_found, err));
    *n_all = 0;
    for (uint32_t i = 0; i < n_found; i++) {
        mn_message_copy m = {0};
        bool there = !q->before_id || found[i].message < q->before_id;
        if (there && q->roles) MN_TRY(mn_recall_get(a->store, a->row.id, found[i].message, &m, &there, err));
        there = there && (!q->roles || has_role(q->roles, m.at.role));
        mn_message_release(&m);
        if (!there) continue;
        if (*n_all >= first && *n_all < (int64_t)first + q->limit) hits[(*n)++] = found[i];
        ++*n_all;
    }
    return MN_OK;
}

mn_status mn_agent_find_messages(mn_agent *a, const mn_recall_query *q, mn_recall_hit *hits, uint32_t *n,
                                 int64_t *n_all, mn_error *err) {
    *n = 0;
    bool by_words = q->words && *q->words && !q->since && !q->until;
    return by_words ? search_index(a, q, hits, n, n_all, err)
                    : mn_recall_match(a->store, a->row.id, q, hits, n, n_all, err);
}

mn_status mn_agent_prepare_search(mn_agent *a, mn_error *err) {
    if (!a->index) MN_TRY(mn_recall_index_open(a->store, a->row.id, &a->index, err));
    return mn_recall_index_update(a->index, err);
}

/* ---- from outside ---- */

mn_status mn_agent_say(mn_agent *a, const char *text, const char *name, mn_error *err) {
    MN_TRY(refresh(a, err));
    MN_TRY(mn_agent_refuse_input(a, err));
    if (!is_utf8(text) || (name && !is_utf8(name)))
        return mn_fail(err, MN_ERR_FORMAT, "The message is no UTF-8, and was not taken.");
    const mn_message m = {
        .role = "user", .name = name, .time = mn_memory_now(), .text = text, .bytes = strlen(text), .goes_on = true};
    return watched(a, mn_agent_push(a, &m, err));
}

mn_status mn_agent_event(mn_agent *a, const char *type, const char *reason, mn_error *err) {
    mn_memory_date now;
    MN_TRY(refresh(a, err));
    if (!strcmp(type, "heartbeat") && a->row.paused_to > mn_memory_now()) return MN_OK;
    MN_TRY(mn_agent_refuse_input(a, err));
    json_t *object =
        json_pack("{s:s, s:s, s:s}", "type", type, "reason", reason, "time", mn_memory_date_text(now, mn_memory_now()));
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    if (!text) return mn_fail(err, MN_ERR_FORMAT, "The event's type or reason is no UTF-8, and was not taken.");
    const mn_message m = {.role = "event",
                          .name = type,
                          .time = mn_memory_now(),
                          .text = text,
                          .bytes = strlen(text),
                          .goes_on = a->params.style != MN_AGENT_AUTOMATIC};
    mn_status status = watched(a, mn_agent_push(a, &m, err));
    free(text);
    return status;
}

/* ---- the outbox ---- */

static mn_status first_in_outbox(mn_agent *a, int64_t *id, int64_t *message, char **text, mn_error *err) {
    mn_rows *rows;
    *id = 0;
    *text = NULL;
    MN_TRY(mn_store_query(a->store, &rows, err,
                          "SELECT id, message, text FROM outbox WHERE agent = $1 ORDER BY id LIMIT 1", "i", a->row.id));
    mn_status status = mn_rows_next(rows, err);
    if (status == MN_OK && mn_rows_has(rows)) {
        *id = mn_rows_int(rows, 0);
        *message = mn_rows_int(rows, 1);
        *text = strdup(mn_rows_text(rows, 2, NULL));
        if (!*text) status = mn_fail(err, MN_ERR_MEMORY, "There is no memory for a message.");
    }
    mn_rows_done(rows);
    return status;
}

static mn_status deliver(mn_agent *a, mn_error *err) {
    int64_t id, message;
    char *text;
    while (a->params.said) {
        MN_TRY(first_in_outbox(a, &id, &message, &text, err));
        if (!id) break;
        bool taken = a->params.said(a->params.arg, message, text);
        free(text);
        if (!taken) return mn_fail(err, MN_ERR_CANCELLED, "An answer could not be handed over; it is kept.");
        MN_TRY(mn_store_run(a->store, err, "DELETE FROM outbox WHERE id = $1", "i", id));
    }
    return MN_OK;
}

/* ---- the loop ---- */

int64_t mn_agent_open_unit(const mn_agent *a, size_t *n_results) {
    *n_results = 0;
    for (size_t i = a->queue.n; i--; ++*n_results) {
        const mn_message *m = &a->queue.items[i].message.at;
        if (!strcmp(m->role, "assistant")) return a->queue.items[i].calls.n_calls ? (int64_t)i : -1;
        if (strcmp(m->role, "tool") != 0) return -1;
    }
    return -1;
}

static mn_status stop_turn(mn_agent *a, const char *why, mn_error *err) {
    mn_strbuf text = MN_STRBUF_INIT;
    mn_strbuf_printf(&text, "{\"type\":\"system_alert\",\"message\":\"%s\"}", why);
    const mn_message m = {
        .role = "event", .name = "system_alert", .time = mn_memory_now(), .text = text.data, .bytes = text.bytes};
    mn_status status = text.failed ? mn_fail(err, MN_ERR_MEMORY, "There is no memory.") : mn_agent_push(a, &m, err);
    mn_strbuf_release(&text);
    return status;
}

static mn_status step(mn_agent *a, mn_error *err) {
    size_t n_results;
    int64_t unit = mn_agent_open_unit(a, &n_results);
    if (unit >= 0 && n_results < a->queue.items[unit].calls.n_calls)
        return mn_agent_execute(a, (size_t)unit, n_results, NULL, err);
    MN_TRY(mn_agent_make_room(a, err));
    if (a->params.style == MN_AGENT_AUTOMATIC) return mn_agent_automatic_step(a, err);
    if (mn_queue_steps(&a->queue) >= a->params.max_steps)
        return stop_turn(a, "The turn was ended: too many steps.", err);
    return mn_agent_answer(a, err);
}

static mn_status run(mn_agent *a, mn_error *err) {
    bool did_something = mn_queue_goes_on(&a->queue);
    MN_TRY(deliver(a, err));
    while (mn_queue_goes_on(&a->queue)) {
        if (mn_agent_is_waiting(a)) return MN_OK;
        if (a->params.go_on && !a->params.go_on(a->params.arg))
            return mn_fail(err, MN_ERR_CANCELLED,
                           "The turn was interrupted; the agent goes on with it when run again.");
        MN_TRY(step(a, err));
        MN_TRY(deliver(a, err));
    }
    if (!did_something || mn_agent_was_answered(a)) return MN_OK;
    return mn_fail(err, MN_ERR_LIMIT,
                   "The turn ended without an answer: the model called functions in %d steps, in circles or to no end. "
                   "What was said is kept.",
                   mn_queue_steps(&a->queue));
}

mn_status mn_agent_run(mn_agent *a, mn_error *err) {
    MN_TRY(refresh(a, err));
    return watched(a, run(a, err));
}

bool mn_agent_goes_on(const mn_agent *a) { return mn_queue_goes_on(&a->queue); }
