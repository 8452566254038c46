/* How far a walk can get, and how long a question and an index take: HotpotQA's passages, once and ten times over. */
#include "graph/hotpot.h"

#include "base/clock.h"

/* ---- how far a walk can get ---- */

enum { N_STARTS = 5, PAGE = 50 };

/* Whether the fact stands on the page of a key's first facts, or in a passage that one of these leads to. */
static bool shows(mn_graph *graph, const mn_key *key, const char *title, const char *sentence) {
    mn_key page = *key;
    const mn_hit self = {.number = key->number};
    page.n_facts = key->n_facts < PAGE ? key->n_facts : PAGE;
    if (key->n_facts <= PAGE && is_under_keys(graph, title, sentence, &self, 1)) return true;
    bool found = false;
    for (uint32_t f = 0; f < page.n_facts && !found; f++) {
        mn_fact fact;
        mn_passage passage;
        assert_ok(mn_graph_fact(graph, page.facts[f], &fact, &err), err);
        assert_ok(mn_graph_passage(graph, fact.passage, &passage, &err), err);
        found = !strcmp(passage.file, title);
        mn_passage_release(&passage);
        mn_fact_release(&fact);
    }
    return found;
}

/* One hop further: FACTS, NEIGHBOUR, FACTS and a CHUNK are 4 of a path's 10 calls. */
static bool is_in_reach(mn_graph *graph, const char *title, const char *sentence, const mn_hit *starts, uint32_t n) {
    bool found = false;
    for (int hop = 0; hop < 2 && !found; hop++)
        for (uint32_t i = 0; i < n && !found; i++) {
            mn_key key, beside;
            mn_neighbour page[PAGE];
            uint32_t n_page, n_all;
            assert_ok(mn_graph_key(graph, starts[i].number, &key, &err), err);
            if (hop == 0) {
                found = shows(graph, &key, title, sentence);
            } else {
                assert_ok(mn_graph_neighbours(graph, &key, PAGE, page, &n_page, &n_all, &err), err);
                for (uint32_t k = 0; k < n_page && !found; k++) {
                    assert_ok(mn_graph_key(graph, page[k].key, &beside, &err), err);
                    found = shows(graph, &beside, title, sentence);
                    mn_key_release(&beside);
                }
            }
            mn_key_release(&key);
        }
    return found;
}

/* A policy that knows the facts: five paths from the keys to begin at reach them in four calls of their ten. */
static void an_oracle_reaches_the_facts(void **state) {
    (void)state;
    fact_shares shares = share_of_facts("hotpot-oracle", N_STARTS, is_in_reach);
    assert_true(shares.of_facts >= 99.0);
    assert_true(shares.of_questions >= 98.0);
}

/* ---- speed ---- */

/* Ten times the passages: a question stays under 20 ms and a minute's indexing over 20 MB, by a wide margin, so that a
 * busy machine does not matter. */
static void it_is_fast_enough(void **state) {
    (void)state;
    char *lines = hotpot_lines(), *all, name[16];
    size_t bytes;
    FILE *out = open_memstream(&all, &bytes);
    for (int copy = 0; copy < 10; copy++) {
        snprintf(name, sizeof name, "{\"id\":\"%d ", copy);
        for (const char *line = lines; *line; line = strchr(line, '\n') + 1)
            fprintf(out, "%s%.*s", name, (int)(strchr(line, '\n') + 1 - line) - 7, line + 7);
    }
    fclose(out);
    mn_store *store;
    double start = mn_clock_seconds();
    mn_graph *graph = graph_of_lines("hotpot-speed", all, &store);
    double seconds = mn_clock_seconds() - start;
    json_t *questions = json_load_file(shared_path("agents/hotpotqa_train100.json"), 0, NULL);
    mn_hit hits[10];
    uint32_t n;
    start = mn_clock_seconds();
    for (size_t i = 0; i < 50; i++)
        assert_ok(mn_graph_search(graph, json_string_value(json_object_get(json_array_get(questions, i), "question")),
                                  10, hits, &n, &err),
                  err);
    double each = (mn_clock_seconds() - start) / 50;
    print_message("%zu bytes, %u passages: indexed at %.0f MB a minute, %.1f ms a question\n", bytes,
                  mn_graph_n_passages(graph), (double)bytes / 1e6 / seconds * 60, 1e3 * each);
    assert_true((double)bytes / 1e6 / seconds * 60 >= 20.0);
    assert_true(each < 0.020);
    mn_graph_close(graph);
    mn_store_close(store);
    json_decref(questions);
    free(lines);
    free(all);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_oracle_reaches_the_facts),
        cmocka_unit_test(it_is_fast_enough),
    };
    return outcome(cmocka_run_group_tests(tests, NULL, NULL));
}
