/* mnemo agent search: the messages of an agent that answer a question, without a model. */
#include "cli/agent_recall.h"

#ifdef MNEMO_HAVE_GRAPH
#include "cli/options.h"
#include "cli/progress.h"
#include "cli/signals.h"
#include "cli/terminal.h"

#include "memory/import.h"
#include "memory/recall_near.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct settings {
    const char *store, *agent, *question, *embed;
    int64_t k;
    bool json;
} settings;

static json_t *time_json(int64_t seconds) {
    char text[32];
    struct tm date;
    time_t t = (time_t)seconds;
    if (seconds < 0 || !gmtime_r(&t, &date) || !strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &date))
        return json_null();
    return json_string(text);
}

/* As it was given: a number stays one. */
static json_t *id_json(int64_t agent, const char *uid) {
    char *text = mn_message_external_id(agent, uid);
    json_t *id = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
    free(text);
    return id ? id : json_string(uid);
}

static json_t *result_json(int64_t agent, const mn_message *m, double score) {
    return json_pack("{s:o, s:f, s:s%, s:s, s:s, s:o, s:s}", "id", id_json(agent, m->uid), "score", score, "text",
                     m->text, m->bytes, "role", m->role, "name", m->name, "time", time_json(m->time), "session",
                     m->session);
}

static void print_result(const mn_message *m, int rank, double score) {
    mn_memory_date date;
    mn_memory_date_text(date, m->time);
    mn_print_line(stdout, 0, "%d. %s%s%s (%.2f)", rank, *m->name ? m->name : m->role, *date ? ", " : "", date, score);
    fputs("   ", stdout);
    mn_print_folded(stdout, m->text, 3, 3, mn_terminal_columns(stdout));
    fputs("\n\n", stdout);
}

static mn_status put_hit(const settings *s, mn_store *store, int64_t agent, const mn_recall_hit *hit, int rank,
                         json_t *rows, mn_error *err) {
    mn_message_copy message;
    bool found;
    MN_TRY(mn_recall_get(store, agent, hit->message, &message, &found, err));
    if (found && s->json)
        json_array_append_new(rows, result_json(agent, &message.at, hit->score));
    else if (found)
        print_result(&message.at, rank, hit->score);
    mn_message_release(&message);
    return MN_OK;
}

static void print_end(const settings *s, json_t *rows, uint32_t n) {
    if (s->json) {
        json_t *object = json_pack("{s:s, s:O}", "question", s->question, "results", rows);
        json_dumpf(object, stdout, JSON_REAL_PRECISION(6));
        putchar('\n');
        json_decref(object);
    } else if (!n) {
        mn_print_line(stdout, 0, "No message holds a word of the question.");
    }
}

static bool step(void *arg, int64_t done, int64_t all) {
    (void)all;
    mn_progress_at(arg, done);
    return !mn_signals_interrupted();
}

/* The ranking of words joined with that of vectors, which are made where messages have none. */
static mn_status search_near(const settings *s, mn_store *store, int64_t agent, mn_recall_index *index,
                             mn_recall_hit *hits, uint32_t *n, mn_error *err) {
    mn_engine *engine;
    mn_recall_near *near = NULL;
    mn_progress progress;
    int64_t n_made;
    MN_TRY(mn_engine_open(s->embed, NULL, &engine, err));
    mn_status status = mn_recall_near_open(store, agent, engine, &near, err);
    mn_signals_catch_interrupt();
    mn_progress_begin(&progress, "embed", "messages", 0);
    if (status == MN_OK) status = mn_recall_near_fill(near, step, &progress, &n_made, err);
    mn_progress_end(&progress);
    mn_signals_release_interrupt();
    if (status == MN_OK) status = mn_recall_near_search(near, index, s->question, (uint32_t)s->k, hits, n, err);
    mn_recall_near_close(near);
    mn_engine_close(engine);
    return status;
}

static mn_status search(const settings *s, mn_store *store, int64_t agent, mn_error *err) {
    uint32_t n = 0;
    mn_recall_index *index;
    MN_TRY(mn_recall_index_open(store, agent, &index, err));
    mn_recall_hit *hits = malloc((size_t)s->k * sizeof *hits);
    json_t *rows = json_array();
    mn_status status =
        hits ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "There is no memory for %lld results.", (long long)s->k);
    if (status == MN_OK)
        status = s->embed ? search_near(s, store, agent, index, hits, &n, err)
                          : mn_recall_index_search(index, s->question, (uint32_t)s->k, hits, &n, err);
    for (uint32_t i = 0; status == MN_OK && i < n; i++)
        status = put_hit(s, store, agent, &hits[i], (int)i + 1, rows, err);
    if (status == MN_OK) print_end(s, rows, n);
    json_decref(rows);
    free(hits);
    mn_recall_index_close(index);
    return status;
}

static mn_status find_agent(const settings *s, mn_store *store, int64_t *agent, mn_error *err) {
    mn_agent_row row;
    bool found;
    MN_TRY(mn_memory_migrate(store, err));
    MN_TRY(mn_agent_find(store, s->agent, &row, &found, err));
    *agent = row.id;
    mn_agent_row_release(&row);
    if (found) return MN_OK;
    return mn_fail(err, MN_ERR_ARGUMENT,
                   "The store %s has no agent \"%.100s\"; import messages for it, or name another.",
                   mn_store_name(store), s->agent);
}

int cmd_agent_search(int argc, char **argv) {
    settings s = {0};
    const mn_option options[] = {
        MN_OPTION_TEXT("store", &s.store, "FILE", "agent.db", "where memory is kept: a file, or postgresql://..."),
        MN_OPTION_TEXT("name", &s.agent, "NAME", MN_AGENT_DEFAULT_NAME, "whose memory"),
        MN_OPTION_TEXT("q question", &s.question, "QUESTION", NULL, "what to look for"),
        MN_OPTION_INT("k", &s.k, "K", "10", 1, 10000, "messages at most"),
        MN_OPTION_TEXT("embed", &s.embed, "MODEL", NULL,
                       "join the ranking of words with that of vectors by this model, an encoder or any other"),
        MN_OPTION_FLAG("json", &s.json, "print one JSON object"),
        MN_OPTIONS_END,
    };
    const mn_usage usage = {
        .verb = "agent search",
        .synopsis = "--store FILE -q QUESTION [-k K] [--name NAME] [--embed MODEL] [--json]",
        .about = "Prints the messages of an agent's recall that answer a question, best first, without a model: by "
                 "words in windows of messages, who speaks, and dates.",
        .example = "mnemo agent search --store memory.db -q \"When did Ann move to Rome?\" -k 10 --json",
        .options = options,
    };
    const mn_store_options must_exist = {.must_exist = true};
    mn_text_list none;
    mn_error err;
    mn_store *store;
    int64_t agent;
    int code = mn_options_parse(&usage, argc, argv, &none);
    if (code >= 0) return code;
    if (!s.question) return mn_cli_wrong(&usage, "needs a question: -q QUESTION.");
    mn_status status = mn_store_open(s.store, &must_exist, &store, &err);
    if (status == MN_OK) {
        status = find_agent(&s, store, &agent, &err);
        if (status == MN_OK) status = search(&s, store, agent, &err);
        mn_store_close(store);
    }
    return mn_cli_past_usage(status, &err) == MN_OK ? MN_EXIT_DONE : mn_cli_fail("agent search", &err);
}
#endif
