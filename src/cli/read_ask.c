/* mnemo read ask: a walk through the graph, and an answer with the places it comes from. */
#include "cli/read.h"

#ifdef MNEMO_HAVE_GRAPH
#include "cli/json_text.h"
#include "cli/model_options.h"
#include "cli/signals.h"
#include "cli/terminal.h"

#include "graph/walk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the model ---- */

mn_status read_open_model(read_model *m, bool *reads_only, mn_error *err) {
    *m = (read_model){0};
    if (read_given.endpoint) {
        const mn_endpoint_params endpoint = {
            .url = read_given.endpoint, .model = read_given.endpoint_model, .n_ctx = read_given.window};
        return mn_llm_open_endpoint(&endpoint, &m->llm, err);
    }
    if (!mn_given_model.model) return MN_OK;
    MN_TRY(mn_model_options_engine(&mn_given_model, false, &m->engine, err));
    *reads_only = mn_engine_chat_template(m->engine) == NULL;
    mn_session_params session = mn_model_options_params(&mn_given_model);
    return mn_llm_open_engine(m->engine, &session, &m->llm, err);
}

void read_close_model(read_model *m) {
    mn_llm_close(m->llm);
    if (m->engine) mn_engine_close(m->engine);
}

/* Says what a question may cost, and sets it as the limit. */
static void set_budget(const read_model *m, const mn_walk_params *p) {
    int64_t calls = p->reads_only ? 1 : 4 + 2 * (int64_t)p->n_paths * p->max_calls;
    if (read_given.max_calls > 0 && read_given.max_calls < calls) calls = read_given.max_calls;
    int64_t window = p->window_tokens < mn_llm_n_ctx(m->llm) ? p->window_tokens : mn_llm_n_ctx(m->llm);
    mn_print_line(stderr, 2, "mnemo read: %s may be asked %lld times, with up to %lld tokens each", mn_llm_name(m->llm),
                  (long long)calls, (long long)window);
    mn_llm_set_budget(m->llm, calls, read_given.max_tokens);
}

/* ---- what is printed ---- */

/* A fact with its place, bytes of the document's text, and what stands there; its own words where a model made it. */
static json_t *fact_json(const mn_fact *f, const mn_passage *p, double score) {
    json_t *row = json_pack("{s:o, s:I, s:I, s:f, s:s}", "file", mn_json_name(p->file), "begin",
                            (json_int_t)(p->begin + f->begin), "end", (json_int_t)(p->begin + f->end), "score", score,
                            "text", f->quote);
    if (row && strcmp(f->text, f->quote) != 0) json_object_set_new(row, "fact", json_string(f->text));
    return row;
}

static mn_status take_fact(mn_graph *graph, const mn_hit *hit, json_t *rows, mn_error *err) {
    mn_fact fact;
    mn_passage passage = {0};
    mn_status status = mn_graph_fact(graph, hit->number, &fact, err);
    if (status == MN_OK) status = mn_graph_passage(graph, fact.passage, &passage, err);
    if (status == MN_OK) json_array_append_new(rows, fact_json(&fact, &passage, (double)hit->score));
    mn_fact_release(&fact);
    mn_passage_release(&passage);
    return status;
}

static json_t *steps_json(const mn_walk *walk) {
    json_t *rows = json_array();
    for (size_t i = 0; i < walk->n_steps; i++) {
        const mn_walk_step *s = &walk->steps[i];
        json_array_append_new(rows, json_pack("{s:i, s:s, s:s, s:s, s:I, s:I, s:b}", "path", s->path, "stage",
                                              mn_walk_stage_name(s->stage), "about", s->about, "action", s->action,
                                              "prompt_tokens", (json_int_t)s->prompt_tokens, "completion_tokens",
                                              (json_int_t)s->completion_tokens, "cached", s->is_cached));
    }
    return rows;
}

static void print_json(const mn_walk *walk, const json_t *facts) {
    json_t *object = json_pack("{s:s, s:s, s:s, s:O, s:o}", "question", walk->question, "answer", walk->answer, "plan",
                               walk->plan, "citations", facts, "walk", steps_json(walk));
    json_dumpf(object, stdout, JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(object);
}

static void print_steps(const mn_walk *walk) {
    for (size_t i = 0; i < walk->n_steps; i++) {
        const mn_walk_step *s = &walk->steps[i];
        if (s->stage == MN_WALK_ANSWER) continue;
        if (s->path < 0)
            mn_print_line(stderr, 4, "%s: %s", mn_walk_stage_name(s->stage), s->action);
        else
            mn_print_line(stderr, 4, "path %d, %s of %s: %s", s->path + 1, mn_walk_stage_name(s->stage), s->about,
                          s->action);
    }
}

static void print_text(const mn_walk *walk, const json_t *facts) {
    size_t i;
    json_t *row;
    mn_print_line(stdout, 0, "%s\n", walk->answer);
    json_array_foreach(facts, i, row) {
        mn_print_line(stdout, 4, "[%zu] %s", i + 1, json_string_value(json_object_get(row, "text")));
        mn_print_line(stdout, 4, "    %s, bytes %lld to %lld", json_string_value(json_object_get(row, "file")),
                      (long long)json_integer_value(json_object_get(row, "begin")),
                      (long long)json_integer_value(json_object_get(row, "end")));
    }
}

static bool go_on(void *arg, int path, mn_walk_stage stage, const char *about) {
    (void)arg, (void)path, (void)stage, (void)about;
    return !mn_signals_interrupted();
}

/* ---- asking ---- */

static mn_status ask(mn_graph *graph, mn_store *store, const read_model *m, const mn_walk_params *params, mn_walk *walk,
                     mn_error *err) {
    if (m->llm) {
        set_budget(m, params);
        MN_TRY(mn_llm_set_journal(m->llm, store, err));
    }
    mn_signals_catch_interrupt();
    mn_status status = mn_walk_run(graph, read_given.question, params, m->llm, walk, err);
    mn_signals_release_interrupt();
    return status;
}

static mn_status print_answer(mn_graph *graph, const mn_walk *walk, mn_error *err) {
    json_t *facts = json_array();
    mn_status status = MN_OK;
    for (uint32_t i = 0; status == MN_OK && i < walk->n_evidence; i++)
        status = take_fact(graph, &walk->evidence[i], facts, err);
    if (status == MN_OK && read_given.json)
        print_json(walk, facts);
    else if (status == MN_OK)
        print_text(walk, facts);
    json_decref(facts);
    return status;
}

mn_status read_ask(mn_graph *graph, mn_store *store, mn_error *err) {
    mn_walk walk = {0};
    read_model m;
    mn_walk_params params = {.n_paths = (int)read_given.n_paths,
                             .max_calls = (int)read_given.path_calls,
                             .window_tokens = read_given.window,
                             .temperature = 0.2,
                             .max_facts = (uint32_t)read_given.k,
                             .progress = go_on};
    mn_status status = read_open_model(&m, &params.reads_only, err);
    if (status == MN_OK) status = ask(graph, store, &m, &params, &walk, err);
    if (read_given.shows_walk && !read_given.json) print_steps(&walk);
    if (status == MN_OK) status = print_answer(graph, &walk, err);
    if (m.llm && status == MN_OK) {
        mn_llm_usage used = mn_llm_used(m.llm);
        mn_print_line(stderr, 2,
                      "mnemo read: %lld calls, %lld from the journal; %lld tokens of prompts, %lld of answers",
                      (long long)used.n_calls, (long long)used.n_cached, (long long)used.prompt_tokens,
                      (long long)used.completion_tokens);
    }
    mn_walk_release(&walk);
    read_close_model(&m);
    return status;
}
#endif
