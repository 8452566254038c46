/* What the model sees: instructions, functions, blocks, what there is to look up, the summary, the queue; and exactly
 * what each of them takes. */
#include "memory/agent_inside.h"

#include "base/checked.h"
#include "memory/archival.h"
#include "memory/prompts.h"

#include <stdlib.h>
#include <string.h>

/* Texts of the archive that a prompt looks at to say how many there are and of what: it is made for each turn. */
enum { MAX_COUNTED = 10000 };

int64_t mn_agent_budget(const mn_agent *a) { return a->params.window_tokens - a->params.reserve_tokens; }

int64_t mn_agent_summary_room(const mn_agent *a) { return mn_agent_budget(a) / 10; }

int64_t mn_agent_queue_room(const mn_agent *a) {
    const mn_agent_context *c = &a->context;
    int64_t fixed = c->instructions + c->functions + c->blocks + c->metadata + c->template_;
    return mn_agent_budget(a) - fixed - mn_agent_summary_room(a);
}

/* ---- the first message ---- */

static const char *instructions_of(const mn_agent *a) {
    if (a->params.style == MN_AGENT_MEMGPT) return mn_prompt_agent;
    return a->params.style == MN_AGENT_PLAIN ? mn_prompt_agent_plain : mn_prompt_agent_automatic;
}

static void put_block(mn_strbuf *out, const mn_block *b, const char *value) {
    mn_strbuf_printf(out, "<block label=\"%s\" characters=\"%lld/%lld\"%s>\n", b->label,
                     (long long)mn_text_chars(value), (long long)b->limit_chars, b->read_only ? " read_only" : "");
    if (*b->description) mn_strbuf_printf(out, "(%s)\n", b->description);
    mn_strbuf_printf(out, "%s\n</block>\n", value);
}

/* label: a block that shall have this value instead of its own; NULL = none. */
static void put_blocks(mn_strbuf *out, const mn_agent *a, const char *label, const char *value) {
    mn_strbuf_puts(out, "\nCore memory:\n");
    for (size_t i = 0; i < a->blocks.n; i++) {
        const mn_block *b = &a->blocks.items[i];
        put_block(out, b, label && !strcmp(b->label, label) ? value : b->value);
    }
}

static mn_status put_metadata(mn_strbuf *out, mn_agent *a, mn_error *err) {
    mn_memory_date now, edited;
    mn_rows *rows;
    int64_t n_archival;
    MN_TRY(mn_archival_count(a->store, a->row.archive, MAX_COUNTED + 1, &n_archival, err));
    mn_strbuf_printf(out, "\nNow: %s.", mn_memory_date_text(now, mn_memory_now()));
    if (a->row.edited) mn_strbuf_printf(out, " Core memory changed %s.", mn_memory_date_text(edited, a->row.edited));
    mn_strbuf_printf(out,
                     " Recall memory: %lld messages, %lld of them hidden; conversation_search finds them. "
                     "Archival memory: %s%lld texts",
                     (long long)a->row.n_messages,
                     (long long)MN_MAX(a->row.n_messages - (int64_t)a->queue.n, (int64_t)0),
                     n_archival > MAX_COUNTED ? "more than " : "", (long long)MN_MIN(n_archival, (int64_t)MAX_COUNTED));
    MN_TRY(mn_store_query(a->store, &rows, err,
                          "SELECT g.tag FROM (SELECT id FROM archival WHERE archive = $1 ORDER BY id DESC LIMIT $2) t "
                          "JOIN archival_tag g ON g.archival = t.id GROUP BY g.tag ORDER BY count(*) DESC, g.tag "
                          "LIMIT 20",
                          "ti", a->row.archive, (int64_t)MAX_COUNTED));
    mn_status status;
    const char *before = ", with tags ";
    while ((status = mn_rows_next(rows, err)) == MN_OK && mn_rows_has(rows)) {
        mn_strbuf_printf(out, "%s%.40s", before, mn_rows_text(rows, 0, NULL));
        before = ", ";
    }
    mn_rows_done(rows);
    mn_strbuf_puts(out, ".\n");
    return status;
}

static void put_summary(mn_strbuf *out, const mn_agent *a) {
    if (a->summary && *a->summary) mn_strbuf_printf(out, "\nWhat the hidden messages said:\n%s\n", a->summary);
}

/* ---- counting ---- */

/* Tokens of a prompt of this first message and nothing else. */
static mn_status count_first(mn_agent *a, const char *system, bool with_tools, int64_t *n, mn_error *err) {
    const mn_llm_message messages[] = {{.role = "system", .content = system}, {.role = "user", .content = "x"}};
    const mn_llm_request request = {.messages = messages, .n_messages = 2, .tools_json = with_tools ? a->tools : NULL};
    return mn_llm_count_request(a->llm, &request, n, err);
}

/* Each part takes what the prompt grows by with it. The template's share is what an empty first message takes; the
 * user's message in it is taken off again. */
static mn_status count_parts(mn_agent *a, const mn_strbuf *text, const size_t ends[4], mn_error *err) {
    int64_t before,
        now, *const parts[] = {&a->context.instructions, &a->context.blocks, &a->context.metadata, &a->context.summary};
    mn_strbuf part = MN_STRBUF_INIT;
    MN_TRY(count_first(a, "", false, &before, err));
    a->context.template_ = before;
    mn_status status = MN_OK;
    for (int i = 0; i < 4 && status == MN_OK; i++) {
        mn_strbuf_reset(&part);
        mn_strbuf_put(&part, text->data, ends[i]);
        status = part.failed ? mn_fail(err, MN_ERR_MEMORY, "There is no memory for a prompt.")
                             : count_first(a, part.data, false, &now, err);
        *parts[i] = now - before;
        before = now;
    }
    mn_strbuf_release(&part);
    MN_TRY(status);
    MN_TRY(count_first(a, text->data, true, &now, err));
    a->context.functions = now - before;
    const mn_llm_message stub = {.role = "user", .content = "x"};
    const mn_llm_request alone = {.messages = &stub, .n_messages = 1};
    if (mn_llm_count_request(a->llm, &alone, &now, NULL) == MN_OK)
        a->context.template_ -= MN_MIN(now, a->context.template_);
    return MN_OK;
}

mn_status mn_agent_make_system(mn_agent *a, mn_error *err) {
    mn_strbuf text = MN_STRBUF_INIT;
    size_t ends[4];
    mn_strbuf_puts(&text, a->row.system[0] ? a->row.system : instructions_of(a));
    ends[0] = text.bytes;
    put_blocks(&text, a, NULL, NULL);
    ends[1] = text.bytes;
    mn_status status = put_metadata(&text, a, err);
    ends[2] = text.bytes;
    put_summary(&text, a);
    ends[3] = text.bytes;
    if (status == MN_OK && text.failed) status = mn_fail(err, MN_ERR_MEMORY, "There is no memory for a prompt.");
    if (status == MN_OK) status = count_parts(a, &text, ends, err);
    if (status == MN_OK) {
        free(a->system);
        a->system = mn_strbuf_detach(&text, NULL);
        a->system_is_old = false;
    }
    mn_strbuf_release(&text);
    return status;
}

bool mn_agent_blocks_fit(mn_agent *a, const char *label, const char *value) {
    mn_strbuf text = MN_STRBUF_INIT;
    put_blocks(&text, a, label, value);
    const mn_agent_context *c = &a->context;
    int64_t others = c->instructions + c->functions + c->metadata + c->template_;
    bool fits = !text.failed && others + mn_llm_count(a->llm, text.data, text.bytes) <= mn_agent_budget(a) / 2;
    mn_strbuf_release(&text);
    return fits;
}

/* ---- the whole ---- */

mn_llm_message *mn_agent_messages(const mn_agent *a, size_t *n) {
    mn_llm_message *messages = calloc(a->queue.n + 1, sizeof *messages);
    *n = messages ? a->queue.n + 1 : 0;
    if (!messages) return NULL;
    messages[0] = (mn_llm_message){.role = "system", .content = a->system};
    for (size_t i = 0; i < a->queue.n; i++) messages[i + 1] = mn_queue_message(&a->queue.items[i]);
    return messages;
}

mn_status mn_agent_count(mn_agent *a, int64_t *n_tokens, mn_error *err) {
    mn_llm_request request = {.tools_json = a->tools};
    mn_llm_message *messages = mn_agent_messages(a, &request.n_messages);
    if (!messages) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for a prompt.");
    request.messages = messages;
    mn_status status = mn_llm_count_request(a->llm, &request, n_tokens, err);
    free(messages);
    return status;
}

mn_status mn_agent_look(mn_agent *a, mn_agent_context *out, mn_error *err) {
    if (a->system_is_old) MN_TRY(mn_agent_make_system(a, err));
    *out = a->context;
    MN_TRY(mn_archival_count(a->store, a->row.archive, INT64_MAX, &out->n_archival, err));
    out->messages = a->queue.tokens;
    MN_TRY(mn_agent_count(a, &out->all, err));
    /* What a template adds beyond the sum of its parts is the template's. */
    out->template_ =
        out->all - out->instructions - out->functions - out->blocks - out->metadata - out->summary - out->messages;
    out->window = a->params.window_tokens;
    out->reserve = a->params.reserve_tokens;
    out->n_queue = (int64_t)a->queue.n;
    out->n_messages = a->row.n_messages;
    return MN_OK;
}

const mn_block_list *mn_agent_blocks(const mn_agent *a) { return &a->blocks; }
const char *mn_agent_summary(const mn_agent *a) { return a->summary ? a->summary : ""; }
int64_t mn_agent_id(const mn_agent *a) { return a->row.id; }
const char *mn_agent_archive(const mn_agent *a) { return a->row.archive; }
