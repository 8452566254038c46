/* Sleep-time consolidation: while the agent rests, the model looks through what was said since the last time and keeps
 * the blocks of core memory in order.
 *
 * Letta's sleep-time agents (Lin et al. 2025, "Sleep-time Compute", arXiv:2504.13171). What it reads is a piece of the
 * conversation that fits the window; its edits are rehearsed on copies, and committed together with the place it has
 * read to, each block only where nobody else has changed it meanwhile. Whoever is killed has done nothing of the piece.
 */
#include "memory/agent_inside.h"

#include "base/checked.h"
#include "llm/wire.h"
#include "memory/prompts.h"

#include <stdlib.h>
#include <string.h>

enum { MESSAGE_BYTES = 2000, MAX_CONFLICTS = 3 };

/* ---- what was said ---- */

typedef struct piece {
    const mn_agent *a;
    mn_strbuf text;
    int64_t room, last; /* tokens left; the last message in it */
    bool is_full;
} piece;

/* What users and the agent said, word by word; not what functions gave, which repeats it. */
static bool add_message(void *arg, const mn_message *m) {
    piece *p = arg;
    mn_memory_date date;
    bool speaks = !strcmp(m->role, "user") || (!strcmp(m->role, "assistant") && m->bytes);
    if (speaks) {
        size_t bytes = MN_MIN(m->bytes, (size_t)MESSAGE_BYTES), before = p->text.bytes;
        while (bytes && bytes < m->bytes && ((unsigned char)m->text[bytes] & 0xc0) == 0x80) bytes--;
        mn_strbuf_printf(&p->text, "%s %s: ", mn_memory_date_text(date, m->time), m->role);
        mn_strbuf_put(&p->text, m->text, bytes);
        mn_strbuf_puts(&p->text, bytes < m->bytes ? " [...]\n" : "\n");
        p->room -= mn_llm_count(p->a->llm, p->text.data + before, p->text.bytes - before);
        if (p->room < 0 && before) {
            p->text.bytes = before;
            p->text.data[before] = '\0';
            p->is_full = true;
            return false;
        }
    }
    p->last = m->id;
    return !p->text.failed;
}

/* ---- the talk with the model about a piece ---- */

typedef struct talk {
    mn_agent *a;
    mn_block_list before; /* the blocks as they were read */
    char *tools;
    mn_strbuf system;
    const char *said;
    mn_llm_reply calls; /* all calls so far */
    char *results[64];  /* of each */
    int n_calls, n_edits;
    int64_t prompt_tokens, completion_tokens;
    bool is_finished;
} talk;

static void release_talk(talk *t) {
    free(t->tools);
    mn_block_list_release(&t->before);
    mn_strbuf_release(&t->system);
    mn_llm_reply_release(&t->calls);
    for (int i = 0; i < t->n_calls; i++) free(t->results[i]);
}

static void put_blocks(const mn_agent *a, mn_strbuf *out) {
    mn_strbuf_puts(out, mn_prompt_sleep);
    for (size_t i = 0; i < a->blocks.n; i++) {
        const mn_block *b = &a->blocks.items[i];
        mn_strbuf_printf(out, "\n<block label=\"%s\" characters=\"%lld/%lld\">\n%s\n</block>", b->label,
                         (long long)mn_text_chars(b->value), (long long)b->limit_chars, b->value);
    }
}

/* Prompt: instructions and blocks, what was said, and the calls with their results. */
static mn_status ask(talk *t, mn_llm_reply *reply, mn_error *err) {
    mn_llm_message messages[2 + 2 * 64] = {{.role = "system", .content = t->system.data},
                                           {.role = "user", .content = t->said}};
    size_t n = 2;
    for (int i = 0; i < t->n_calls; i++) {
        messages[n++] = (mn_llm_message){.role = "assistant", .content = "", .calls = &t->calls.calls[i], .n_calls = 1};
        messages[n++] = (mn_llm_message){.role = "tool", .content = t->results[i], .call_id = t->calls.calls[i].id};
    }
    const mn_llm_request request = {.messages = messages,
                                    .n_messages = n,
                                    .purpose = "sleep",
                                    .tools_json = t->tools,
                                    .tool_choice = MN_LLM_TOOLS_REQUIRED,
                                    .temperature = t->a->params.temperature,
                                    .max_tokens = t->a->params.reserve_tokens};
    return mn_llm_ask(t->a->llm, &request, reply, err);
}

static mn_status rehearse(talk *t, const mn_llm_call *c, mn_error *err) {
    mn_function_result out;
    bool failed;
    char id[24], *name = mn_clean_text(c->name, strlen(c->name)), *result = NULL;
    char *arguments = mn_clean_text(c->arguments, strlen(c->arguments));
    mn_status status = MN_OK;
    snprintf(id, sizeof id, "sleep_%d", t->n_calls);
    if (!name || !arguments || !mn_llm_reply_add_call(&t->calls, id, name, arguments))
        status = mn_fail(err, MN_ERR_MEMORY, "There is no memory for a call.");
    if (status == MN_OK) status = mn_function_call(t->a, MN_FOR_SLEEP, name, arguments, &out, &result, &failed, err);
    if (status == MN_OK) {
        t->results[t->n_calls++] = result;
        t->n_edits += out.edits_blocks;
        t->is_finished = out.is_finished;
    }
    free(name);
    free(arguments);
    return status;
}

/* Until the model says that it is done, says nothing, or the calls are spent. */
static mn_status talk_about(talk *t, int max_calls, mn_error *err) {
    while (!t->is_finished && t->n_calls < max_calls && t->n_calls < 64) {
        mn_llm_reply reply = {0};
        mn_status status = ask(t, &reply, err);
        bool is_silent = !reply.n_calls;
        t->prompt_tokens += reply.prompt_tokens;
        t->completion_tokens += reply.completion_tokens;
        for (size_t i = 0; status == MN_OK && i < reply.n_calls && t->n_calls < max_calls && t->n_calls < 64; i++)
            status = rehearse(t, &reply.calls[i], err);
        mn_llm_reply_release(&reply);
        if (status == MN_ERR_LIMIT && t->n_calls) break; /* what was found has filled the window */
        MN_TRY(status);
        if (is_silent) break;
    }
    return MN_OK;
}

/* ---- committing ---- */

/* Blocks that were edited are written where their version is still the one that was read. */
static mn_status commit(mn_agent *a, const talk *t, int64_t last, mn_error *err) {
    for (size_t i = 0; i < a->blocks.n; i++) {
        mn_block *b = &a->blocks.items[i];
        const mn_block *before = mn_block_find(&t->before, b->label);
        if (!before || strcmp(before->value, b->value) != 0)
            MN_TRY(mn_core_set(a->store, a->row.id, b, b->value, "sleep", err));
    }
    const mn_llm_reply used = {.prompt_tokens = t->prompt_tokens, .completion_tokens = t->completion_tokens};
    MN_TRY(mn_agent_keep_step(a, "sleep", &used, t->is_finished ? "finished" : "ended", err));
    return mn_store_run(a->store, err, "UPDATE agent SET slept_to = $1 WHERE id = $2", "ii", last, a->row.id);
}

static mn_status sleep_over(mn_agent *a, const piece *p, int max_calls, int *n_calls, int *n_edits, mn_error *err) {
    talk t = {.a = a, .said = p->text.data, .system = MN_STRBUF_INIT, .tools = mn_functions_json(MN_FOR_SLEEP, false)};
    put_blocks(a, &t.system);
    mn_status status = t.tools && !t.system.failed ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "There is no memory.");
    if (status == MN_OK) status = mn_core_list(a->store, a->row.id, &t.before, err);
    a->is_rehearsal = true;
    if (status == MN_OK) status = talk_about(&t, max_calls, err);
    a->is_rehearsal = false;
    if (status == MN_OK) status = mn_store_begin(a->store, err);
    if (status == MN_OK) status = mn_store_end(a->store, commit(a, &t, p->last, err), err);
    *n_calls += t.n_calls;
    if (status == MN_OK) *n_edits += t.n_edits;
    release_talk(&t);
    return status;
}

/* What fits into three quarters of what the window leaves. */
static mn_status next_piece(mn_agent *a, piece *p, mn_error *err) {
    char *tools = mn_functions_json(MN_FOR_SLEEP, false);
    int64_t fixed = a->context.blocks + mn_llm_count(a->llm, mn_prompt_sleep, strlen(mn_prompt_sleep)) +
                    (tools ? mn_llm_count(a->llm, tools, strlen(tools)) : 0) + 64;
    free(tools);
    *p = (piece){.a = a, .text = MN_STRBUF_INIT, .last = a->row.slept_to};
    p->room = (mn_agent_budget(a) - fixed) * 3 / 4;
    if (p->room < 64)
        return mn_fail(err, MN_ERR_LIMIT, "A window of %lld tokens is too small to look through messages.",
                       (long long)a->params.window_tokens);
    MN_TRY(mn_recall_each(a->store, a->row.id, a->row.slept_to, add_message, p, err));
    return p->text.failed ? mn_fail(err, MN_ERR_MEMORY, "There is no memory for what was said.") : MN_OK;
}

/* Nobody is there to be asked. */
static mn_status check_consent(const mn_agent *a, mn_error *err) {
    for (const mn_function *f = mn_core_functions; f->name; f++)
        if ((f->sets & MN_FOR_SLEEP) && mn_agent_needs_consent(a, f->name))
            return mn_fail(
                err, MN_ERR_UNSUPPORTED,
                "Consolidation calls %s, which you want to allow each time; let it be called freely for this.",
                f->name);
    return MN_OK;
}

mn_status mn_agent_sleep(mn_agent *a, int max_calls, int *n_edits, mn_error *err) {
    int n_calls = 0, conflicts = 0;
    *n_edits = 0;
    if (a->params.style == MN_AGENT_AUTOMATIC)
        return mn_fail(err, MN_ERR_UNSUPPORTED, "Consolidation needs a model that calls functions.");
    MN_TRY(check_consent(a, err));
    for (bool more = true; more && n_calls < max_calls;) {
        piece p;
        MN_TRY(mn_agent_reload(a, err));
        mn_status status = next_piece(a, &p, err);
        more = p.is_full;
        if (status == MN_OK && p.text.bytes) status = sleep_over(a, &p, max_calls - n_calls, &n_calls, n_edits, err);
        mn_strbuf_release(&p.text);
        if (status == MN_ERR_ARGUMENT && ++conflicts < MAX_CONFLICTS) {
            more = true; /* somebody changed a block: once more, with what it holds now */
            continue;
        }
        if (status != MN_OK) {
            a->is_stale = true;
            return status;
        }
    }
    return mn_agent_reload(a, err);
}
