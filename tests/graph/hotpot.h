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

#endif
