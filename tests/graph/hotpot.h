/* HotpotQA's passages as a collection, and its supporting sentences as facts. */
#ifndef MN_TESTS_HOTPOT_H
#define MN_TESTS_HOTPOT_H

#include "graph/collections.h"

static mn_error err;

static inline char *hotpot_lines(void) {
    char *text;
    size_t bytes;
    const char *title;
    json_t *sentences, *corpus = json_load_file(shared_path("agents/hotpotqa_train100_corpus.json"), 0, NULL);
    FILE *out = open_memstream(&text, &bytes);
    json_object_foreach(corpus, title, sentences) {
        char *passage;
        FILE *joined = open_memstream(&passage, &bytes);
        for (size_t i = 0; i < json_array_size(sentences); i++)
            fputs(json_string_value(json_array_get(sentences, i)), joined);
        fclose(joined);
        add_line(out, title, title, passage);
        free(passage);
    }
    fclose(out);
    json_decref(corpus);
    return text;
}

/* The facts that a supporting sentence became: those of its passage that lie within it. */
static inline bool is_under_keys(mn_graph *graph, const char *title, const char *sentence, const mn_hit *keys,
                                 uint32_t n_keys) {
    bool found = false;
    for (uint32_t i = 0; i < n_keys && !found; i++) {
        mn_key key;
        assert_ok(mn_graph_key(graph, keys[i].number, &key, &err), err);
        for (uint32_t f = 0; f < key.n_facts && !found; f++) {
            mn_fact fact;
            mn_passage passage;
            assert_ok(mn_graph_fact(graph, key.facts[f], &fact, &err), err);
            assert_ok(mn_graph_passage(graph, fact.passage, &passage, &err), err);
            found = !strcmp(passage.file, title) && strlen(fact.text) > 1 &&
                    (strstr(sentence, fact.text) || strstr(fact.text, sentence + strspn(sentence, " ")));
            mn_fact_release(&fact);
            mn_passage_release(&passage);
        }
        mn_key_release(&key);
    }
    return found;
}

/* Whether a supporting sentence of a passage is found from the keys to begin at. */
typedef bool fact_fn(mn_graph *graph, const char *title, const char *sentence, const mn_hit *keys, uint32_t n_keys);

/* Shares of the facts that are found, and of the questions all of whose facts are. */
typedef struct fact_shares {
    double of_facts, of_questions; /* in percent */
} fact_shares;

static inline bool find_facts(mn_graph *graph, const json_t *question, const json_t *corpus, uint32_t n_keys,
                              fact_fn *fn, int *n_facts, int *n_found) {
    const json_t *facts = json_object_get(question, "supporting_facts");
    mn_hit keys[64];
    uint32_t n;
    bool all = true;
    assert_true(n_keys <= 64);
    assert_ok(
        mn_graph_search_keys(graph, json_string_value(json_object_get(question, "question")), n_keys, keys, &n, &err),
        err);
    for (size_t f = 0; f < json_array_size(facts); f++) {
        const char *title = json_string_value(json_array_get(json_array_get(facts, f), 0));
        size_t number = (size_t)json_integer_value(json_array_get(json_array_get(facts, f), 1));
        const char *sentence = json_string_value(json_array_get(json_object_get(corpus, title), number));
        if (!sentence) continue;
        bool found = fn(graph, title, sentence, keys, n);
        *n_found += found;
        all = all && found;
        ++*n_facts;
    }
    return all;
}

/* All questions, in a graph of this name, with so many keys to begin at. */
static inline fact_shares share_of_facts(const char *name, uint32_t n_keys, fact_fn *fn) {
    char *lines = hotpot_lines();
    json_t *questions = json_load_file(shared_path("agents/hotpotqa_train100.json"), 0, NULL);
    json_t *corpus = json_load_file(shared_path("agents/hotpotqa_train100_corpus.json"), 0, NULL);
    mn_store *store;
    mn_graph *graph = graph_of_lines(name, lines, &store);
    int n_facts = 0, n_found = 0, n_whole = 0, n = (int)json_array_size(questions);
    for (int i = 0; i < n; i++)
        n_whole += find_facts(graph, json_array_get(questions, (size_t)i), corpus, n_keys, fn, &n_facts, &n_found);
    const fact_shares shares = {100.0 * n_found / n_facts, 100.0 * n_whole / n};
    print_message("%s: %.1f %% of %d facts, all of a question's: %.0f %% of %d\n", name, shares.of_facts, n_facts,
                  shares.of_questions, n);
    mn_graph_close(graph);
    mn_store_close(store);
    json_decref(questions);
    json_decref(corpus);
    free(lines);
    return shares;
}

#endif
