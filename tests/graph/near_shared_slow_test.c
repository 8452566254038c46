/* What vectors by the model that ships do to HotpotQA's ranking: figures to print. It was not trained to make vectors.
 */
#include "graph/hotpot_questions.h"

#include "graph/inside.h"
#include "graph/near.h"

static json_t *questions;

static void ask_all(mn_graph *graph, const char *what) {
    tally t = {0};
    for (size_t i = 0; i < json_array_size(questions); i++) {
        const json_t *q = json_array_get(questions, i);
        const char *gold[16];
        ask(graph, json_string_value(json_object_get(q, "question")), gold, gold_titles(q, gold), &t);
    }
    print_tally(what, &t);
}

static void ask_vectors_alone(mn_graph *graph) {
    double recall5 = 0, recall10 = 0;
    for (size_t i = 0; i < json_array_size(questions); i++) {
        const json_t *q = json_array_get(questions, i);
        const char *gold[16];
        mn_hit hits[MAX_K];
        uint32_t n;
        int n_gold = gold_titles(q, gold);
        assert_ok(
            mn_near_join(graph, json_string_value(json_object_get(q, "question")), NULL, 0, MAX_K, hits, &n, &err),
            err);
        for (int k = 0; k < n_gold; k++) {
            recall5 += (double)is_among(graph, hits, 5, gold[k]) / n_gold;
            recall10 += (double)is_among(graph, hits, n, gold[k]) / n_gold;
        }
    }
    print_message("vectors alone: recall@5 %.1f @10 %.1f\n", recall5, recall10);
}

static void what_the_shipped_model_does(void **state) {
    (void)state;
    static const mn_dtype types[] = {MN_F32, MN_Q8_0};
    mn_store *store;
    mn_engine *engine;
    int64_t n;
    char *lines = hotpot_lines();
    questions = json_load_file(shared_path("agents/hotpotqa_train100.json"), 0, NULL);
    assert_ok(mn_engine_open(data_path("models/default.gguf"), NULL, &engine, &err), err);
    for (int i = 0; i < 2; i++) {
        mn_graph *graph = graph_of_lines("near-hotpot", lines, &store);
        if (i == 0) ask_all(graph, "words");
        double start = mn_clock_seconds();
        assert_ok(mn_graph_rank_near(graph, engine, &types[i], NULL, NULL, &n, &err), err);
        print_message("%s: %lld vectors in %.1f s\n", i ? "8 bits" : "f32", (long long)n, mn_clock_seconds() - start);
        assert_true(n >= 994); /* long passages are cut */
        ask_vectors_alone(graph);
        ask_all(graph, "words and vectors");
        mn_graph_close(graph);
        mn_store_close(store);
    }
    mn_engine_close(engine);
    json_decref(questions);
    free(lines);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_the_shipped_model_does)};
    return outcome(cmocka_run_group_tests(tests, NULL, NULL));
}
