/* mnemo read: texts as a graph of facts, and questions to it (GraphReader). */
#include "cli/read.h"

#include "cli/options.h"
#include "cli/verbs.h"

#include <stdio.h>
#include <string.h>

#ifdef MNEMO_HAVE_GRAPH
#include "cli/json_text.h"
#include "cli/model_options.h"
#include "cli/progress.h"
#include "cli/signals.h"
#include "cli/terminal.h"

#include "base/clock.h"
#include "base/human.h"
#include "graph/build.h"
#include "graph/index.h"
#include "graph/schema.h"
#include "memory/restore.h"

#include <jansson.h>
#include <stdlib.h>

read_settings read_given;

/* ---- index ---- */

static void tell(void *arg, const char *sentence) {
    (void)arg;
    mn_print_line(stderr, 0, "mnemo read: %s", sentence);
}

static bool step(void *arg, int64_t done, int64_t all) {
    mn_progress *p = arg;
    if (all > 0 && !p->total) {
        mn_progress_end(p);
        mn_progress_begin(p, "index", "bytes", all);
    }
    mn_progress_at(p, done);
    return !mn_signals_interrupted();
}

static void print_figures(const mn_index_figures *f, const mn_graph_figures *g, double seconds) {
    mn_human bytes, time;
    if (read_given.json) {
        json_t *object = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f}", "new", (json_int_t)f->n_new,
                                   "changed", (json_int_t)f->n_changed, "same", (json_int_t)f->n_same, "gone",
                                   (json_int_t)f->n_gone, "failed", (json_int_t)f->n_failed, "documents",
                                   (json_int_t)g->n_documents, "passages", (json_int_t)g->n_passages, "facts",
                                   (json_int_t)g->n_facts, "keys", (json_int_t)g->n_keys, "seconds", seconds);
        json_dumpf(object, stdout, 0);
        putchar('\n');
        json_decref(object);
        return;
    }
    mn_print_line(stdout, 2,
                  "%lld new, %lld changed, %lld as before, %lld gone, %lld left out; the store holds %lld "
                  "documents (%s), %lld passages, %lld facts, %lld keys; %s",
                  (long long)f->n_new, (long long)f->n_changed, (long long)f->n_same, (long long)f->n_gone,
                  (long long)f->n_failed, (long long)g->n_documents, mn_human_bytes(bytes, (size_t)g->text_bytes),
                  (long long)g->n_passages, (long long)g->n_facts, (long long)g->n_keys,
                  mn_human_seconds(time, seconds));
}

static mn_status read_paths(mn_store *store, const mn_text_list *paths, int first, mn_index_figures *figures,
                            mn_error *err) {
    mn_progress progress;
    bool is_stale;
    const mn_index_options options = {
        .chunks = {.max_bytes = (size_t)read_given.chunk_bytes}, .note = tell, .progress = step, .arg = &progress};
    mn_signals_catch_interrupt();
    mn_progress_begin(&progress, "read", "bytes", 0);
    mn_status status = mn_graph_migrate(store, err);
    for (int i = first; status == MN_OK && i < paths->n; i++)
        status = mn_index_path(store, paths->items[i], &options, figures, err);
    if (status == MN_OK) status = mn_index_is_stale(store, &is_stale, err);
    if (status == MN_OK && is_stale) status = mn_index_rebuild(store, step, &progress, err);
    mn_progress_end(&progress);
    mn_signals_release_interrupt();
    return status;
}

static mn_status do_index(mn_store *store, const mn_text_list *words, mn_error *err) {
    mn_index_figures figures = {0};
    mn_graph_figures counted;
    mn_graph *graph;
    mn_engine *engine;
    double start = mn_clock_seconds();
    MN_TRY(read_paths(store, words, 1, &figures, err));
    if (read_given.extracts) MN_TRY(read_extract(store, err));
    MN_TRY(mn_graph_open(store, &graph, err));
    mn_status status = read_rank_near(graph, &engine, err);
    if (status == MN_OK) status = mn_graph_count(graph, &counted, err);
    mn_graph_close(graph);
    mn_engine_close(engine);
    if (status == MN_OK) print_figures(&figures, &counted, mn_clock_seconds() - start);
    return status;
}

/* ---- search ---- */

json_t *read_passage_json(const mn_passage *p, double score) {
    json_t *row = json_pack("{s:o, s:I, s:I, s:f, s:s%}", "file", mn_json_name(p->file), "begin", (json_int_t)p->begin,
                            "end", (json_int_t)p->end, "score", score, "text", p->text, p->bytes);
    if (row && *p->title) json_object_set_new(row, "title", json_string(p->title));
    if (row && *p->speaker) json_object_set_new(row, "speaker", json_string(p->speaker));
    return row;
}

static void print_passage(const mn_passage *p, int rank, double score) {
    mn_print_line(stdout, 0, "%d. %s, bytes %lld to %lld%s%s (%.2f)", rank, p->file, (long long)p->begin,
                  (long long)p->end, *p->title ? ": " : "", p->title, score);
    fputs("   ", stdout);
    mn_print_folded(stdout, p->text, 3, 3, mn_terminal_columns(stdout));
    fputs("\n\n", stdout);
}

static mn_status do_search(mn_graph *graph, mn_error *err) {
    uint32_t n, k = (uint32_t)read_given.k;
    mn_hit *hits = malloc(k * sizeof *hits);
    json_t *rows = json_array();
    mn_status status = hits ? mn_graph_search(graph, read_given.question, k, hits, &n, err)
                            : mn_fail(err, MN_ERR_MEMORY, "There is no memory for %u results.", k);
    for (uint32_t i = 0; status == MN_OK && i < n; i++) {
        mn_passage passage;
        status = mn_graph_passage(graph, hits[i].number, &passage, err);
        if (status != MN_OK) break;
        if (read_given.json)
            json_array_append_new(rows, read_passage_json(&passage, (double)hits[i].score));
        else
            print_passage(&passage, (int)i + 1, (double)hits[i].score);
        mn_passage_release(&passage);
    }
    if (status == MN_OK && read_given.json) {
        json_t *object = json_pack("{s:s, s:O}", "question", read_given.question, "results", rows);
        json_dumpf(object, stdout, JSON_REAL_PRECISION(6));
        putchar('\n');
        json_decref(object);
    } else if (status == MN_OK && !n) {
        mn_print_line(stdout, 0, "Nothing in the store holds a word of the question.");
    }
    json_decref(rows);
    free(hits);
    return status;
}

/* ---- the verb ---- */

static mn_status with_graph(mn_store *store, const mn_text_list *words, mn_error *err) {
    mn_index_figures figures = {0};
    const char *what = words->items[0];
    mn_graph *graph;
    mn_engine *engine;
    bool shows = !strcmp(what, "show");
    if (!shows && words->n > 1) MN_TRY(read_paths(store, words, 1, &figures, err));
    MN_TRY(mn_graph_open(store, &graph, err));
    if (!strcmp(read_given.rank, "pagerank")) mn_graph_rank_by(graph, MN_RANK_PAGERANK);
    mn_status status = read_rank_near(graph, &engine, err);
    if (status == MN_OK && !strcmp(what, "search"))
        status = do_search(graph, err);
    else if (status == MN_OK && !shows)
        status = read_ask(graph, store, err);
    else if (status == MN_OK)
        status = read_show(graph, words->n > 1 ? words->items[1] : NULL, err);
    mn_graph_close(graph);
    mn_engine_close(engine);
    return status;
}

static mn_status do_import(mn_store *store, mn_error *err) {
    int64_t n;
    MN_TRY(mn_restore(store, stdin, &n, err));
    printf("%lld rows imported\n", (long long)n);
    return MN_OK;
}

static mn_status run(const mn_text_list *words, mn_error *err) {
    const char *what = words->items[0];
    bool creates = !strcmp(what, "index") || !strcmp(what, "import") || (words->n > 1 && strcmp(what, "show"));
    const mn_store_options options = {.must_exist = !creates};
    mn_store *store;
    MN_TRY(mn_store_open(read_given.store, &options, &store, err));
    mn_status status;
    if (!strcmp(what, "index"))
        status = do_index(store, words, err);
    else if (!strcmp(what, "export"))
        status = mn_store_export(store, stdout, err);
    else if (!strcmp(what, "import"))
        status = do_import(store, err);
    else
        status = with_graph(store, words, err);
    mn_store_close(store);
    return mn_cli_past_usage(status, err);
}

static const char *wrong_words(const mn_text_list *words) {
    static const char *const whats[] = {"index", "search", "ask", "show", "export", "import", NULL};
    int i = 0;
    while (whats[i] && strcmp(whats[i], words->items[0]) != 0) i++;
    if (!whats[i]) return "wanted: index, search, ask, show, export or import.";
    if (i == 0 && words->n < 2) return "index wants files or folders.";
    if ((i == 1 || i == 2) && !read_given.question) return "search and ask want a question: -q QUESTION.";
    if (i == 3 && words->n > 2) return "show takes one key.";
    if (strcmp(read_given.rank, "hop") != 0 && strcmp(read_given.rank, "pagerank") != 0)
        return "--rank is hop or pagerank.";
    if (read_given.extracts && (i != 0 || (!read_given.endpoint && !mn_given_model.model)))
        return "--extract is for index, with a model: -m MODEL or --endpoint URL.";
    if (read_given.embed_type && strcmp(read_given.embed_type, "f32") && strcmp(read_given.embed_type, "q8_0"))
        return "--embed-type is f32 or q8_0.";
    if (read_given.endpoint && mn_given_model.model) return "-m and --endpoint exclude each other.";
    return i > 3 && words->n > 1 ? "export writes to standard output and import reads standard input." : NULL;
}

int cmd_read(int argc, char **argv) {
    read_given = (read_settings){0};
    const mn_option options[] = {
        MN_OPTION_TEXT("store", &read_given.store, "FILE", "graph.db", "where texts and graph are kept"),
        MN_OPTION_TEXT("q question", &read_given.question, "QUESTION", NULL, "what to search or ask"),
        MN_OPTION_INT("k", &read_given.k, "K", "10", 1, 10000, "results of a search; facts that an answer may use"),
        MN_OPTION_TEXT("rank", &read_given.rank, "HOW", "hop",
                       "passages beyond the question's words: hop (one along links), pagerank (personalised)"),
        MN_OPTION_INT("chunk-bytes", &read_given.chunk_bytes, "N", "2400", 1200, 1 << 20,
                      "how much of a text is one passage"),
        MN_OPTION_FLAG("extract", &read_given.extracts,
                       "index: let the model of -m or --endpoint take facts out of each passage"),
        MN_OPTION_TEXT("embed", &read_given.embed, "MODEL", NULL,
                       "join the ranking of words with that of vectors by this model, an encoder or any other; index "
                       "makes them, search and ask those that are missing"),
        MN_OPTION_TEXT("embed-type", &read_given.embed_type, "TYPE", NULL,
                       "how vectors are kept: f32, or q8_0 in 8 bits (as they are in the store; q8_0 for the first)"),
        MN_OPTION_FLAG("json", &read_given.json, "print one JSON object"),
        MN_OPTION_WRITTEN("svg", &read_given.svg, "FILE", "show: draw a key with its neighbours, or the walk of -q"),
        MN_OPTION_WRITTEN("html", &read_given.html, "FILE", "show: the same as a page, with facts"),
        MN_OPTION_HEADING("the walk of ask; without -m and --endpoint words alone decide"),
        MN_OPTION_TEXT("endpoint", &read_given.endpoint, "URL", NULL,
                       "an OpenAI-compatible endpoint; its key stands in MNEMO_API_KEY"),
        MN_OPTION_TEXT("endpoint-model", &read_given.endpoint_model, "NAME", NULL, "the model to ask there"),
        MN_OPTION_INT("paths", &read_given.n_paths, "N", "5", 1, 50, "keys to begin at"),
        MN_OPTION_INT("path-calls", &read_given.path_calls, "N", "10", 1, 1000, "steps of a path at most"),
        MN_OPTION_INT("window", &read_given.window, "N", "4096", 256, 1 << 24, "tokens of a prompt and its answer"),
        MN_OPTION_INT("max-calls", &read_given.max_calls, "N", "0", 0, 1 << 24, "calls of the model; 0 = by paths"),
        MN_OPTION_INT("max-tokens", &read_given.max_tokens, "N", "0", 0, 1LL << 50, "tokens in all; 0 = no limit"),
        MN_OPTION_FLAG("walk", &read_given.shows_walk, "print the steps of the walk on standard error"),
        MN_OPTION_GROUP(mn_model_option_rows),
        MN_OPTIONS_END,
    };
    const mn_usage usage = {
        .verb = "read",
        .synopsis =
            "index FILE|FOLDER... | search -q Q | ask -q Q [-m MODEL] | show [KEY] | export | import [--store FILE]",
        .about =
            "Reads texts into a graph of facts (GraphReader) and answers from it, with places.\n\n"
            "index takes documents, folders, and collections NAME.jsonl with an object a line: text, id, title; or "
            "turns of conversations: text, name or role, time, session. What did not change is not read again. "
            "search prints passages; ask answers; show prints a key with its facts and neighbours; export and "
            "import move all of a store as JSON lines.",
        .example = "mnemo read index docs/ --store docs.db && mnemo read search --store docs.db -q \"Who wrote it?\"",
        .options = options,
        .min_positional = 1,
        .max_positional = MN_MAX_TEXTS,
    };
    mn_text_list words;
    mn_error err;
    int code = mn_options_parse(&usage, argc, argv, &words);
    if (code >= 0) return code;
    const char *wrong = wrong_words(&words);
    if (wrong) return mn_cli_wrong(&usage, wrong);
    return run(&words, &err) == MN_OK ? MN_EXIT_DONE : mn_cli_fail("read", &err);
}

#else

int cmd_read(int argc, char **argv) {
    static const mn_option options[] = {MN_OPTIONS_END};
    static const mn_usage usage = {.verb = "read",
                                   .synopsis = "",
                                   .about = "Reads texts into a graph of facts. This build cannot: install "
                                            "libsqlite3-dev and libstemmer-dev, and build again.",
                                   .example = "mnemo read --help",
                                   .options = options,
                                   .max_positional = MN_MAX_TEXTS};
    mn_text_list words;
    int code = mn_options_parse(&usage, argc, argv, &words);
    if (code >= 0) return code;
    fputs("mnemo read: this build has no graph reader: install libsqlite3-dev and libstemmer-dev, and build again.\n",
          stderr);
    return MN_EXIT_FAILED;
}
#endif
