/* When the window fills: a warning, messages that leave, and the summary that stands for them.
 *
 * Packer et al. 2023, section 2.2: a warning at 70 % of what a prompt may take, a flush when it is full that leaves
 * half, a recursive summary in the first slot. The summary is written by the model, in pieces that fit its window, and
 * by extraction where there is none or it fails: nothing here can end a conversation.
 */
#include "memory/agent_inside.h"

#include "base/checked.h"
#include "memory/prompts.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_BYTES = 240, RESULT_BYTES = 500, MESSAGE_BYTES = 4000, MAX_ROUNDS = 6 };

/* ---- extraction ---- */

typedef struct line {
    const char *text;
    size_t bytes, place;
    double score;
} line;

/* How much a line tells: words with digits, names inside of it, what the speaker says of themselves; less for a
 * question. */
static double score_of(const char *text, size_t bytes) {
    double score = 0.0;
    int names = 0, numbers = 0;
    bool begins = true;
    const char *end = text + bytes, *colon = memchr(text, ':', bytes);
    for (const char *p = colon ? colon + 1 : text; p < end;) {
        while (p < end && !isalnum((unsigned char)*p) && !((unsigned char)*p & 0x80)) p++;
        const char *word = p;
        bool digit = false;
        for (; p < end && (isalnum((unsigned char)*p) || ((unsigned char)*p & 0x80)); p++)
            digit = digit || isdigit((unsigned char)*p);
        size_t n = (size_t)(p - word);
        if (digit) numbers++;
        if (!begins && n > 1 && isupper((unsigned char)*word)) names++;
        if ((n == 2 && !strncasecmp(word, "my", 2)) || (n == 1 && *word == 'I')) score += 1.0;
        begins = false;
    }
    score += MN_MIN(names, 4) + 1.5 * MN_MIN(numbers, 3);
    return bytes && end[-1] == '?' ? score - 3.0 : score;
}

static size_t add_lines(line *lines, size_t n, const char *text, size_t most) {
    for (const char *p = text; *p && n < most;) {
        size_t bytes = strcspn(p, "\n"), shown = MN_MIN(bytes, (size_t)LINE_BYTES);
        while (shown && shown < bytes && ((unsigned char)p[shown] & 0xc0) == 0x80) shown--;
        if (shown) {
            lines[n] = (line){p, shown, n, score_of(p, shown)};
            n++;
        }
        p += bytes + (p[bytes] == '\n');
    }
    return n;
}

static size_t count_lines(const char *text) {
    size_t n = 1;
    for (const char *p = text; *p; p++) n += *p == '\n';
    return n;
}

static int by_score(const void *a, const void *b) {
    const line *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return x->place > y->place ? -1 : x->place < y->place;
}

static int by_place(const void *a, const void *b) {
    const line *x = a, *y = b;
    return x->place < y->place ? -1 : x->place > y->place;
}

/* The first lines of a sorted list that fit; newer ones of equal score come first. */
static size_t fitting_lines(const mn_llm *llm, const line *lines, size_t n, int64_t max_tokens) {
    size_t kept = 0;
    for (; kept < n; kept++) {
        max_tokens -= mn_llm_count(llm, lines[kept].text, lines[kept].bytes) + 1;
        if (max_tokens < 0) break;
    }
    return kept;
}

char *mn_extract(const mn_llm *llm, const char *summary, char *const *texts, size_t n, int64_t max_tokens) {
    size_t most = count_lines(summary), n_lines;
    mn_strbuf out = MN_STRBUF_INIT;
    for (size_t i = 0; i < n; i++) most += count_lines(texts[i]);
    line *lines = calloc(most, sizeof *lines);
    if (!lines) return NULL;
    n_lines = add_lines(lines, 0, summary, most);
    for (size_t i = 0; i < n; i++) n_lines = add_lines(lines, n_lines, texts[i], most);
    qsort(lines, n_lines, sizeof *lines, by_score);
    n_lines = fitting_lines(llm, lines, n_lines, max_tokens);
    qsort(lines, n_lines, sizeof *lines, by_place);
    for (size_t i = 0; i < n_lines; i++) {
        if (i) mn_strbuf_putc(&out, '\n');
        mn_strbuf_put(&out, lines[i].text, lines[i].bytes);
    }
    free(lines);
    return mn_strbuf_detach(&out, NULL);
}

/* ---- what leaves, as text ---- */

typedef struct text_list {
    char **items;
    size_t n;
} text_list;

static void release_texts(text_list *texts) {
    for (size_t i = 0; i < texts->n; i++) free(texts->items[i]);
    free(texts->items);
}

/* "2023-05-08 13:56 user Ann: ..." in one line; calls by their names and arguments. */
static char *message_text(const mn_message *m) {
    mn_memory_date date;
    mn_strbuf text = MN_STRBUF_INIT;
    size_t most = !strcmp(m->role, "tool") ? RESULT_BYTES : MESSAGE_BYTES, bytes = MN_MIN(m->bytes, most);
    while (bytes && bytes < m->bytes && ((unsigned char)m->text[bytes] & 0xc0) == 0x80) bytes--;
    mn_strbuf_printf(&text, "%s %s%s%s: ", mn_memory_date_text(date, m->time), m->role, *m->name ? " " : "", m->name);
    for (size_t i = 0; i < bytes; i++)
        mn_strbuf_putc(&text, m->text[i] == '\n' || m->text[i] == '\r' ? ' ' : m->text[i]);
    if (bytes < m->bytes) mn_strbuf_puts(&text, " [...]");
    if (*m->calls && strlen(m->calls) < RESULT_BYTES) mn_strbuf_printf(&text, " calls %s", m->calls);
    return mn_strbuf_detach(&text, NULL);
}

/* What users and the agent said, and what functions gave; warnings are no part of the conversation. */
static mn_status gather(const mn_agent *a, const bool *leaves, text_list *out, mn_error *err) {
    *out = (text_list){calloc(a->queue.n + 1, sizeof *out->items), 0};
    for (size_t i = 0; out->items && i < a->queue.n; i++) {
        const mn_message *m = &a->queue.items[i].message.at;
        if (!leaves[i] || !strcmp(m->role, "event")) continue;
        if (!(out->items[out->n] = message_text(m))) return mn_fail(err, MN_ERR_MEMORY, "There is no memory.");
        out->n++;
    }
    return out->items ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "There is no memory for %zu messages.", a->queue.n);
}

/* ---- the summary by the model ---- */

/* Asks for a summary of `so_far` and a piece; NULL where that fails or is empty. */
static char *ask_summary(mn_agent *a, const char *so_far, const char *piece, mn_llm_reply *used) {
    mn_strbuf text = MN_STRBUF_INIT;
    mn_llm_reply reply = {0};
    char *out = NULL;
    mn_strbuf_printf(&text, "Summary so far:\n%s\n\nMessages:\n%s", so_far, piece);
    const mn_llm_message messages[] = {{.role = "system", .content = mn_prompt_summary},
                                       {.role = "user", .content = text.data}};
    const mn_llm_request request = {.messages = messages,
                                    .n_messages = 2,
                                    .purpose = "summary",
                                    .max_tokens = mn_agent_summary_room(a),
                                    .temperature = a->params.temperature};
    if (!text.failed && mn_llm_ask(a->llm, &request, &reply, NULL) == MN_OK &&
        reply.content[strspn(reply.content, " \n\t\r")]) {
        size_t bytes = mn_fitting_bytes(a->llm, reply.content, strlen(reply.content), mn_agent_summary_room(a), false);
        out = mn_clean_text(reply.content, bytes);
        used->prompt_tokens += reply.prompt_tokens;
        used->completion_tokens += reply.completion_tokens;
    }
    mn_llm_reply_release(&reply);
    mn_strbuf_release(&text);
    return out;
}

/* Folds the texts into the summary, piece by piece of what fits into three quarters of the window. */
static char *fold(mn_agent *a, const text_list *texts, mn_llm_reply *used) {
    int64_t room = a->params.window_tokens * 3 / 4 - mn_agent_summary_room(a) * 2 -
                   mn_llm_count(a->llm, mn_prompt_summary, strlen(mn_prompt_summary)) - 64;
    char *summary = strdup(a->summary ? a->summary : "");
    for (size_t i = 0; summary && i < texts->n && room > 0;) {
        mn_strbuf piece = MN_STRBUF_INIT;
        int64_t left = room;
        size_t first = i;
        for (; i < texts->n; i++) {
            int64_t tokens = mn_llm_count(a->llm, texts->items[i], strlen(texts->items[i])) + 1;
            if (tokens > left && i > first) break;
            size_t bytes = mn_fitting_bytes(a->llm, texts->items[i], strlen(texts->items[i]), left - 1, false);
            mn_strbuf_put(&piece, texts->items[i], bytes);
            mn_strbuf_putc(&piece, '\n');
            left -= tokens;
        }
        char *next = piece.failed ? NULL : ask_summary(a, summary, piece.data, used);
        mn_strbuf_release(&piece);
        free(summary);
        summary = next;
    }
    if (summary && room > 0) return summary;
    free(summary);
    return NULL;
}

static mn_status summarise(mn_agent *a, const bool *leaves, char **out, const char **by, mn_llm_reply *used,
                           mn_error *err) {
    text_list texts;
    mn_status status = gather(a, leaves, &texts, err);
    *out = NULL;
    *by = mn_llm_name(a->llm);
    if (status == MN_OK && !texts.n) *out = strdup(a->summary ? a->summary : "");
    if (status == MN_OK && texts.n && a->params.style != MN_AGENT_AUTOMATIC) *out = fold(a, &texts, used);
    if (status == MN_OK && !*out) {
        *by = "extract";
        *out = mn_extract(a->llm, a->summary ? a->summary : "", texts.items, texts.n, mn_agent_summary_room(a));
        if (!*out) status = mn_fail(err, MN_ERR_MEMORY, "There is no memory for a summary.");
    }
    release_texts(&texts);
    return status;
}

/* ---- the flush ---- */

static mn_status commit_flush(mn_agent *a, const bool *leaves, const char *summary, const char *by,
                              const mn_llm_reply *used, mn_error *err) {
    int64_t first = 0, last = 0;
    for (size_t i = 0; i < a->queue.n; i++) {
        if (!leaves[i]) continue;
        if (!first) first = a->queue.items[i].message.at.id;
        last = a->queue.items[i].message.at.id;
    }
    MN_TRY(mn_queue_drop_rows(&a->queue, leaves, err));
    MN_TRY(mn_store_number(a->store, 0, &a->summary_id, err,
                           "INSERT INTO summary (agent, parent, from_message, to_message, text, model, at) "
                           "VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id",
                           "iiiitti", a->row.id, a->summary_id, first, last, summary, by, mn_memory_now()));
    if (used->prompt_tokens) MN_TRY(mn_agent_keep_step(a, "summary", used, by, err));
    return mn_store_run(a->store, err, "UPDATE agent SET warned = 0 WHERE id = $1", "i", a->row.id);
}

static mn_status let_leave(mn_agent *a, int64_t target, mn_error *err) {
    bool *leaves = calloc(a->queue.n + 1, sizeof *leaves);
    char *summary = NULL;
    const char *by;
    mn_llm_reply used = {0};
    if (!leaves) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for %zu messages.", a->queue.n);
    mn_status status = MN_OK;
    if (mn_queue_choose(&a->queue, target, (size_t)a->params.keep_last, leaves)) {
        status = summarise(a, leaves, &summary, &by, &used, err);
        if (status == MN_OK) status = mn_store_begin(a->store, err);
        if (status == MN_OK) status = mn_store_end(a->store, commit_flush(a, leaves, summary, by, &used, err), err);
        if (status == MN_OK) {
            mn_queue_drop_items(&a->queue, leaves);
            free(a->summary);
            a->summary = summary;
            summary = NULL;
            a->row.warned = false;
        }
    }
    free(summary);
    free(leaves);
    if (status == MN_OK) status = mn_queue_squeeze(&a->queue, target, err);
    return status == MN_OK ? mn_agent_make_system(a, err) : status;
}

/* Each round makes the first message anew, which may take some tokens more than before; the next lets more leave. */
static mn_status flush(mn_agent *a, mn_error *err) {
    int64_t n_tokens = 0, budget = mn_agent_budget(a), less = 0;
    MN_TRY(mn_agent_make_system(a, err));
    for (int round = 0; round < MAX_ROUNDS; round++) {
        int64_t target = (int64_t)(a->params.keep * (double)mn_agent_queue_room(a)) - less;
        if (target > 0) MN_TRY(let_leave(a, target, err));
        MN_TRY(mn_agent_count(a, &n_tokens, err));
        int64_t over = a->queue.tokens - (int64_t)(a->params.keep * (double)mn_agent_queue_room(a));
        if (n_tokens < budget && over <= 0) return MN_OK;
        less += MN_MAX(over, n_tokens - budget + 1);
    }
    if (n_tokens <= budget) return MN_OK;
    return mn_fail(err, MN_ERR_LIMIT,
                   "A window of %lld tokens with %lld for the answer is too small for this agent: what must be seen "
                   "takes %lld.",
                   (long long)a->params.window_tokens, (long long)a->params.reserve_tokens, (long long)n_tokens);
}

static mn_status push_warning(mn_agent *a, mn_error *err) {
    static const char text[] =
        "{\"type\":\"system_alert\",\"message\":\"The window is nearly full; the oldest messages will soon be hidden. "
        "Save what matters now with core_memory_append or archival_memory_insert.\"}";
    const mn_message m = {.role = "event",
                          .name = "system_alert",
                          .time = mn_memory_now(),
                          .text = text,
                          .bytes = sizeof text - 1,
                          .goes_on = mn_queue_goes_on(&a->queue)};
    MN_TRY(mn_agent_push(a, &m, err));
    return mn_store_run(a->store, err, "UPDATE agent SET warned = 1 WHERE id = $1", "i", a->row.id);
}

static mn_status warn(mn_agent *a, mn_error *err) {
    MN_TRY(mn_store_begin(a->store, err));
    MN_TRY(mn_store_end(a->store, push_warning(a, err), err));
    a->row.warned = true;
    return MN_OK;
}

mn_status mn_agent_make_room(mn_agent *a, mn_error *err) {
    int64_t n_tokens;
    double budget = (double)mn_agent_budget(a);
    if (!a->system || (a->system_is_old && !mn_queue_steps(&a->queue))) MN_TRY(mn_agent_make_system(a, err));
    MN_TRY(mn_agent_count(a, &n_tokens, err));
    if (a->params.style != MN_AGENT_AUTOMATIC && !a->row.warned && (double)n_tokens >= a->params.warn * budget) {
        MN_TRY(warn(a, err));
        MN_TRY(mn_agent_count(a, &n_tokens, err));
    }
    return (double)n_tokens >= a->params.flush * budget ? flush(a, err) : MN_OK;
}
