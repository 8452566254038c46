/* A server that goes away in the middle of long work: an import of messages, an index of a collection, the vectors of
 * its passages. Each ends in a sentence; begun again it goes on with what there is not yet. */
#ifndef MN_TESTS_LOST_CASES_H
#define MN_TESTS_LOST_CASES_H

#include "graph/near_cases.h"
#include "memory/import_cases.h"
#include "store/server.h"

enum { N_LOST = 2500, N_LINES = 1100 };

typedef struct outage {
    bool stops; /* the server stops; else connections are cut */
    int n_calls, at;
} outage;

static bool go_away(void *arg) {
    outage *o = arg;
    if (o->n_calls++ != o->at) return true;
    if (o->stops)
        halt_server();
    else
        assert_int_equal(cut_connections(), 0);
    return true;
}

static bool lose_after(void *arg, int64_t bytes) { return (void)bytes, go_away(arg); }
static bool lose_between(void *arg, int64_t done, int64_t all) { return (void)done, (void)all, go_away(arg); }

/* The store again, after work that failed. */
static mn_store *again(mn_store *store, const char *name, const outage *o, const mn_error *e) {
    char place[512];
    mn_error why;
    if (!strstr(e->text, "The connection to PostgreSQL is lost")) fail_msg("%s", e->text);
    assert_non_null(strstr(e->text, "What was committed is kept"));
    assert_int_equal(o->n_calls, o->at + 1);
    mn_store_close(store);
    place_of(name, place, sizeof place);
    if (o->stops) {
        assert_int_equal(mn_store_open(place, NULL, &store, &why), MN_ERR_IO);
        assert_non_null(strstr(why.text, "PostgreSQL cannot be reached"));
        assert_int_equal(resume_server(), 0);
    }
    assert_ok(mn_store_open(place, NULL, &store, &why), why);
    return store;
}

static void lose_import(outage o) {
    char *text;
    size_t bytes;
    int64_t agent, n;
    mn_import_figures f = {0};
    const mn_import_options options = {.name = "talk.jsonl", .progress = lose_after, .arg = &o};
    FILE *lines = open_memstream(&text, &bytes);
    for (int i = 0; i < N_LOST; i++) fprintf(lines, "{\"id\": %d, \"text\": \"Message %d.\"}\n", i, i);
    fclose(lines);
    mn_store *store = with_importer("lost-import.db", &agent);
    FILE *in = fmemopen(text, bytes, "r");
    assert_int_equal(mn_messages_import(store, agent, in, &options, &f, &import_err), MN_ERR_IO);
    fclose(in);
    store = again(store, "lost-import.db", &o, &import_err);
    int64_t n_kept = n_messages(store, agent);
    assert_in_range(n_kept, 1, N_LOST - 1);
    assert_ok(import_text(store, agent, text, bytes, &f), import_err);
    assert_int_equal(f.n_known, n_kept);
    assert_int_equal(f.n_new, N_LOST - n_kept);
    assert_ok(mn_recall_check(store, agent, &n, &import_err), import_err);
    assert_int_equal(n, N_LOST);
    mn_store_close(store);
    free(text);
}

static void a_lost_server_keeps_what_was_imported(void **state) {
    (void)state;
    lose_import((outage){.at = 1});
    lose_import((outage){.stops = true});
}

static void lose_index(outage o) {
    char path[4096], *lines = box_lines(N_LINES, -1);
    mn_index_figures f = {0};
    mn_store *store = new_store("lost-index.db");
    mn_graph *graph;
    const mn_index_options options = {.progress = lose_between, .arg = &o};
    snprintf(path, sizeof path, "%s", temp_path("lost.jsonl"));
    FILE *file = fopen(path, "wb");
    fputs(lines, file);
    fclose(file);
    assert_int_equal(mn_index_path(store, path, &options, &f, &near_err), MN_ERR_IO);
    store = again(store, "lost-index.db", &o, &near_err);
    f = (mn_index_figures){0};
    assert_ok(mn_index_path(store, path, NULL, &f, &near_err), near_err);
    assert_in_range(f.n_same, 256, N_LINES - 1);
    assert_int_equal(f.n_same + f.n_new, N_LINES);
    assert_ok(mn_graph_open(store, &graph, &near_err), near_err);
    mn_hit hits[2];
    uint32_t n;
    assert_ok(mn_graph_search(graph, "box1043", 2, hits, &n, &near_err), near_err);
    assert_int_equal(n, 1);
    mn_graph_close(graph);
    mn_store_close(store);
    unlink(path);
    free(lines);
}

static void a_lost_server_keeps_what_was_indexed(void **state) {
    (void)state;
    lose_index((outage){.at = 1});
    lose_index((outage){.at = 3, .stops = true});
}

static void a_lost_server_keeps_vectors(void **state) {
    (void)state;
    mn_store *store;
    int64_t n;
    outage o = {.at = 1};
    mn_graph *graph = graph_of_boxes("lost-vectors", &store);
    mn_engine *engine = open_tiny("golden/tiny-llama.gguf");
    assert_int_equal(mn_graph_rank_near(graph, engine, NULL, lose_between, &o, &n, &near_err), MN_ERR_IO);
    mn_error why = near_err;
    /* Searches of a graph that has lost its store end so too. */
    mn_hit hit;
    uint32_t n_hits;
    assert_int_equal(mn_graph_search(graph, "box1043", 1, &hit, &n_hits, &near_err), MN_ERR_IO);
    mn_graph_close(graph);
    store = again(store, "lost-vectors.db", &o, &why);
    assert_ok(mn_graph_open(store, &graph, &near_err), near_err);
    assert_ok(mn_graph_rank_near(graph, engine, NULL, NULL, NULL, &n, &near_err), near_err);
    assert_int_equal(n, N_BOXES - 128);
    assert_int_equal(n_vectors(store), N_BOXES);
    mn_graph_close(graph);
    mn_engine_close(engine);
    mn_store_close(store);
}

#define LOST_CASES                                                                                                     \
    cmocka_unit_test(a_lost_server_keeps_what_was_imported), cmocka_unit_test(a_lost_server_keeps_what_was_indexed),   \
        cmocka_unit_test(a_lost_server_keeps_vectors)

#endif
