/* The automatic style: the model calls no functions; what recall and archival memory hold about a message is looked up
 * for it and stands in the prompt, with dates. Without any model what was found is the answer. */
#include "memory/agent_inside.h"

#include "base/checked.h"
#include "graph/sentences.h"
#include "graph/words.h"
#include "memory/archival.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_MESSAGES = 40, MAX_TEXTS = 12, MAX_FACTS = 64, LINE_BYTES = 400, ANSWER_TOKENS = 64 };

/* The name of answers that were made of what is remembered: they tell nothing new, and are not remembered again. */
#define RECALLED "recalled"

/* ---- facts ---- */

/* A sentence that was said or put away. */
typedef struct fact {
    char *text;  /* with its date and who said it */
    size_t said; /* where in it what was said begins */
    double score;
    int64_t time, place;
} fact;

typedef struct search {
    mn_agent *a;
    mn_lexicon lexicon;
    mn_word_list words, asked;
    fact facts[MAX_FACTS];
    int n;
} search;

static void release_search(search *s) {
    for (int i = 0; i < s->n; i++) free(s->facts[i].text);
    mn_word_list_release(&s->words);
    mn_word_list_release(&s->asked);
    mn_lexicon_release(&s->lexicon);
}

/* How many of the question's words a sentence holds, in stems; function words do not count, weak ones half. */
static mn_status overlap(search *s, const char *text, size_t bytes, double *out, mn_error *err) {
    *out = 0.0;
    MN_TRY(mn_words_find(&s->lexicon, text, bytes, &s->words, err));
    for (size_t i = 0; i < s->asked.n; i++) {
        const mn_word *q = &s->asked.items[i];
        if (q->traits & MN_WORD_STOP) continue;
        for (size_t k = 0; k < s->words.n; k++)
            if (mn_word_term(&s->lexicon, q) == mn_word_term(&s->lexicon, &s->words.items[k])) {
                *out += q->traits & MN_WORD_WEAK ? 0.5 : 1.0;
                break;
            }
    }
    return MN_OK;
}

static bool is_question(const char *text, size_t bytes) {
    static const char *const firsts[] = {"who",   "what", "when", "where", "which", "why", "how",
                                         "whose", "does", "did",  "is",    "are",   "was", "were"};
    while (bytes && strchr(" \t\r\n\"')", text[bytes - 1])) bytes--;
    if (bytes && (text[bytes - 1] == '?' || text[bytes - 1] == '!')) return text[bytes - 1] == '?';
    size_t n = 0;
    while (n < bytes && ((text[n] | 32) >= 'a' && (text[n] | 32) <= 'z')) n++;
    for (size_t i = 0; i < sizeof firsts / sizeof *firsts; i++)
        if (n == strlen(firsts[i]) && !strncasecmp(text, firsts[i], n)) return true;
    return false;
}

static mn_status add_fact(search *s, const char *who, int64_t time, int64_t place, const char *text, size_t bytes,
                          double score, mn_error *err) {
    mn_memory_date date;
    mn_strbuf line = MN_STRBUF_INIT;
    size_t shown = MN_MIN(bytes, (size_t)LINE_BYTES);
    while (shown && shown < bytes && ((unsigned char)text[shown] & 0xc0) == 0x80) shown--;
    if (*mn_memory_date_text(date, time)) mn_strbuf_printf(&line, "%.10s, ", date);
    mn_strbuf_printf(&line, "%s: ", who);
    size_t said = line.bytes;
    for (size_t i = 0; i < shown; i++) mn_strbuf_putc(&line, text[i] == '\n' ? ' ' : text[i]);
    char *copy = mn_strbuf_detach(&line, NULL);
    if (!copy) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for what was found.");
    for (int i = 0; i < s->n; i++)
        if (!strcmp(s->facts[i].text + s->facts[i].said, copy + said)) { /* it was said twice */
            free(copy);
            return MN_OK;
        }
    s->facts[s->n++] = (fact){copy, said, score, time, place};
    return MN_OK;
}

/* The sentences of a text that hold words of the question; questions tell nothing. */
static mn_status take_sentences(search *s, const char *who, int64_t time, int64_t place, const char *text, size_t bytes,
                                double bonus, mn_error *err) {
    size_t at = 0, begin, end;
    while (s->n < MAX_FACTS && mn_sentence_next(text, bytes, &at, &begin, &end)) {
        double score;
        if (is_question(text + begin, end - begin)) continue;
        MN_TRY(overlap(s, text + begin, end - begin, &score, err));
        if (score > 0.0) MN_TRY(add_fact(s, who, time, place, text + begin, end - begin, score + bonus, err));
    }
    return MN_OK;
}

static mn_status search_recall(search *s, const char *question, int64_t before, mn_error *err) {
    mn_recall_hit hits[MAX_MESSAGES];
    uint32_t n;
    int64_t n_all;
    const mn_recall_query query = {.words = question, .before_id = before, .limit = MAX_MESSAGES};
    MN_TRY(mn_agent_find_messages(s->a, &query, hits, &n, &n_all, err));
    for (uint32_t i = 0; i < n; i++) {
        mn_message_copy m;
        bool found;
        MN_TRY(mn_recall_get(s->a->store, s->a->row.id, hits[i].message, &m, &found, err));
        found = found && strcmp(m.at.name, RECALLED) != 0;
        bool is_user = found && !strcmp(m.at.role, "user");
        const char *who = !found ? "" : *m.at.name && strcmp(m.at.name, "said") != 0 ? m.at.name : m.at.role;
        /* What users said counts for a little more than what the agent made of it, and what ranks first too. */
        double bonus = (is_user ? 0.25 : 0.0) + 0.2 / (1.0 + i);
        mn_status status =
            found ? take_sentences(s, who, m.at.time, m.at.id, m.at.text, m.at.bytes, bonus, err) : MN_OK;
        mn_message_release(&m);
        MN_TRY(status);
    }
    return MN_OK;
}

static mn_status search_archive(search *s, const char *question, mn_error *err) {
    mn_archival_hit hits[MAX_TEXTS];
    uint32_t n;
    const mn_archival_query query = {.words = question, .limit = MAX_TEXTS};
    MN_TRY(mn_archival_search(s->a->store, s->a->row.archive, &query, hits, &n, NULL, err));
    mn_status status = MN_OK;
    for (uint32_t i = 0; i < n; i++) {
        if (status == MN_OK)
            status =
                take_sentences(s, "archive", hits[i].time, 0, hits[i].text, strlen(hits[i].text), 0.2 / (1.0 + i), err);
        mn_archival_hit_release(&hits[i]);
    }
    return status;
}

static int by_score(const void *a, const void *b) {
    const fact *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return x->time > y->time ? -1 : x->time < y->time;
}

static int by_time(const void *a, const void *b) {
    const fact *x = a, *y = b;
    if (x->time != y->time) return x->time < y->time ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

/* The best facts about a text, within max_tokens, oldest first, so that the newest statement comes last. */
static mn_status find_facts(search *s, const char *text, int64_t before, int64_t max_tokens, mn_error *err) {
    MN_TRY(mn_words_find(&s->lexicon, text, strlen(text), &s->asked, err));
    MN_TRY(search_recall(s, text, before, err));
    MN_TRY(search_archive(s, text, err));
    qsort(s->facts, (size_t)s->n, sizeof *s->facts, by_score);
    int kept = 0;
    for (; kept < s->n && kept < s->a->params.recall_facts; kept++) {
        max_tokens -= mn_llm_count(s->a->llm, s->facts[kept].text, strlen(s->facts[kept].text)) + 1;
        /* Far less than the best is about something else. */
        if (max_tokens < 0 || s->facts[kept].score < 0.5 * s->facts[0].score) break;
    }
    for (int i = kept; i < s->n; i++) free(s->facts[i].text);
    s->n = kept;
    qsort(s->facts, (size_t)s->n, sizeof *s->facts, by_time);
    for (int i = 0; i < s->n && s->a->params.found; i++) s->a->params.found(s->a->params.arg, s->facts[i].text);
    return MN_OK;
}

static void put_facts(const search *s, mn_strbuf *out) {
    for (int i = 0; i < s->n; i++) mn_strbuf_printf(out, "%s\n", s->facts[i].text);
}

/* ---- answers ---- */

static mn_status answer_from_memory(const search *s, bool asked, mn_strbuf *out, mn_error *err) {
    if (!asked)
        mn_strbuf_puts(out, "Noted.");
    else if (!s->n)
        mn_strbuf_puts(out, "Nothing that was said so far is about that.");
    else
        put_facts(s, out);
    if (out->bytes && out->data[out->bytes - 1] == '\n') out->data[--out->bytes] = '\0';
    return out->failed ? mn_fail(err, MN_ERR_MEMORY, "There is no memory for an answer.") : MN_OK;
}

static mn_status ask(mn_agent *a, const mn_llm_message *messages, size_t n, int64_t max_tokens, mn_strbuf *out,
                     mn_llm_reply *reply, mn_error *err) {
    const mn_llm_request request = {.messages = messages,
                                    .n_messages = n,
                                    .purpose = "agent",
                                    .temperature = a->params.temperature,
                                    .max_tokens = max_tokens,
                                    .seed = a->params.seed};
    MN_TRY(mn_llm_ask(a->llm, &request, reply, err));
    const char *text = reply->content + strspn(reply->content, " \t\r\n");
    char *clean = mn_clean_text(text, strlen(text));
    mn_strbuf_puts(out, clean ? clean : "");
    bool failed = !clean || out->failed;
    free(clean);
    return failed ? mn_fail(err, MN_ERR_MEMORY, "There is no memory for an answer.") : MN_OK;
}

/* Whether each word of an answer that is no function word stands in the facts or in the question: a small model that
 * loses its way says what nobody said. */
static mn_status is_grounded(search *s, const char *question, const char *answer, bool *out, mn_error *err) {
    mn_strbuf known = MN_STRBUF_INIT;
    mn_word_list words = {0};
    put_facts(s, &known);
    mn_strbuf_puts(&known, question);
    mn_status status = mn_words_find(&s->lexicon, known.data, known.bytes, &words, err);
    if (status == MN_OK) status = mn_words_find(&s->lexicon, answer, strlen(answer), &s->words, err);
    *out = s->words.n > 0;
    for (size_t i = 0; status == MN_OK && *out && i < s->words.n; i++) {
        const mn_word *w = &s->words.items[i];
        bool found = (w->traits & MN_WORD_STOP) != 0;
        for (size_t k = 0; k < words.n && !found; k++)
            found = mn_word_term(&s->lexicon, &words.items[k]) == mn_word_term(&s->lexicon, w);
        *out = found;
    }
    mn_word_list_release(&words);
    mn_strbuf_release(&known);
    return status;
}

/* The facts are the text, and the question is asked about it; an answer that is not theirs is dropped. */
static mn_status answer_question(search *s, const char *question, mn_strbuf *out, mn_llm_reply *reply, mn_error *err) {
    mn_strbuf text = MN_STRBUF_INIT;
    put_facts(s, &text);
    const mn_llm_message messages[] = {{.role = "system", .content = text.data}, {.role = "user", .content = question}};
    int64_t most = MN_MIN(s->a->params.reserve_tokens, (int64_t)ANSWER_TOKENS);
    mn_status status = text.failed ? mn_fail(err, MN_ERR_MEMORY, "There is no memory for a prompt.")
                                   : ask(s->a, messages, 2, most, out, reply, err);
    mn_strbuf_release(&text);
    bool grounded = true;
    if (status == MN_OK) status = is_grounded(s, question, out->data, &grounded, err);
    if (!grounded) mn_strbuf_reset(out);
    return status;
}

/* The whole conversation, the facts before the user's message. */
static mn_status answer_talk(const search *s, mn_strbuf *out, mn_llm_reply *reply, mn_error *err) {
    size_t n;
    mn_strbuf text = MN_STRBUF_INIT;
    mn_llm_message *messages = mn_agent_messages(s->a, &n);
    if (!messages) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for a prompt.");
    if (s->n) {
        mn_strbuf_puts(&text, "What was said before:\n");
        put_facts(s, &text);
        mn_strbuf_printf(&text, "\n%s", messages[n - 1].content);
        messages[n - 1].content = text.data;
    }
    mn_status status = text.failed ? mn_fail(err, MN_ERR_MEMORY, "There is no memory for a prompt.")
                                   : ask(s->a, messages, n, s->a->params.reserve_tokens, out, reply, err);
    mn_strbuf_release(&text);
    free(messages);
    return status;
}

static mn_status keep(mn_agent *a, const mn_strbuf *text, const mn_llm_reply *reply, const char *how, mn_error *err) {
    const mn_message m = {.role = "assistant",
                          .name = a->params.answers == MN_ANSWERS_TALK ? NULL : RECALLED,
                          .time = mn_memory_now(),
                          .text = text->data,
                          .bytes = text->bytes};
    MN_TRY(mn_store_begin(a->store, err));
    mn_status status = mn_agent_push(a, &m, err);
    if (status == MN_OK) status = mn_agent_keep_step(a, "answer", reply, how, err);
    if (status == MN_OK) status = mn_agent_post(a, a->queue.items[a->queue.n - 1].message.at.id, text->data, err);
    return mn_store_end(a->store, status, err);
}

/* The last sentence that asks, else the whole text. */
static char *question_of(const char *text) {
    size_t at = 0, begin, end, bytes = strlen(text), from = 0, to = bytes;
    while (mn_sentence_next(text, bytes, &at, &begin, &end))
        if (is_question(text + begin, end - begin)) from = begin, to = end;
    return strndup(text + from, to - from);
}

static mn_status answer(search *s, const mn_message *m, mn_strbuf *out, mn_llm_reply *reply, const char **how,
                        mn_error *err) {
    mn_agent *a = s->a;
    char *question = question_of(m->text);
    int64_t room = mn_agent_budget(a) / 4, used;
    if (!question) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for a question.");
    bool asked = is_question(question, strlen(question));
    mn_status status = mn_agent_count(a, &used, err);
    if (a->params.answers == MN_ANSWERS_TALK) room = MN_MIN(room, mn_agent_budget(a) - used - 16);
    if (status == MN_OK && (asked || a->params.answers == MN_ANSWERS_TALK))
        status = find_facts(s, asked ? question : m->text, m->id, room, err);
    *how = "model";
    if (status == MN_OK && a->params.answers == MN_ANSWERS_TALK)
        status = answer_talk(s, out, reply, err);
    else if (status == MN_OK && a->params.answers == MN_ANSWERS_QUESTION && asked && s->n)
        status = answer_question(s, question, out, reply, err);
    if (status == MN_OK && !out->bytes) {
        *how = "memory";
        status = answer_from_memory(s, asked, out, err);
    }
    free(question);
    return status;
}

mn_status mn_agent_automatic_step(mn_agent *a, mn_error *err) {
    search *s = calloc(1, sizeof *s);
    mn_strbuf text = MN_STRBUF_INIT;
    mn_llm_reply reply = {0};
    const char *how = "";
    if (!s) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for a search.");
    s->a = a;
    mn_status status = answer(s, &a->queue.items[a->queue.n - 1].message.at, &text, &reply, &how, err);
    if (status == MN_OK) status = keep(a, &text, &reply, how, err);
    mn_llm_reply_release(&reply);
    mn_strbuf_release(&text);
    release_search(s);
    free(s);
    return status;
}
