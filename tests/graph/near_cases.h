/* Passages by meaning, on any store: vectors are made once, follow the texts, belong to one model, and join the
 * ranking.
 */
#ifndef MN_TESTS_NEAR_CASES_H
#define MN_TESTS_NEAR_CASES_H

#include "graph/collections.h"
#include "graph/near.h"

#include <math.h>

static mn_error near_err;

enum { N_BOXES = 150 };

/* Lines about boxes 0 to n, number `other` about something else; < 0 = none. */
static char *box_lines(int n, int other) {
    char *text;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    for (int i = 0; i < n; i++)
        fprintf(out, "{\"id\": \"d%d\", \"title\": \"Number %d\", \"text\": \"%s %d lies in box%d.\"}\n", i, i,
                i == other ? "Another thing" : "Thing", i, i * 7);
    fclose(out);
    return text;
}

static mn_graph *graph_of_boxes(const char *name, mn_store **store) {
    char *lines = box_lines(N_BOXES, -1);
    mn_graph *graph = graph_of_lines(name, lines, store);
    free(lines);
    return graph;
}

static mn_engine *open_tiny(const char *file) {
    mn_engine *engine;
    assert_ok(mn_engine_open(data_path(file), &(mn_engine_params){.n_threads = 1}, &engine, &near_err), near_err);
    return engine;
}

static void check_first(mn_graph *graph, const char *question, const char *file, double score) {
    mn_hit hits[5];
    uint32_t n;
    mn_passage passage;
    assert_ok(mn_graph_search(graph, question, 5, hits, &n, &near_err), near_err);
    assert_int_equal(n, 5);
    assert_ok(mn_graph_passage(graph, hits[0].number, &passage, &near_err), near_err);
    if (file) assert_string_equal(passage.file, file);
    assert_true(fabs((double)hits[0].score - score) < 1e-6);
    mn_passage_release(&passage);
}

static int64_t n_vectors(mn_store *store) {
    int64_t n;
    assert_ok(mn_store_number(store, -1, &n, &near_err,
                              "SELECT count(*) FROM vector_item v JOIN chunk c ON c.id = v.item WHERE data IS NOT NULL",
                              ""),
              near_err);
    return n;
}

static void vectors_join_the_ranking_of_words(void **state) {
    (void)state;
    mn_store *store;
    mn_graph *graph = graph_of_boxes("near-rank", &store);
    mn_engine *engine = open_tiny("golden/tiny-llama.gguf");
    mn_hit facts[3], keys[3];
    uint32_t n_facts, n_keys;
    int64_t n;
    assert_ok(mn_graph_search(graph, "zzz", 3, facts, &n_facts, &near_err), near_err);
    assert_int_equal(n_facts, 0);
    assert_ok(mn_graph_rank_near(graph, engine, NULL, NULL, NULL, &n, &near_err), near_err);
    assert_int_equal(n, N_BOXES);
    assert_int_equal(n_vectors(store), N_BOXES);
    /* A passage's own words: first by words and by its vector. */
    check_first(graph, "Number 41\nThing 41 lies in box287.", "d41", 2.0 / 61);
    /* No word is known: vectors alone rank, and facts and keys to begin at follow the passages. */
    check_first(graph, "zzz", NULL, 1.0 / 61);
    assert_ok(mn_graph_search_facts(graph, "zzz", 3, facts, &n_facts, &near_err), near_err);
    assert_int_equal(n_facts, 3);
    assert_ok(mn_graph_search_keys(graph, "zzz", 3, keys, &n_keys, &near_err), near_err);
    assert_int_equal(n_keys, 3);
    mn_graph_close(graph);
    mn_engine_close(engine);
    mn_store_close(store);
}

/* Indexes the lines under the name that the store was made with. */
static mn_graph *index_again(mn_store *store, const char *name, int n, int other) {
    char path[4096], *lines = box_lines(n, other);
    mn_graph *graph;
    mn_index_figures figures = {0};
    snprintf(path, sizeof path, "%s.jsonl", temp_path(name));
    FILE *file = fopen(path, "wb");
    fputs(lines, file);
    fclose(file);
    free(lines);
    assert_ok(mn_index_path(store, path, NULL, &figures, &near_err), near_err);
    unlink(path);
    assert_ok(mn_graph_open(store, &graph, &near_err), near_err);
    return graph;
}

static bool stop_at_once(void *arg, int64_t done, int64_t all) {
    (void)arg;
    assert_int_equal(done, 64);
    assert_int_equal(all, N_BOXES);
    return false;
}

static void a_run_goes_on_and_vectors_follow_the_texts(void **state) {
    (void)state;
    int64_t n;
    mn_store *store;
    mn_graph *graph = graph_of_boxes("near-again", &store);
    mn_engine *engine = open_tiny("golden/tiny-llama.gguf");
    assert_int_equal(mn_graph_rank_near(graph, engine, NULL, stop_at_once, NULL, &n, &near_err), MN_ERR_CANCELLED);
    assert_int_equal(n_vectors(store), 64);
    assert_ok(mn_graph_rank_near(graph, engine, NULL, NULL, NULL, &n, &near_err), near_err);
    assert_int_equal(n, N_BOXES - 64);
    assert_ok(mn_graph_rank_near(graph, engine, NULL, NULL, NULL, &n, &near_err), near_err);
    assert_int_equal(n, 0);
    mn_graph_close(graph);
    /* One text changed, fifty went. */
    graph = index_again(store, "near-again", N_BOXES - 50, 7);
    assert_ok(mn_graph_rank_near(graph, engine, NULL, NULL, NULL, &n, &near_err), near_err);
    assert_int_equal(n, 1);
    assert_int_equal(n_vectors(store), N_BOXES - 50);
    check_first(graph, "Number 7\nAnother thing 7 lies in box49.", "d7", 2.0 / 61);
    mn_graph_close(graph);
    /* What went comes again. */
    graph = index_again(store, "near-again", N_BOXES, -1);
    assert_ok(mn_graph_rank_near(graph, engine, NULL, NULL, NULL, &n, &near_err), near_err);
    assert_int_equal(n, 51);
    check_first(graph, "Number 149\nThing 149 lies in box1043.", "d149", 2.0 / 61);
    mn_graph_close(graph);
    mn_engine_close(engine);
    mn_store_close(store);
}

static void vectors_of_another_model_are_refused(void **state) {
    (void)state;
    static const mn_dtype f32 = MN_F32, q8 = MN_Q8_0;
    int64_t n;
    mn_store *store;
    mn_graph *graph = graph_of_boxes("near-other", &store);
    mn_engine *engine = open_tiny("golden/tiny-llama.gguf"), *other = open_tiny("golden/tiny-gpt2.gguf");
    assert_ok(mn_graph_rank_near(graph, engine, &f32, NULL, NULL, &n, &near_err), near_err);
    assert_ok(mn_graph_rank_near(graph, engine, NULL, NULL, NULL, &n, &near_err), near_err);
    assert_int_equal(n, 0);
    assert_int_equal(mn_graph_rank_near(graph, engine, &q8, NULL, NULL, &n, &near_err), MN_ERR_ARGUMENT);
    assert_non_null(strstr(near_err.text, "(f32)"));
    assert_int_equal(mn_graph_rank_near(graph, other, NULL, NULL, NULL, &n, &near_err), MN_ERR_ARGUMENT);
    assert_non_null(strstr(near_err.text, "do not go with them: use that model"));
    /* Those that were there rank on. */
    check_first(graph, "Number 41\nThing 41 lies in box287.", "d41", 2.0 / 61);
    mn_graph_close(graph);
    mn_engine_close(engine);
    mn_engine_close(other);
    mn_store_close(store);
}

#define NEAR_CASES                                                                                                     \
    cmocka_unit_test(vectors_join_the_ranking_of_words), cmocka_unit_test(a_run_goes_on_and_vectors_follow_the_texts), \
        cmocka_unit_test(vectors_of_another_model_are_refused)

#endif
